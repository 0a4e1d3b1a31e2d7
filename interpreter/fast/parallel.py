"""Work shared between threads, and BLAS's own threads kept out of the way meanwhile.

Two ways to use several cores: the batch is split and each thread runs the whole
plan on its part, or (at batch 1) a kernel's blocks are split. In both, BLAS runs
on one thread inside: under a pool its own threads make everything slower, and on
a busy machine the small products of a recurrent step wait for them a thousand times.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

MIN_WORK = 400_000
"""Multiplications below which a hand-off to another thread (12 to 45 µs) costs more than it
saves."""


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _blas() -> list[Any]:
    return [
        library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"
    ]


_lock = threading.Lock()
_runs = 0
_before: list[int] = []


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """BLAS limited to ``count`` threads; put back when the last run that limits it ends.

    The limit is the whole process's, so runs in several threads share it:
    the first one remembers what was set, the last one restores it.
    """
    global _runs
    with _lock:
        if _runs == 0:
            _before[:] = [library.get_num_threads() for library in _blas()]
            for library, now in zip(_blas(), _before, strict=True):
                if now != count:
                    library.set_num_threads(count)
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if _runs == 0:
                for library, before in zip(_blas(), _before, strict=True):
                    library.set_num_threads(before)


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """The pool of helpers for runs on ``threads`` threads; the calling thread works too."""
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="scratch-onnx")


# A forked child has none of its parent's threads, and must make a pool of its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)


def run_parts(part: Callable[[int, int], Any], parts: int) -> list[Any]:
    """Call ``part(index, parts)`` for each index, each in a thread of its own; results in order.

    An exception of any part is raised when all have ended.
    """
    if parts == 1:
        return [part(0, 1)]
    futures = [pool(parts).submit(part, index, parts) for index in range(1, parts)]
    try:
        first = part(0, parts)
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error
    return [first, *(future.result() for future in futures)]


class _Team(threading.local):
    size = 1


_team = _Team()


@contextmanager
def team(size: int) -> Iterator[None]:
    """Within, kernels of this thread may share their blocks between ``size`` threads."""
    before, _team.size = _team.size, size
    try:
        yield
    finally:
        _team.size = before


def share(part: Callable[[int, int], None], work: float) -> None:
    """Run a kernel's parts on the team, or alone where the work is too little to share.

    ``part(index, parts)`` does every ``parts``-th block from ``index`` on.
    ``work`` is the number of multiplications.
    """
    size = _team.size
    if size == 1 or work < MIN_WORK:
        part(0, 1)
    else:
        run_parts(part, size)
