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

import math
from functools import cached_property
from typing import Any

import numpy as np

from ..types import Array
from .blocks import Block, Reach, Tasks, cut
from .conv import Geometry
from .product import Product
from .winograd_tiles import LargeTiles, SmallTiles, Tiles
from .workspace import PerShape

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


BUDGETS = {2: 960 * 1024, 4: 480 * 1024}
"""Elements of a block's transformed tiles and products, for each m: larger blocks cost fewer calls,
smaller ones stay nearer."""
MANY_TILES = 32
"""Tiles of 4×4: with fewer, F(2×2) was measured to be as fast or faster."""
LARGEST = 1e12
"""Transformed weights that are finite and smaller than this cannot make a sum overflow where the
squares of the images' values do not: where those stay below 2e19, their transforms below 2e21."""
FEW_WEIGHTS = 80_000
"""Weights so few that F(4×4) is as fast with any number of tiles."""


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
        self.product = Product(transformed.reshape(places, *geometry.channels))
        self.has_room = bool(np.abs(transformed).max() < LARGEST)
        self.into, self.back = b.astype(np.float32), a.astype(np.float32)
        self.tasks: PerShape[Tasks] = PerShape(self._tasks)

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        self.tasks(x.shape, parts).run(x, y, residual, part, parts)

    def _tasks(self, shape: tuple[int, ...], parts: int) -> Tasks:
        """The blocks of one input shape and their buffers. A block's rows are rows of tiles."""
        geometry, m = self.geometry, self.m
        rows, columns = geometry.rows_and_columns(shape[1], shape[2])
        if geometry.pool:
            rows, columns = rows // 2 * 2, columns // 2 * 2
        tile_columns = -(-columns // m)
        per_tile = self.size**2 * sum(geometry.channels)
        # The weights are read once a block: with many of them, a block must be worth it.
        budget = max(BUDGETS[m], min(128, math.prod(geometry.channels) // 512) * per_tile)
        blocks = cut(shape[0], -(-rows // m), per_tile * tile_columns, budget, parts)

        def reach(block: Block) -> Reach:
            return geometry.reach(shape[1], block.top * m, block.rows * m + 2)

        def tiles(block: Block, reach: Reach) -> Tiles:
            kind = SmallTiles if m == 2 else LargeTiles
            return kind(self, block.images, block.rows, tile_columns, reach, shape[2])

        return Tasks(blocks, reach, m // geometry.pool_shape[0], tiles)


class ByTiles:
    """F(4×4) where the images are cut into ``MANY_TILES`` or more, else F(2×2).

    The weights of F(4×4) are four times as large as the model's own, and have to be
    read whatever the number of tiles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    @cached_property
    def small(self) -> Winograd:
        """The form for few tiles."""
        return Winograd(self.geometry, 2)

    @cached_property
    def large(self) -> Winograd:
        """The form for many."""
        return Winograd(self.geometry, 4)

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        rows, columns = self.geometry.rows_and_columns(x.shape[1], x.shape[2])
        many = len(x) * -(-rows // 4) * -(-columns // 4) >= MANY_TILES
        many = many or self.geometry.weight.size <= FEW_WEIGHTS
        (self.large if many else self.small)(x, y, residual, part, parts)
