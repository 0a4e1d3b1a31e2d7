"""One point of a curve of growth, in a process of its own.

``python -m benchmarks.point SIDE MODEL THREADS BATCH LENGTH`` prints ``{"time": seconds, "memory":
bytes, "data": bytes}``: the median of a few runs, what they had resident at most beyond what the
process had before it made the input (a session that has run one small sample), and the bytes of
the input and the output. LENGTH 0 is a model without one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .models import CASES, tokens
from .sides import SIDES, peak_memory

BUDGET = 0.5
"""Seconds of runs, after the first two."""
SMALL = 16
"""The length of the small sample."""


def sample(model: str, batch: int, length: int) -> np.ndarray[Any, Any]:
    """An input of that batch, and of that length where the model takes any."""
    draw = tokens(length) if length else CASES[model].sample
    return draw(np.random.default_rng(0), batch)


def measure(side: str, model: str, threads: int, batch: int, length: int) -> dict[str, float]:
    """Run one point."""
    run = SIDES[side](model, threads)
    run(sample(model, 1, SMALL if length else 0))
    # The peak begins anew at what is resident now: loading took more than many a run.
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory()
    x = sample(model, batch, length)
    times: list[float] = []
    while len(times) < 5 or (sum(times[2:]) < BUDGET and len(times) < 200):
        start = time.perf_counter()
        (y,) = run(x)
        times.append(time.perf_counter() - start)
    return {
        "time": statistics.median(times[2:]),
        "memory": peak_memory() - before,
        "data": x.nbytes + y.nbytes,
    }


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    side, model = sys.argv[1:3]
    threads, batch, length = map(int, sys.argv[3:6])
    print(json.dumps(measure(side, model, threads, batch, length)), file=answers, flush=True)


if __name__ == "__main__":
    main()
