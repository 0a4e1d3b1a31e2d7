"""One side of a measurement, in a process of its own: it reads requests and answers with times.

``python -m benchmarks.sides SIDE MODEL THREADS`` then takes lines of JSON,
``{"batch": 32, "repeat": 10}``, and answers ``{"times": [...], "peak": bytes}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .models import CASES, path

Run = Callable[[np.ndarray[Any, Any]], Any]


def _ours(name: str, threads: int, precision: str = "default") -> Run:
    import scratch_onnx as so

    session = so.InferenceSession(path(name), threads=threads, precision=precision)
    feed = session.get_inputs()[0].name
    return lambda x: session.run(None, {feed: x})


def _onnxruntime(name: str, threads: int) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path(name), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    return lambda x: session.run(None, {feed: x})


def _reference(name: str, threads: int) -> Run:
    from onnx.reference import ReferenceEvaluator

    del threads  # BLAS's, set by the environment
    session = ReferenceEvaluator(str(path(name)))
    feed = session.input_names[0]
    return lambda x: session.run(None, {feed: x})


def _keras(name: str, threads: int, predict: bool) -> Run:
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = keras.models.load_model(path(name, ".keras"))
    if predict:
        return lambda x: model.predict(x, batch_size=len(x), verbose=0)
    return lambda x: np.asarray(model(x, training=False))


SIDES: dict[str, Callable[[str, int], Run]] = {
    "ours": _ours,
    "ours-fast": lambda name, threads: _ours(name, threads, "fast"),
    "onnxruntime": _onnxruntime,
    "reference": _reference,
    "keras-call": lambda name, threads: _keras(name, threads, predict=False),
    "keras-predict": lambda name, threads: _keras(name, threads, predict=True),
}


def peak_memory() -> int:
    """The most memory that this process has had resident, in bytes; 0 where it is not known.

    (``getrusage`` would count the parent's too: a child inherits it over fork and exec.)
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def serve(side: str, name: str, threads: int) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a framework prints must not get among the answers
    start = time.perf_counter()
    run = SIDES[side](name, threads)
    print(json.dumps({"load": time.perf_counter() - start}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        x = CASES[name].sample(np.random.default_rng(0), request["batch"])
        times = []
        for _ in range(request["repeat"]):
            start = time.perf_counter()
            run(x)
            times.append(time.perf_counter() - start)
        print(json.dumps({"times": times, "peak": peak_memory()}), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
