"""The tiles of a block of images: into Winograd's transform, through the products, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import Array
from .blocks import Reach
from .patches import Patches
from .product import SMALL
from .workspace import as_items, scratch

if TYPE_CHECKING:
    from .winograd import Winograd

QUARTER = np.array(0.25, np.float32)


class Tiles:
    """The buffers of blocks of one form, and what computes them.

    Images lie innermost but for the channels, so that each operand of a transform is
    one long run.

    Parameters
    ----------
    conv : weights, matrices and geometry.
    images, rows, columns : of a block: images, and rows and columns of tiles.
    reach : where its rows lie in the images; only ``above`` and ``below`` are used.
    width : of the images.
    """

    def __init__(
        self, conv: Winograd, images: int, rows: int, columns: int, reach: Reach, width: int
    ) -> None:
        self.conv, self.geometry, self.reach = conv, conv.geometry, reach
        self.images, self.rows, self.columns, self.width = images, rows, columns, width
        m, size = conv.m, conv.size
        channels, filters = self.geometry.channels
        count = rows * columns * images
        # (place in the tile, tile, channel); a tile's number is (row, column, image)
        self.transformed = scratch("operand", size * size, count, channels)
        self.products = scratch("product", size * size, count, filters)
        self.multiply = conv.product.bind(self.transformed, self.products)
        self.slabs = self.result = scratch("slabs", m * m, count, filters)
        step = m // self.geometry.pool_shape[0]
        if step < m:
            self.result = scratch("product", step * step, count, filters)
            windows = self.slabs.reshape(step, 2, step, 2, count, filters)
            above, below = windows[:, 0], windows[:, 1]
            pooled = self.result.reshape(step, step, count, filters)
            self.pooling = ((above, below, above), (above[:, :, 0], above[:, :, 1], pooled))
        # (row in the tile, column in the tile, row of tiles, column of tiles, image)
        self.tiles = as_items(self.result.reshape(step, step, rows, columns, images, filters))

    def fill(self, x: Array) -> None:
        """Copy the images, contiguous, into the padded buffer, whose border stays zero."""
        raise NotImplementedError

    def transform(self) -> None:
        """Bᵀ d B of every tile d."""
        raise NotImplementedError

    def transform_back(self) -> None:
        """Aᵀ M A of every tile's products M."""
        raise NotImplementedError

    def __call__(self, x: Array, out: Array, residual: Any) -> None:
        """Compute a block: x are its rows of the images, ``out`` its part of the output."""
        x = np.ascontiguousarray(x)
        flat = x.reshape(-1)
        # What is not finite, or so large that a sum might overflow, would spread over its tile and
        # hide behind an activation. A sum of squares shows it in one pass.
        if not (self.conv.has_room and math.isfinite(np.dot(flat, flat))):
            self._directly(x, out, residual)
            return
        self.fill(x)
        self.transform()
        for call, one, other, result in self.multiply:
            call(one, other, out=result)
        self.transform_back()
        if self.geometry.pool:
            self._pool()
        if residual is None and self.geometry.pool != "average":
            self.geometry.epilogue(self.result)
        self._place(out)
        if residual is not None:
            self.geometry.epilogue(out, residual)

    def _pool(self) -> None:
        """The largest, or the mean, of each 2×2 outputs of a tile."""
        average = self.geometry.pool == "average"
        if average:
            self.geometry.epilogue(self.slabs)
        combine = np.add if average else np.maximum
        for one, other, both in self.pooling:
            combine(one, other, out=both)
        if average:
            np.multiply(self.result, QUARTER, out=self.result)

    def _place(self, out: Array) -> None:
        """Put the tiles in their places; those at the edge may reach over it."""
        step = len(self.tiles)
        pixels = as_items(out)
        whole = (self.images, self.rows, step, self.columns, step)
        if pixels.size == self.tiles.size:
            np.copyto(pixels.reshape(whole).transpose(2, 4, 1, 3, 0), self.tiles)
            return
        pixels = pixels.transpose(1, 2, 0)
        for row in range(step):
            for column in range(step):
                place = pixels[row::step, column::step]
                np.copyto(place, self.tiles[row, column, : place.shape[0], : place.shape[1]])

    def _directly(self, x: Array, out: Array, residual: Any) -> None:
        """The same block in the direct form."""
        _, left, _, right = self.geometry.pads
        geometry = replace(self.geometry, pads=(self.reach.above, left, self.reach.below, right))
        y = np.empty(geometry.output_shape(x.shape), np.float32)
        rest = None
        if residual is not None:
            rest = np.zeros_like(y)
            rest[:, : residual.shape[1]] = residual
        Patches(geometry)(x, y, rest, 0, 1)
        np.copyto(out, y[:, : out.shape[1]])


