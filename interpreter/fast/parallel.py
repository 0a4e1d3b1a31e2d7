"""Work shared between threads, and BLAS's own threads kept out of the way meanwhile.

There are two ways to use several cores: the batch is split and each thread runs the
whole plan on its part, or (at batch 1) a kernel's blocks are split. In both, BLAS runs
on one thread inside: beside ours its own threads make everything slower, and on
a busy machine the small products of a recurrent step wait for them a thousand times.
Alone they would begin a product sooner than a helper does, but not one of the small
products (``product``) that BLAS is fastest at.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

MIN_WORK = 10_000_000
"""Multiplications below which a hand-off to another thread costs more than it saves: it takes 50
to 100 µs until both are done, in which one thread does some five million, and products of half the
rows are slower."""


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


def blas_architectures() -> list[str]:
    """OpenBLAS's names of the processor that it works for; none of another BLAS."""
    return [str(getattr(library, "architecture", "")) for library in _blas()]


_lock = threading.Lock()
_runs = 0
_before: list[int] = []


class blas_threads:  # noqa: N801 - used like a function; a class enters faster than a generator
    """BLAS limited to ``count`` threads; put back when the last run that limits it ends.

    The limit is the whole process's, so runs in several threads share it:
    the first one sets its own and remembers what was there, the last one restores that.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        global _runs
        with _lock:
            if _runs == 0:
                _before[:] = [library.get_num_threads() for library in _blas()]
                for library, now in zip(_blas(), _before, strict=True):
                    if now != self.count:
                        library.set_num_threads(self.count)
            _runs += 1

    def __exit__(self, *_: object) -> None:
        global _runs
        with _lock:
            _runs -= 1
            if _runs == 0:
                for library, before in zip(_blas(), _before, strict=True):
                    if library.get_num_threads() != before:  # the first run's count, not ours
                        library.set_num_threads(before)


_Task = tuple[Callable[[int, int], Any], int, int, "SimpleQueue[_Ended]"]
_Ended = tuple[int, Any, BaseException | None]


def _call(part: Callable[[int, int], Any], index: int, parts: int) -> _Ended:
    try:
        return index, part(index, parts), None
    except BaseException as error:  # the caller raises it
        return index, None, error


def _help(tasks: SimpleQueue[_Task]) -> None:
    while True:
        part, index, parts, ended = tasks.get()
        ended.put(_call(part, index, parts))
        del part, ended  # a waiting helper keeps no arrays alive


class _Helpers:
    """The helpers of all runs of the process, and where they take tasks.

    Two queues hand a task over and back in a third of the time that an executor's futures take.
    """

    def __init__(self) -> None:
        self.tasks: SimpleQueue[_Task] = SimpleQueue()
        self.count = 0
        self.lock = threading.Lock()

    def at_least(self, count: int) -> SimpleQueue[_Task]:
        """Their queue, once there are so many."""
        if self.count < count:
            with self.lock:
                while self.count < count:
                    name = f"scratch-onnx-{self.count + 1}"
                    helper = threading.Thread(
                        target=_help, args=(self.tasks,), name=name, daemon=True
                    )
                    helper.start()
                    self.count += 1
        return self.tasks


_helpers = _Helpers()


def _after_fork() -> None:
    """A forked child has none of its parent's threads, and its locks may be held by those."""
    global _lock, _helpers
    _lock, _helpers = threading.Lock(), _Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run_parts(part: Callable[[int, int], Any], parts: int) -> list[Any]:
    """Call ``part(index, parts)`` for each index, each in a thread of its own; results in order.

    An exception of any part is raised when all have ended.
    """
    if parts == 1:
        return [part(0, 1)]
    tasks = _helpers.at_least(parts - 1)  # the calling thread works too
    ended: SimpleQueue[_Ended] = SimpleQueue()
    for index in range(1, parts):
        tasks.put((part, index, parts, ended))
    results: list[Any] = [None] * parts
    errors = []
    for number in range(parts):
        index, results[index], error = ended.get() if number else _call(part, 0, parts)
        if error is not None:
            errors.append(error)
    if errors:
        raise errors[0]
    return results


def slice_of(count: int, part: int, parts: int) -> slice:
    """Which of ``count`` things are one of ``parts`` threads': neighbours, nearly as many each."""
    return slice(count * part // parts, count * (part + 1) // parts)


class _Team(threading.local):
    size = 1


_team = _Team()


class team:  # noqa: N801 - as above
    """Within, kernels of this thread may share their blocks between ``size`` threads."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before, _team.size = _team.size, self.size

    def __exit__(self, *_: object) -> None:
        _team.size = self.before


def share(part: Callable[[int, int], None], work: float) -> None:
    """Run a kernel's parts on the team, or alone where the work is too little to share.

    ``part(index, parts)`` does every ``parts``-th block from ``index`` on.
    ``work`` is the number of multiplications.
    """
    size = _team.size
    if size == 1 or work < MIN_WORK:
        part(0, 1)
    else:
        run_parts(lambda index, parts: _quietly(part, index, parts), size)


def _quietly(part: Callable[[int, int], None], index: int, parts: int) -> None:
    with np.errstate(all="ignore"):  # a helper has settings of its own
        part(index, parts)
