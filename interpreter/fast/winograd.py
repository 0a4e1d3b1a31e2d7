"""Winograd's minimal filtering for 3×3 convolutions of stride 1.

F(m×m, 3×3) computes an m×m tile of the output from an (m+2)×(m+2) tile d of the
input with (m+2)² multiplications a channel, where the direct form needs 9 m²:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

(Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015, section
4.1.) Here the elementwise product summed over the channels is one matrix product
for each of the (m+2)² places of a tile. The transforms are products over the rows
and then over the columns of the tiles, or additions where that is less.


The largest error over the largest output, against float64, is that of the direct
form for m = 2, and about 1e-6 for m = 4: see ``POINTS``. Infinities and NaN pass
through as in the direct form.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..types import Array
from .blocks import Block, cut, share_of
from .conv import Geometry, Patches, Reach
from .workspace import PerShape, scratch

POINTS = {2: (0, 1, -1), 4: (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)}
"""Where the polynomials are evaluated, beside infinity.

The usual 0, ±1, ±2 of F(4×4) err three to four times as much: the closer the powers
of the points are to 1 the less is lost, and these are exact in binary (after
Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution
for Deep Neural Networks, 2018, which compares points).
"""


def matrices(m: int) -> tuple[Array, Array, Array]:
    """Aᵀ (m, n), Bᵀ (n, n) and G (n, 3) of F(m, 3) in float64, with n = m + 2.

    Toom and Cook's construction: the filter and the outputs are evaluated at
    the points a, the input is the transposed interpolation, whose row j holds
    the coefficients of the product of all (x - a_l) but the j-th.
    """
    points = np.array(POINTS[m], np.float64)
    n = m + 2
    a, b, g = np.zeros((m, n)), np.zeros((n, n)), np.zeros((n, 3))
    for j, point in enumerate(points):
        others = np.delete(points, j)
        a[:, j] = point ** np.arange(m)
        b[j, : n - 1] = np.poly(others)[::-1]
        g[j] = point ** np.arange(3) / np.prod(point - others)
    a[m - 1, n - 1] = g[n - 1, 2] = 1
    b[n - 1] = np.poly(points)[::-1]
    return a, b, g


BLOCK_BUDGET = 320 * 1024
"""Elements of a block's transformed tiles and products."""
QUARTER = np.array(0.25, np.float32)
SMALL_PRODUCT = 1_000_000
"""OpenBLAS has a faster path for products of at most so many multiplications."""


class Winograd:
    """A 3×3 convolution of stride 1, by tiles of m×m outputs."""

    def __init__(self, geometry: Geometry, m: int) -> None:
        self.geometry = geometry
        self.m = m
        self.size = m + 2
        places = self.size**2
        a, b, g = matrices(m)
        transform = np.kron(g, g)
        weight = np.ascontiguousarray(geometry.weight).reshape(9, -1)
        if m == 2:  # G has only 1 and 1/2: float32 is as exact as the weights themselves
            transformed = transform.astype(np.float32) @ weight
        else:
            transformed = (transform @ weight.astype(np.float64)).astype(np.float32)
        self.matrix = transformed.reshape(places, *geometry.channels)
        self.into, self.back = b.astype(np.float32), a.astype(np.float32)
        self.states: PerShape[_State] = PerShape(lambda shape, parts: _State(self, shape, parts))

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        self.states(x.shape, parts).run(x, y, residual, part, parts)