class SmallTiles(Tiles):
    """F(2×2).

    Bᵀ d B is made by additions, Bᵀ d being (d₂ - d₀, d₁ + d₂, d₂ - d₁, d₃ - d₁), for rows
    and for columns alike; even and odd columns lie apart for that. The way back is one
    product with the Kronecker product of Aᵀ with itself.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        conv, images, rows, columns = self.conv, self.images, self.rows, self.columns
        size, channels = conv.size, self.geometry.channels[0]
        # (row, column modulo 2, column over 2, image, channel)
        padded = np.zeros((2 * rows + 2, 2, columns + 1, images, channels), np.float32)
        inside = padded[self.reach.above : len(padded) - self.reach.below]
        self.fills = [
            (as_items(inside[:, parity, target]), source)
            for parity in range(2)
            for target, source in _places(parity - self.geometry.pads[1], columns + 1, self.width)
        ]
        # The products lie where the rows were: those are no longer needed.
        by_row = scratch("product", size, rows, 2, columns + 1, images * channels)
        by_place = self.transformed.reshape(size, size, rows, columns, images * channels)
        pairs = padded.reshape(rows + 1, 2, *by_row.shape[2:]).swapaxes(0, 1)
        parities = np.moveaxis(by_row, 2, 0)
        self.additions = [
            *_additions(pairs[:, :-1], pairs[:, 1:], by_row),
            *_additions(parities[..., :-1, :], parities[..., 1:, :], by_place.swapaxes(0, 1)),
        ]
        self.matrix = np.kron(conv.back, conv.back)
        count = self.slabs.shape[1]
        self.product_pieces, self.slab_pieces = (
            _pieces(array.reshape(len(array), -1), count, self.matrix.size)
            for array in (self.products, self.slabs)
        )

    def fill(self, x: Array) -> None:
        pixels = as_items(x).transpose(1, 2, 0)
        for inside, columns in self.fills:
            np.copyto(inside, pixels[:, columns])

    def transform(self) -> None:
        for call, one, other, out in self.additions:
            call(one, other, out)

    def transform_back(self) -> None:
        np.matmul(self.matrix, self.product_pieces, out=self.slab_pieces)


class LargeTiles(Tiles):
    """F(4×4): each transform is two products, over the rows and over the columns."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        conv, images, rows, columns = self.conv, self.images, self.rows, self.columns
        m, size = conv.m, conv.size
        channels = self.geometry.channels[0]
        # (row, column, image, channel)
        padded = np.zeros((m * rows + 2, m * columns + 2, images, channels), np.float32)
        self.left = self.geometry.pads[1]
        self.most = m * columns + 2 - self.left
        inside = padded[self.reach.above : len(padded) - self.reach.below, self.left :]
        self.inside = as_items(inside[:, : self.width])
        # Tiles overlap by two rows and columns. (row of tiles, row in the tile, all the rest)
        line = padded[0].size
        self.by_line = np.ndarray(
            (rows, size, line), np.float32, padded, 0, (m * line * 4, line * 4, 4)
        )
        self.by_row = scratch("product", rows, size, line)
        pixel = images * channels
        windows = np.ndarray(
            (rows, size, size, columns, pixel),
            np.float32,
            self.by_row,
            0,
            (size * line * 4, line * 4, pixel * 4, m * pixel * 4, 4),
        )
        gathered = scratch("slabs", rows, size, size, columns * pixel)
        self.windows = as_items(windows)
        self.gathered_items = as_items(gathered.reshape(windows.shape))
        self.gathered = gathered
        self.by_place = self.transformed.reshape(size, size, rows, -1).transpose(2, 0, 1, 3)
        self.product_rows = self.products.reshape(size, -1)
        half = scratch("operand", m, self.product_rows.shape[1])
        self.half, self.half_columns = half, half.reshape(m, size, -1)
        self.slab_rows = self.slabs.reshape(m, m, -1)

    def fill(self, x: Array) -> None:
        pixels = as_items(x).transpose(1, 2, 0)
        np.copyto(self.inside, pixels[:, : self.most])

    def transform(self) -> None:
        np.matmul(self.conv.into, self.by_line, out=self.by_row)
        np.copyto(self.gathered_items, self.windows)
        np.matmul(self.conv.into, self.gathered, out=self.by_place)

    def transform_back(self) -> None:
        np.matmul(self.conv.back, self.product_rows, out=self.half)
        np.matmul(self.conv.back, self.half_columns, out=self.slab_rows)


def _additions(d: Array, e: Array, out: Array) -> list[tuple[np.ufunc, Array, Array, Array]]:
    """What makes ``out`` = (e₀ - d₀, d₁ + e₀, e₀ - d₁, e₁ - d₁) of the first two lines of each
    tile, d, and the last two, e: (call, operand, operand, result)."""
    return [
        (np.subtract, e, d, out[0::3]),
        (np.add, d[1], e[0], out[1]),
        (np.subtract, e[0], d[1], out[2]),
    ]


def _places(first: int, count: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where columns ``first``, ``first + 2`` … of an image go, ``count`` places, as slices of
    the places and of the image; none where none of them is in the image."""
    start = max(0, -(first // 2))
    stop = min(count, -(-(width - first) // 2))
    if stop > start:
        source = first + 2 * start
        yield slice(start, stop), slice(source, source + 2 * (stop - start) - 1, 2)


def _pieces(matrix: Array, count: int, work: int) -> Array:
    """The matrix cut into blocks of columns, each block a product that BLAS is fast at.

    ``count`` tiles of some channels each make the columns; a block is a whole
    number of tiles that divides ``count``. Returns (blocks, rows, columns of a block).
    """
    channels = matrix.shape[1] // count
    most = max(1, SMALL // (work * channels))
    tiles = next(size for size in range(min(most, count), 0, -1) if count % size == 0)
    if tiles * channels < 256:  # a prime number of tiles: one wide product is better
        tiles = count
    return matrix.reshape(matrix.shape[0], count // tiles, tiles * channels).transpose(1, 0, 2)
