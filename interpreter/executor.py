"""How a run uses the machine: the batch in parts, the parts in threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .batching import Split, parts_of
from .fast.parallel import blas_threads, run_parts, slice_of, team
from .plan import Observer, Plan
from .types import Array

PART_BYTES = 16 * 2**20
"""A part's largest value: more samples at a time cost fewer calls, and hand-overs of the
interpreter's lock between threads (some 2 µs a call)."""
RECURRENT_PART = 128
"""Samples of a part where nodes step through time: more do not stay in the cache."""
RECURRENT_LEAST = 64
"""Fewer samples than this are not split there: a step's calls are too short for two threads that
take turns with the interpreter's lock."""
MIN_BATCH = 8
"""Samples below which threads gain nothing over the hand-off."""
LARGE_SAMPLE = 512 * 1024
"""Bytes of a sample's largest value from which two samples are worth it."""
UFUNC_BUFFER = 1024
"""Elements. NumPy copies an operand of a ufunc that is not contiguous through a buffer where its
runs are shorter than the buffer; with NumPy's own 8192 that halves the speed of runs of 1024."""


class Executor:
    """Runs a plan on inputs that were checked.

    A batch that can be split (``batching.find_split``) is cut into parts, and
    ``threads`` threads take them. Where it cannot, or is small, kernels share
    their own blocks between the threads.
    """

    def __init__(self, plan: Plan, split: Split | None, threads: int) -> None:
        self.plan = plan
        self.split = split
        self.threads = threads

    def run(self, values: Sequence[Any], observer: Observer | None = None) -> list[Any]:
        """The plan's outputs."""
        parts = self.parts(values) if observer is None else []
        if len(parts) > 1:
            with blas_threads(1):
                return self._in_parts(values, parts)
        with blas_threads(1), np.errstate(all="ignore"), team(self.threads):
            np.setbufsize(UFUNC_BUFFER)  # errstate puts it back
            return self.plan.execute(values, observer)

    def parts(self, values: Sequence[Any]) -> Sequence[tuple[int, int]]:
        """The batch's parts, one where it is not split."""
        if self.split is None:
            return []
        sizes = {
            value.shape[axis]
            for value, axis in zip(values, self.split.inputs, strict=True)
            if axis is not None
        }
        if len(sizes) != 1:
            return []
        (samples,) = sizes
        large = self.split.sample_bytes >= LARGE_SAMPLE
        if samples < (2 if large else MIN_BATCH):
            return []
        if self.split.recurrent:
            least, most = RECURRENT_LEAST, RECURRENT_PART
        else:
            least, most = 1, max(1, PART_BYTES // max(1, self.split.sample_bytes))
        size = max(least, min(most, -(-samples // self.threads)))
        count = -(-samples // size)
        even = -(-count // self.threads) * self.threads  # as many for each thread
        return parts_of(samples, even if samples // even >= least else count)

    def _in_parts(self, values: Sequence[Any], parts: Sequence[tuple[int, int]]) -> list[Any]:
        assert self.split is not None
        split, plan = self.split, self.plan
        results = [_Result(axis, parts[-1][1]) for axis in split.outputs]

        def work(index: int, threads: int) -> None:
            with np.errstate(all="ignore"):  # infinities and NaN are results like others
                np.setbufsize(UFUNC_BUFFER)
                for start, stop in parts[slice_of(len(parts), index, threads)]:
                    inputs = [
                        value
                        if axis is None
                        else value[(slice(None),) * axis + (slice(start, stop),)]
                        for value, axis in zip(values, split.inputs, strict=True)
                    ]
                    outputs = plan.execute(inputs)
                    for result, output in zip(results, outputs, strict=True):
                        result.put(output, start, stop)

        run_parts(work, min(self.threads, len(parts)))
        return [result.array for result in results]


@dataclass(slots=True)
class _Result:
    """An output that is filled part by part, by several threads."""

    axis: int
    samples: int
    array: Array | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, output: Array, start: int, stop: int) -> None:
        if self.array is None:
            with self.lock:
                if self.array is None:
                    shape = list(output.shape)
                    shape[self.axis] = self.samples
                    self.array = np.empty(shape, output.dtype)
        self.array[(slice(None),) * self.axis + (slice(start, stop),)] = output
