"""1×1 convolution: the image is the patch matrix already."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array
from .blocks import cut
from .conv import Geometry
from .parallel import slice_of
from .product import Product

BUDGET = 640 * 1024
"""Elements of a block's input and output: they stay in the second-level cache."""


class Pointwise:
    """A 1×1 convolution: one product, over every ``strides``-th pixel."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.product = Product(np.asarray(geometry.weight[0, 0], np.float32))

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        stride_h, stride_w = self.geometry.strides
        if (stride_h, stride_w) != (1, 1):
            x = x[:, ::stride_h, ::stride_w]
        self.multiply(self.product, x, y, residual, part, parts)

    def multiply(
        self, product: Product, x: Array, y: Array, residual: Any, part: int, parts: int
    ) -> None:
        """The product of the pixels of x with a matrix in the place of the convolution's own."""
        epilogue = self.geometry.epilogue
        channels, filters = self.geometry.channels
        cost = y.shape[2] * (channels + filters)
        blocks = cut(y.shape[0], y.shape[1], cost, BUDGET, parts)
        for block in blocks[slice_of(len(blocks), part, parts)]:
            out = block.of(y)
            pixels = np.ascontiguousarray(block.of(x)).reshape(-1, channels)
            product(pixels, out.reshape(-1, filters))
            epilogue(out, None if residual is None else block.of(residual))
