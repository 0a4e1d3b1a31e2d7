"""Products with a prepared matrix, in pieces of a size that BLAS is fastest at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from functools import cache, partial
from itertools import pairwise

import numpy as np

from ..types import Array
from .parallel import blas_architectures
from .workspace import scratch

SMALL = 1_000_000
"""OpenBLAS multiplies without packing its operands first where there are at most so many
multiplications: at the machine's full rate, where larger products reach 60 to 90 % of it and thin
ones less."""
DEPTH = 768
"""The longest chain of sums: a deeper product is the sum of several, which errs less and leaves the
pieces enough rows."""
WIDTHS = (64, 48, 32, 56, 40, 24, 16)
"""Columns of a piece, the best first."""
HAVE_SMALL = {"SkylakeX", "Cooperlake", "SapphireRapids"}
"""OpenBLAS's names of the processors (with AVX-512) for which it has that path."""


@cache
def small_is_fast() -> bool:
    """Whether this process's BLAS has the path for small products."""
    return bool(HAVE_SMALL & set(blas_architectures()))


class Product:
    """``a @ matrix`` for a constant matrix, or a stack of them.

    The matrix is kept in panels of some columns, each contiguous; rows of ``a`` are
    taken in blocks, so that a block times a panel is a small product.

    Parameters
    ----------
    matrix : (..., K, N) float32.
    """

    def __init__(self, matrix: Array) -> None:
        *stack, depth, columns = matrix.shape
        self.small = small_is_fast() and columns > 0
        self.width = columns
        if self.small and columns > WIDTHS[0]:
            self.width = next((width for width in WIDTHS if columns % width == 0), columns)
            self.small = self.width < columns
        pieces = max(1, -(-depth // DEPTH)) if self.small else 1
        edges = [depth * piece // pieces for piece in range(pieces + 1)]
        split = matrix.reshape(*stack, depth, columns // max(1, self.width), self.width)
        # (..., 1, panels, K, width)
        panels = np.moveaxis(split, -2, -3)[..., None, :, :, :]
        self.pieces = [
            (start, stop, np.ascontiguousarray(panels[..., start:stop, :]))
            for start, stop in pairwise(edges)
        ]

    def bind(self, a: Array, out: Array) -> list[Callable[[], object]]:
        """Calls that compute ``out`` (..., M, N) from ``a`` (..., M, K), for buffers that stay."""
        calls: list[Callable[[], object]] = []
        for start, stop, panels in self.pieces:
            target = scratch("partial", *out.shape) if start else out
            for rows in self._blocks(a.shape[-2], stop - start):
                left, right = (
                    a[..., rows[0] : rows[1], start:stop],
                    target[..., rows[0] : rows[1], :],
                )
                left = left.reshape(*left.shape[:-2], -1, 1, rows[2], stop - start)
                right = right.reshape(*right.shape[:-2], -1, rows[2], panels.shape[-3], self.width)
                calls.append(partial(np.matmul, left, panels, out=right.swapaxes(-2, -3)))
            if start:
                calls.append(partial(np.add, out, target, out=out))
        return calls

    def _blocks(self, rows: int, depth: int) -> Iterator[tuple[int, int, int]]:
        """From which to which row, in blocks of how many."""
        most = max(1, SMALL // max(1, depth * self.width) if self.small else rows)
        pieces = max(1, -(-rows // most))
        block = max(1, -(-rows // pieces))
        # A somewhat smaller block that leaves no remainder saves a call.
        block = next((b for b in range(block, block * 3 // 4, -1) if rows % b == 0), block)
        even = rows // block * block
        if even:
            yield 0, even, block
        if even < rows:
            yield even, rows, rows - even

    def scaled(self, scale: Array) -> Product:
        """The product with ``scale[:, None] * matrix``; good until another is asked for."""
        other = copy(self)
        other.pieces = []
        for start, stop, panels in self.pieces:
            target = scratch(f"panels {start}", *panels.shape)
            np.multiply(panels, scale[start:stop, None], out=target)
            other.pieces.append((start, stop, target))
        return other

    def __call__(self, a: Array, out: Array) -> None:
        """``out = a @ matrix``."""
        for call in self.bind(a, out):
            call()
