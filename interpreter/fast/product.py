"""Products with a prepared matrix, in pieces of a size that BLAS is fastest at."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache, partial

import numpy as np

from ..types import Array
from .parallel import blas_architectures
from .workspace import scratch

SMALL = 1_000_000
"""OpenBLAS multiplies without packing its operands first where there are at most so many
multiplications: at the machine's full rate, where larger products reach 60 to 90 % of it and thin
ones less."""
LEAST_ROWS = 12
"""Rows of a piece, below which it is not faster."""
WIDTHS = (64, 48, 32, 56, 40, 24, 16)
"""Columns of a piece, the best first."""
HAVE_SMALL = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""OpenBLAS's names of the processors (with AVX-512) for which it has that path."""


@cache
def small_is_fast() -> bool:
    """Whether this process's BLAS has the path for small products."""
    return bool(HAVE_SMALL & set(blas_architectures()))


def width_for(depth: int, columns: int) -> int:
    """How many columns a panel has; all, where smaller ones would gain nothing."""
    if not small_is_fast():
        return columns
    most = SMALL // (LEAST_ROWS * max(1, depth))
    if columns <= min(most, 64):
        return columns
    return next((w for w in WIDTHS if w <= most and columns % w == 0), columns)


class Product:
    """``a @ matrix`` for a constant matrix, or a stack of them.

    The matrix is kept in panels of some columns, each contiguous; rows of ``a`` are
    taken in blocks, so that a block times a panel is a small product.

    Parameters
    ----------
    matrix : (..., K, N) float32.
    """

    def __init__(self, matrix: Array) -> None:
        *stack, self.depth, self.columns = matrix.shape
        self.width = width_for(self.depth, self.columns)
        split = matrix.reshape(*stack, self.depth, self.columns // max(1, self.width), self.width)
        # (..., 1, panels, K, width)
        self.panels = np.ascontiguousarray(np.moveaxis(split, -2, -3))[..., None, :, :, :]

    def bind(self, a: Array, out: Array) -> list[Callable[[], object]]:
        """Calls that compute ``out`` (..., M, N) from ``a`` (..., M, K), for buffers that stay."""
        rows = a.shape[-2]
        most = max(1, SMALL // max(1, self.depth * self.width))
        if self.width == self.columns and (most < LEAST_ROWS or not small_is_fast()):
            most = max(1, rows)
        pieces = -(-rows // most)
        block = -(-rows // max(1, pieces))
        # A somewhat smaller block that leaves no remainder saves a call.
        block = next((b for b in range(block, block * 3 // 4, -1) if rows % b == 0), block)
        even = rows // max(1, block) * block
        calls = []
        for start, stop in ((0, even), (even, rows)):
            if stop > start:
                size = block if start == 0 else stop - start
                some, target = a[..., start:stop, :], out[..., start:stop, :]
                blocks = (stop - start) // size
                left = some.reshape(*some.shape[:-2], blocks, 1, size, self.depth)
                shape = (*target.shape[:-2], blocks, size, -1, self.width)
                result = target.reshape(shape).swapaxes(-2, -3)
                calls.append(partial(np.matmul, left, self.panels, out=result))
        return calls

    def scaled(self, scale: Array) -> Product:
        """The product with ``scale[:, None] * matrix``; good until another is asked for."""
        other = copy(self)
        other.panels = scratch("panels", *self.panels.shape)
        np.multiply(self.panels, scale[:, None], out=other.panels)
        return other

    def __call__(self, a: Array, out: Array) -> None:
        """``out = a @ matrix``."""
        for call in self.bind(a, out):
            call()
