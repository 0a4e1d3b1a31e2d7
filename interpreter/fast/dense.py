"""A product with a constant matrix, with bias and activation in the same kernel."""

from __future__ import annotations

import numpy as np

from ..types import Array
from . import fast
from .epilogue import Epilogue
from .parallel import share, slice_of
from .product import Product


@fast("Dense")
class Dense:
    """``activation(x @ weight + bias)`` for x (..., K) and weight (K, N), float32."""

    def __init__(
        self,
        *,
        weight: Array,
        bias: Array | None = None,
        activation: str = "",
        activation_parameters: tuple[float, ...] = (),
    ) -> None:
        self.product = Product(np.asarray(weight, np.float32))
        self.epilogue = Epilogue(bias, activation, activation_parameters)

    def __call__(self, x: Array) -> Array:
        depth, width = self.product.depth, self.product.columns
        if x.shape[-1] != depth:
            raise ValueError(f"the last axis is {x.shape[-1]} long; the weight's first is {depth}")
        rows = x.reshape(-1, depth)
        y = np.empty((rows.shape[0], width), np.float32)

        def part(index: int, parts: int) -> None:
            mine = slice_of(len(rows), index, parts)
            self.rows(rows[mine], y[mine])

        if y.size:
            share(part, float(rows.size) * width)
        return y.reshape(*x.shape[:-1], width)

    def rows(self, x: Array, y: Array) -> None:
        """Write the result for a block x (rows, K) into y (rows, N)."""
        self.product(x, y)
        self.epilogue(y)
