"""Buffers that a kernel keeps between calls, a set for each thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np

from ..types import Array

S = TypeVar("S")

MAX_SHAPES = 8
"""How many input shapes a thread remembers for a kernel: a steady stream needs one or two."""


class PerShape(threading.local, Generic[S]):
    """What a kernel prepared for an input shape: made at first sight, kept for the thread.

    The oldest is dropped where more than ``MAX_SHAPES`` are kept.
    """

    def __init__(self, make: Callable[..., S]) -> None:
        self.make = make
        self.kept: dict[Hashable, S] = {}

    def __call__(self, *key: Hashable) -> S:
        state = self.kept.get(key)
        if state is None:
            if len(self.kept) >= MAX_SHAPES:
                self.kept.pop(next(iter(self.kept)))
            state = self.kept[key] = self.make(*key)
        return state


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.buffers: dict[str, Array] = {}


_scratch = _Scratch()


def scratch(role: str, *shape: int) -> Array:
    """A float32 buffer with any contents, shared by all kernels of the thread.

    It is only good until the next kernel runs. ``role`` tells buffers apart
    that one kernel needs at the same time. The same memory serves every layer,
    so that it stays in the cache.
    """
    size = 1
    for dim in shape:
        size *= dim
    buffer = _scratch.buffers.get(role)
    if buffer is None or buffer.size < size:
        buffer = _scratch.buffers[role] = np.empty(size, np.float32)
    return buffer[:size].reshape(shape)


def as_items(x: Array) -> Array:
    """A view with the last axis, which must be contiguous, as one item: (…, n) to (…).

    NumPy copies short runs up to twice as fast when it need not loop over their elements.
    """
    return x.view(np.dtype((np.void, x.shape[-1] * x.itemsize)))[..., 0]
