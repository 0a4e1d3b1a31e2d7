"""Products with a prepared matrix, in pieces of a size that BLAS is fastest at."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from ..types import Array
from .parallel import blas_architectures
from .workspace import MAX_SHAPES, scratch

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


_Cut: TypeAlias = tuple[int, int, int, int, int]
_Call: TypeAlias = tuple[np.ufunc, Array, Array, Array]


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
        split = matrix.reshape(*stack, depth, columns // max(1, self.width), self.width)
        # (..., 1, panels, K, width)
        self.panels = np.ascontiguousarray(np.moveaxis(split, -2, -3))[..., None, :, :, :]
        self.depth, self.columns = depth, columns
        self.cuts: dict[int, list[_Cut]] = {}

    def __call__(self, a: Array, out: Array) -> None:
        """Write ``a`` (..., M, K) ``@ matrix`` into ``out`` (..., M, N); rows may lie apart."""
        if a.ndim == 2 and len(a) == 1:  # quick: a lone row through every panel
            np.matmul(a, self.panels[0], out=out.reshape(-1, 1, self.width))
            return
        for call, one, other, target in self.bind(a, out):
            call(one, other, out=target)

    def bind(self, a: Array, out: Array) -> list[_Call]:
        """What computes the same for arrays that stay: calls with their operands."""
        rows = a.shape[-2]
        cuts = self.cuts.get(rows)
        if cuts is None:
            if len(self.cuts) >= MAX_SHAPES:
                self.cuts.clear()
            cuts = self.cuts[rows] = list(self._cut(rows))
        calls: list[_Call] = []
        for top, bottom, block, start, stop in cuts:
            left = a[..., top:bottom, start:stop]
            left = left.reshape(*left.shape[:-2], -1, 1, block, stop - start)
            target = scratch("partial", *out.shape) if start else out
            right = target[..., top:bottom, :]
            right = right.reshape(*right.shape[:-2], -1, block, self.panels.shape[-3], self.width)
            panels = self.panels if stop - start == self.depth else self.panels[..., start:stop, :]
            calls.append((np.matmul, left, panels, right.swapaxes(-2, -3)))
            if start and bottom == rows:
                calls.append((np.add, out, target, out))
        return calls

    def _cut(self, rows: int) -> Iterator[_Cut]:
        """The products: from which to which row, in blocks of how many, and which of K."""
        whole = rows == 1 or not self.small  # one row is no product of matrices for BLAS
        pieces = 1 if whole else max(1, -(-self.depth // DEPTH))
        edges = [self.depth * piece // pieces for piece in range(pieces + 1)]
        for start, stop in pairwise(edges):
            most = rows if whole else max(1, SMALL // max(1, (stop - start) * self.width))
            blocks = max(1, -(-rows // max(1, most)))
            block = max(1, -(-rows // blocks))
            # A somewhat smaller block that leaves no remainder saves a call.
            block = next((b for b in range(block, block * 3 // 4, -1) if rows % b == 0), block)
            even = rows // block * block
            if even:
                yield 0, even, block, start, stop
            if even < rows:
                yield even, rows, rows - even, start, stop

    def scaled(self, scale: Array) -> Product:
        """The product with ``scale[:, None] * matrix``; good until another is asked for."""
        other = copy(self)
        other.panels = scratch("panels", *self.panels.shape)
        np.multiply(self.panels, scale[:, None], out=other.panels)
        return other
