"""Kernels along the last axis: softmax and layer normalisation, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..types import Array
from . import fast
from .parallel import share, slice_of
from .workspace import scratch

BLOCK = 1 << 16
"""Elements that are worked on at a time: calls cost less than leaving the first cache does."""
WORK = 8
"""About how many multiplications an element of these kernels is worth."""


def _by_rows(x: Array, kernel: Callable[[Array, Array], None]) -> Array:
    """``kernel(rows of x, rows of the result)`` over blocks that stay in the cache, in threads."""
    y = np.empty(x.shape, np.float32)
    if y.size == 0:
        return y
    width = x.shape[-1]
    source, target = np.ascontiguousarray(x).reshape(-1, width), y.reshape(-1, width)
    if y.size <= BLOCK:
        kernel(source, target)
        return y
    count = max(1, BLOCK // width)

    def part(index: int, parts: int) -> None:
        mine = slice_of(len(source), index, parts)
        for start in range(mine.start, mine.stop, count):
            stop = min(start + count, mine.stop)
            kernel(source[start:stop], target[start:stop])

    share(part, float(x.size) * WORK)
    return y


@fast("Softmax")
class Softmax:
    """exp(x - max) / sum of it, along the last axis."""

    def __call__(self, x: Array) -> Array:
        return _by_rows(x, self.rows)

    @staticmethod
    def rows(x: Array, y: Array) -> None:
        """Write the result for a block x (rows, width) into y."""
        sums = exponentials(x, y)
        np.multiply(y, np.divide(1, sums, out=sums), out=y)


SMALL = 16
"""exp of numbers up to this size, and products with it, are far from float32's limits."""


def exponentials(x: Array, y: Array) -> Array:
    """``y = exp(x - c)`` for x (rows, width), and the sums of y's rows (rows, 1).

    c is a number a row that cancels when y is divided by its sums: the row's largest, or 0
    where all of x is small, which is quick to see and saves two thirds of the time.
    """
    sums = scratch("edge", len(x), 1)
    if all_small(x):
        np.exp(x, out=y)
    else:
        np.maximum.reduce(x, axis=1, keepdims=True, out=sums)
        np.subtract(x, sums, out=y)
        np.exp(y, out=y)
    return np.matmul(y, ones(y.shape[1]), out=sums)  # BLAS sums fastest


def all_small(x: Array) -> bool:
    """Whether all of x is within ``SMALL`` of 0 (and none is NaN)."""
    if x.size <= SMALL**2:  # few elements: their sum of squares says it sooner
        flat = x.reshape(-1)
        if flat.dot(flat) < SMALL**2:
            return True
    return bool(
        np.minimum.reduce(x, axis=None) > -SMALL and np.maximum.reduce(x, axis=None) < SMALL
    )


@lru_cache(maxsize=64)
def ones(count: int) -> Array:
    """A column of ones, which nobody may write to."""
    column = np.ones((count, 1), np.float32)
    column.flags.writeable = False
    return column


@fast("LayerNormalization")
class LayerNormalization:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, along the last axis.

    Without ``centre`` the mean counts as 0: that is RMSNormalization.
    """

    def __init__(
        self, *, scale: Array, bias: Array | None, epsilon: float, centre: bool = True
    ) -> None:
        width = max(1, scale.size)
        # variance = sum / width: both sides of the division are multiplied by sqrt(width) instead.
        self.scale = (scale * np.float64(width**0.5)).astype(np.float32)
        self.epsilon = np.float32(epsilon * width)
        self.bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
        # A mean is a product with this column, which BLAS adds up fastest.
        self.centre = centre
        self.mean = np.full((scale.size, 1), 1 / width, np.float32)

    def __call__(self, x: Array) -> Array:
        if x.shape[-1] != self.scale.size:
            raise ValueError(f"the last axis is {x.shape[-1]} long; Scale is for {self.scale.size}")
        return _by_rows(x, self.rows)

    def rows(self, x: Array, y: Array) -> None:
        """Write the result for a block x (rows, width) into y."""
        edge = scratch("edge", len(x), 1)
        centred = x
        if self.centre:
            np.matmul(x, self.mean, out=edge)
            centred = np.subtract(x, edge, out=y)
        np.vecdot(centred, centred, out=edge[:, 0])
        np.add(edge, self.epsilon, out=edge)
        np.sqrt(edge, out=edge)
        np.divide(centred, edge, out=y)
        np.multiply(y, self.scale, out=y)
        if self.bias is not None:
            np.add(y, self.bias, out=y)


@fast("MatMul")
class MatMul:
    """The product of two stacks of matrices, the stack shared between the threads."""

    def __call__(self, a: Array, b: Array) -> Array:
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if a.shape[-1] != b.shape[-2] or not stack:
            return np.matmul(a, b)
        y = np.empty((*stack, a.shape[-2], b.shape[-1]), np.float32)
        a = np.broadcast_to(a, (*stack, *a.shape[-2:]))
        b = np.broadcast_to(b, (*stack, *b.shape[-2:]))
        axis = int(np.argmax(stack))  # the longest axis of the stack is cut
        count = stack[axis]

        def part(index: int, parts: int) -> None:
            mine = slice_of(count, index, parts)
            piece = (slice(None),) * axis + (mine,)
            np.matmul(a[piece], b[piece], out=y[piece])

        share(part, float(y.size) * a.shape[-1])
        return y