class _State:
    """The blocks, buffers and views for one input shape. A block's rows are rows of tiles."""

    def __init__(self, conv: Winograd, shape: tuple[int, ...], parts: int) -> None:
        self.conv = conv
        geometry, m = conv.geometry, conv.m
        rows, columns = geometry.rows_and_columns(shape[1], shape[2])
        if geometry.pool:
            rows, columns = rows // 2 * 2, columns // 2 * 2
        self.tile_columns = -(-columns // m)
        channels, filters = geometry.channels
        per_tile = conv.size**2 * (channels + filters)
        # The weights are read once a block: with many of them, a block must be worth it.
        budget = max(BLOCK_BUDGET, min(128, conv.matrix[0].size // 512) * per_tile)
        self.blocks = cut(shape[0], -(-rows // m), per_tile * self.tile_columns, budget, parts)
        self.views: dict[Hashable, _View] = {}

    def run(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        conv = self.conv
        for block in share_of(self.blocks, part, parts):
            reach = conv.geometry.reach(x.shape[1], block.top * conv.m, block.rows * conv.m + 2)
            key = (block.images, block.rows, reach.above, reach.below)
            view = self.views.get(key)
            if view is None:
                view = self.views[key] = _View(self, block, reach, x.shape)
            view.fill(x[block.start : block.stop, reach.start : reach.stop])
            view.transform()
            np.matmul(view.transformed, conv.matrix, out=view.products)
            view.back()
            out, rest = self.part(block, y), self.part(block, residual)
            self.finish(view, out, rest)
            # An infinity, or a sum that overflows, makes its whole tile NaN (0 · ∞): such blocks
            # are computed again in the direct form. A sum of squares is NaN where any value is.
            flat = out.reshape(-1)
            if np.isnan(np.dot(flat, flat)):
                self.directly(x[block.start : block.stop, reach.start : reach.stop], reach, out, rest)

    def part(self, block: Block, y: Any) -> Any:
        """The block's part of the output, or of the residual where there is one."""
        if y is None:
            return None
        step = self.conv.m // self.conv.geometry.pool_shape[0]
        return y[block.start : block.stop, block.top * step : block.bottom * step]

    def directly(self, x: Array, reach: Reach, out: Array, residual: Any) -> None:
        """The same block in the direct form."""
        geometry = self.conv.geometry
        pads = (reach.above, geometry.pads[1], reach.below, geometry.pads[3])
        geometry = replace(geometry, pads=pads, epilogue=geometry.epilogue)
        y = np.empty(geometry.output_shape(x.shape), np.float32)
        rest = None
        if residual is not None:
            rest = np.zeros_like(y)
            rest[:, : residual.shape[1]] = residual
        Patches(geometry)(x, y, rest, 0, 1)
        np.copyto(out, y[:, : out.shape[1]])

    def finish(self, view: _View, out: Array, residual: Any) -> None:
        """Pool, apply the epilogue, and put the tiles in their places."""
        epilogue, pool = self.conv.geometry.epilogue, self.conv.geometry.pool
        if pool == "max":
            for one, other, larger in view.pooling:
                np.maximum(one, other, out=larger)
        elif pool == "average":
            epilogue(view.slabs)
            for one, other, total in view.pooling:
                np.add(one, other, out=total)
            np.multiply(view.result, QUARTER, out=view.result)
        if residual is None and pool != "average":
            epilogue(view.result)
        step = len(view.tiles)
        for row in range(step):
            for column in range(step):
                place = out[:, row::step, column::step].transpose(1, 2, 0, 3)
                np.copyto(place, view.tiles[row, column, : place.shape[0], : place.shape[1]])
        if residual is not None:
            epilogue(out, residual)


class _View:
    """The buffers of blocks of one form: their padded images, transforms and products.

    Images lie innermost but for the channels, and columns are kept apart by their
    place in the tile: so each operand of a transform is one long run.
    """

    def __init__(self, state: _State, block: Block, reach: Reach, shape: tuple[int, ...]) -> None:
        conv = state.conv
        m, size = conv.m, conv.size
        channels, filters = conv.geometry.channels
        columns, images, self.rows = state.tile_columns, block.images, block.rows
        run, count, places = images * channels, self.rows * columns * images, size * size
        # (place in the tile, row of tiles, column of tiles, image, channel)
        self.transformed = scratch("transformed", places, count, channels)
        self.by_place = self.transformed.reshape(size, size, self.rows, columns, run)
        # The products may lie where the rows were: those are no longer needed; nor are they later.
        self.products = scratch("products", places, count, filters)
        self.slabs = self.result = scratch("slabs", m * m, count, filters)
        step = m // conv.geometry.pool_shape[0]
        if step < m:
            self.result = scratch("products", step * step, count, filters)
            windows = self.slabs.reshape(step, 2, step, 2, count, filters)
            above, below = windows[:, 0], windows[:, 1]
            pooled = self.result.reshape(step, step, count, filters)
            self.pooling = ((above, below, above), (above[:, :, 0], above[:, :, 1], pooled))
        # (row in the tile, column in the tile, row of tiles, column of tiles, image, filter)
        self.tiles = self.result.reshape(step, step, self.rows, columns, images, filters)
        if m == 2:
            # The third and fourth column of a tile are the first two of the next.
            phases, wide = 2, columns + 1
            self.by_row = scratch("products", size, self.rows, 2, wide, run)
        else:
            phases, wide = size, columns
            self.by_row = scratch("products", self.rows, size, size, columns, run)
        # (row, column's place in the tile, column of tiles, image, channel)
        self.padded = np.zeros((m * self.rows + 2, phases, wide, images, channels), np.float32)
        inside = self.padded[reach.above : reach.above + reach.stop - reach.start]
        self.fills = [
            (inside[:, phase, target], source)
            for phase in range(phases)
            for target, source in _columns(phase - conv.geometry.pads[1], m, wide, shape[2])
        ]
        self.transform, self.back = self._f2(conv) if m == 2 else self._f4(conv)

    def fill(self, x: Array) -> None:
        """Copy the images in; the border stays zero."""
        for inside, columns in self.fills:
            np.copyto(inside, x[:, :, columns].transpose(1, 2, 0, 3))

    def _f2(self, conv: Winograd) -> tuple[Callable[[], None], Callable[[], None]]:
        """Bᵀ d B by additions: Bᵀ is (d₂ - d₀, d₁ + d₂, d₂ - d₁, d₃ - d₁), by rows and by
        columns; and the way back as one product with the Kronecker product A ⊗ A."""
        size, _, rows, columns, _ = self.by_place.shape
        even, odd = self.padded[0::2], self.padded[1::2]
        shape = self.by_row.shape[1:]
        d = [part.reshape(shape) for part in (even[:-1], odd[:-1], even[1:], odd[1:])]
        e = [self.by_row[:, :, j % 2, j // 2 : j // 2 + columns] for j in range(size)]
        calls = [
            (call, lines[one], lines[other], out[place])
            for lines, out in ((d, self.by_row), (e, self.by_place.swapaxes(0, 1)))
            for place, (call, one, other) in enumerate(
                [(np.subtract, 2, 0), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 3, 1)]
            )
        ]
        matrix = np.kron(conv.back, conv.back)
        count = self.slabs.shape[1]
        products, slabs = (
            _pieces(array.reshape(len(array), -1), count, matrix.size)
            for array in (self.products, self.slabs)
        )

        def transform() -> None:
            for call, one, other, out in calls:
                call(one, other, out)

        return transform, partial(np.matmul, matrix, products, out=slabs)

    def _f4(self, conv: Winograd) -> tuple[Callable[[], None], Callable[[], None]]:
        """Bᵀ d B and Aᵀ M A as two products each, over the rows and over the columns."""
        into, back, m, size = conv.into, conv.back, conv.m, conv.size
        lines = self.padded.reshape(len(self.padded), -1)
        # Tiles overlap by two rows: (row of tiles, row in the tile, all the rest)
        tiles = np.ndarray(
            (self.rows, size, lines.shape[1]),
            np.float32,
            lines,
            strides=(m * lines.strides[0], *lines.strides),
        )
        by_row = self.by_row.reshape(self.rows, size, -1)
        columns = self.by_row.reshape(self.rows, size, size, -1)
        by_place = self.by_place.reshape(size, size, self.rows, -1).transpose(2, 0, 1, 3)
        products = self.products.reshape(size, -1)
        half = scratch("transformed", m, products.shape[1])
        half_columns = half.reshape(m, size, -1)
        slabs = self.slabs.reshape(m, m, -1)

        def transform() -> None:
            np.matmul(into, tiles, out=by_row)
            np.matmul(into, columns, out=by_place)

        def transform_back() -> None:
            np.matmul(back, products, out=half)
            np.matmul(back, half_columns, out=slabs)

        return transform, transform_back


def _columns(first: int, step: int, count: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where columns ``first``, ``first + step`` … of an image go, ``count`` places, as slices of
    the places and of the image; none where none of them is in the image."""
    start = max(0, -(first // step))
    stop = min(count, -(-(width - first) // step))
    if stop > start:
        source = first + start * step
        yield slice(start, stop), slice(source, source + (stop - start - 1) * step + 1, step)


def _pieces(matrix: Array, count: int, work: int) -> Array:
    """The matrix cut into blocks of columns, each block a product that BLAS is fast at.

    ``count`` tiles of some channels each make the columns; a block is a whole
    number of tiles that divides ``count``. Returns (blocks, rows, columns of a block).
    """
    channels = matrix.shape[1] // count
    most = max(1, SMALL_PRODUCT // (work * channels))
    tiles = next(size for size in range(min(most, count), 0, -1) if count % size == 0)
    if tiles * channels < 256:  # a prime number of tiles: one wide product is better
        tiles = count
    return matrix.reshape(matrix.shape[0], count // tiles, tiles * channels).transpose(1, 0, 2)
