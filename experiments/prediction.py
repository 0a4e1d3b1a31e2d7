"""The test split through both sides: Keras as the oracle, and the ONNX file in NumPy alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BATCH = 256


def keras_predictions(model: Any, x: Array) -> tuple[Array, float]:
    """Keras's probabilities of (n, ...) inputs, and the seconds that ``model.predict`` takes.

    The probabilities come from the same way of running Keras that the export compares its file
    with (see docs/export.md); the time is that of ``model.predict``, which is how people run it.
    """
    from scratch_onnx.export.framework import predict

    probabilities = _batched(lambda part: predict(model, part)[0], x)
    model.predict(x[:BATCH], batch_size=BATCH, verbose=0)  # traces the graph
    start = time.perf_counter()
    model.predict(x, batch_size=BATCH, verbose=0)
    return probabilities, time.perf_counter() - start


def interpreter_predictions(path: Path, x: Array) -> tuple[Array, float]:
    """The interpreter's probabilities of (n, ...) inputs, and the seconds that the runs take."""
    from scratch_onnx.interpreter import InferenceSession

    session = InferenceSession(str(path))
    name = session.get_inputs()[0].name

    def run(part: Array) -> Array:
        return np.asarray(session.run(None, {name: part})[0])

    run(x[:BATCH])  # the first run allocates
    start = time.perf_counter()
    probabilities = _batched(run, x)
    return probabilities, time.perf_counter() - start


def _batched(run: Callable[[Array], Array], x: Array) -> Array:
    return np.concatenate([run(x[at : at + BATCH]) for at in range(0, len(x), BATCH)])
