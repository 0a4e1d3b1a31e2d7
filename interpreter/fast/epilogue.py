"""What follows a product in the same kernel: bias, residual sum, activation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..types import Array
from .activations import activation


class Epilogue:
    """Bias, residual and activation of one kernel, applied to a block while it is in the cache."""

    def __init__(self, bias: Array | None, kind: str, parameters: tuple[float, ...]) -> None:
        self.bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
        self.activate = activation(kind, parameters)
        self.tiled: dict[int, Array] = {}

    def __call__(self, y: Array, residual: Any = None) -> None:
        """Apply in place to a contiguous block whose last axis is the channel."""
        if self.bias is not None:
            self.add_bias(y)
        if residual is not None:
            np.add(y, residual, out=y)
        if self.activate is not None:
            self.activate(y)

    def add_bias(self, y: Array) -> None:
        """``y += bias`` over the last axis."""
        assert self.bias is not None
        along_rows(np.add, y, self.bias, self.tiled, out=y)


def along_rows(
    function: np.ufunc, x: Array, row: Array, tiled: dict[int, Array], out: Array
) -> None:
    """``out = function(x, row)`` over the last axis, both contiguous; they may be one.

    Short inner loops are slow in NumPy, so rows are taken together until they are
    long enough, against a row repeated as often; ``tiled`` keeps the repeated ones.
    """
    rows = x.size // row.size
    together = math.gcd(rows, 1 << max(0, (1023 // row.size).bit_length()))
    repeated = tiled.get(together)
    if repeated is None:
        repeated = tiled[together] = np.tile(row, together)
    shape = (rows // together, repeated.size)
    function(x.reshape(shape), repeated, out=out.reshape(shape))
