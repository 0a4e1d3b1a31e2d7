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
        """``y += bias`` over the last axis.

        Short inner loops are slow in NumPy, so rows are taken together until
        they are long enough, against a bias repeated as often.
        """
        bias = self.bias
        assert bias is not None
        rows = y.size // bias.size
        together = math.gcd(rows, 1 << max(0, (1023 // bias.size).bit_length()))
        tiled = self.tiled.get(together)
        if tiled is None:
            tiled = self.tiled[together] = np.tile(bias, together)
        flat = y.reshape(rows // together, tiled.size)
        np.add(flat, tiled, out=flat)
