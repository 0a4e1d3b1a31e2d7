"""Winograd's minimal filtering for 3×3 convolutions of stride 1.

F(m×m, 3×3) computes an m×m tile of the output from an (m+2)×(m+2) tile d of the
input with (m+2)² multiplications a channel, where the direct form needs 9 m²:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

(Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015, section
4.1.) Here the transforms are products with the Kronecker product of a matrix with
itself, and the elementwise product summed over the channels is one matrix product
for each of the (m+2)² places of a tile.

The largest error over the largest output, against float64, is that of the direct
form for m = 2, and about 1e-6 for m = 4: see ``POINTS``. Infinities and NaN pass
through as in the direct form.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..types import Array
from .blocks import Block, cut, share_of
from .conv import Geometry, Padded, Patches, pool_into
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
        self.into = np.kron(b, b).astype(np.float32)
        self.back = np.kron(a, a).astype(np.float32)
        if geometry.pool:  # the m² outputs of a tile in the order of the pooling windows
            order = np.arange(m * m).reshape(m // 2, 2, m // 2, 2).transpose(1, 3, 0, 2).ravel()
            self.back = np.ascontiguousarray(self.back[order])
        self.states: PerShape[_State] = PerShape(lambda shape, parts: _State(self, shape, parts))

    @cached_property
    def direct(self) -> Patches:
        """The direct form, for images on which this one fails."""
        return Patches(self.geometry)

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
        self.out_rows, self.out_columns = rows, columns
        self.tile_rows, self.tile_columns = -(-rows // m), -(-columns // m)
        channels, filters = geometry.channels
        per_tile = conv.size**2 * (channels + filters)
        # The weights are read once a block: with many of them, a block must be worth it.
        budget = max(BLOCK_BUDGET, min(128, conv.matrix[0].size // 512) * per_tile)
        cost = per_tile * self.tile_columns
        self.blocks = cut(shape[0], self.tile_rows, cost, budget, parts)
        most = max((block.images for block in self.blocks), default=1)
        self.padded = Padded(geometry, shape, most, extra=m)
        self.views: dict[tuple[int, int, int], _View] = {}

    def run(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        conv = self.conv
        filled = (-1, -1)
        for block in share_of(self.blocks, part, parts):
            if filled != (block.start, block.stop):
                self.padded.fill(x, block.start, block.stop)
                filled = (block.start, block.stop)
            key = (block.images, block.top, block.bottom)
            view = self.views.get(key)
            if view is None:
                view = self.views[key] = _View(self, *key)
            np.copyto(view.tiles, view.windows)
            np.matmul(conv.into, view.columns_in, out=view.columns_through)
            np.matmul(view.transformed, conv.matrix, out=view.products)
            np.matmul(conv.back, view.columns_products, out=view.columns_out)
            out = self.finish(view, block, y, residual)
            # An infinity, or a sum that overflows, makes its whole tile NaN (0 · ∞): such images
            # are computed again in the direct form. The minimum is NaN where any value is.
            if np.isnan(np.minimum.reduce(out.reshape(-1))):
                images = slice(block.start, block.stop)
                rest = None if residual is None else residual[images]
                conv.direct(x[images], y[images], rest, 0, 1)

    def finish(self, view: _View, block: Block, y: Array, residual: Any) -> Array:
        """Pool, put the tiles in their places, and apply the epilogue; returns the block."""
        geometry, m = self.conv.geometry, self.conv.m
        step = m // 2 if geometry.pool else m
        top = block.top * step
        bottom = min(block.bottom * step, y.shape[1])
        out = y[block.start : block.stop, top:bottom]
        rest = None if residual is None else residual[block.start : block.stop, top:bottom]
        if geometry.pool and m == 2:
            pool_into(out, view.slabs, geometry, rest)
            return out
        slabs = view.slabs
        if geometry.pool:
            slabs = view.slabs.reshape(4, step * step, *slabs.shape[1:])
            pooled = scratch("pooled", step * step, *slabs.shape[2:])
            if geometry.pool == "average":
                geometry.epilogue(view.slabs)
                np.add.reduce(slabs, axis=0, out=pooled)
                pooled *= np.float32(0.25)
            else:
                np.maximum.reduce(slabs, axis=0, out=pooled)
            slabs = pooled
        tiles = slabs.reshape(
            step, step, block.images, block.rows, self.tile_columns, slabs.shape[-1]
        )
        for row in range(step):
            for column in range(step):
                place = out[:, row::step, column::step]
                np.copyto(place, tiles[row, column, :, : place.shape[1], : place.shape[2]])
        if geometry.pool != "average":
            geometry.epilogue(out, rest)
        return out


class _View:
    """The buffers of one block: windows of the padded images, tiles, transforms, products."""

    def __init__(self, state: _State, images: int, top: int, bottom: int) -> None:
        conv = state.conv
        m, size = conv.m, conv.size
        channels, filters = conv.geometry.channels
        buffer = state.padded.buffer
        image, row, column, item = buffer.strides
        rows, columns = bottom - top, state.tile_columns
        count, places = images * rows * columns, size * size
        self.windows = np.ndarray(
            (size, size, images, rows, columns, channels),
            np.float32,
            buffer,
            top * m * row,
            (row, column, image, m * row, m * column, item),
        )
        tiles = scratch("tiles", places, count * channels)
        self.tiles = tiles.reshape(self.windows.shape)
        self.transformed = scratch("transformed", places, count, channels)
        # The products may lie where the tiles were: those are no longer needed.
        self.products = scratch("tiles", places, count, filters)
        self.slabs = scratch("slabs", m * m, count, filters)
        self.columns_in = _columns(tiles, count, places * places)
        self.columns_through = _columns(
            self.transformed.reshape(places, -1), count, places * places
        )
        self.columns_products = _columns(self.products.reshape(places, -1), count, m * m * places)
        self.columns_out = _columns(self.slabs.reshape(m * m, -1), count, m * m * places)


def _columns(matrix: Array, count: int, work: int) -> Array:
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
