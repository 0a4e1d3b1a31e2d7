"""Elementwise chains in one kernel: scale, shift and activation over the last axis."""

from __future__ import annotations

import numpy as np

from ..types import Array
from . import fast
from .epilogue import Epilogue, along_rows
from .parallel import share, slice_of

WORK = 8
"""About how many multiplications an element of an activation is worth."""


@fast("Activation")
class Activation:
    """An activation by itself: a copy, then in place."""

    def __init__(self, *, activation: str, activation_parameters: tuple[float, ...] = ()) -> None:
        self.epilogue = Epilogue(None, activation, activation_parameters)

    def __call__(self, x: Array) -> Array:
        y = np.empty(x.shape, np.float32)
        source, target = np.ascontiguousarray(x).reshape(-1), y.reshape(-1)

        def part(index: int, parts: int) -> None:
            mine = slice_of(y.size, index, parts)
            self.rows(source[mine], target[mine])

        share(part, float(y.size) * WORK)
        return y

    def rows(self, x: Array, y: Array) -> None:
        """Write the activation of x into y, both contiguous."""
        np.copyto(y, x)
        self.epilogue(y)


@fast("Affine")
class Affine:
    """``activation(x * scale + shift)``, scale and shift along the last axis of x."""

    def __init__(
        self,
        *,
        scale: Array,
        shift: Array,
        activation: str = "",
        activation_parameters: tuple[float, ...] = (),
    ) -> None:
        self.scale = np.ascontiguousarray(scale, np.float32)
        self.epilogue = Epilogue(shift, activation, activation_parameters)
        self.tiled: dict[int, Array] = {}

    def __call__(self, x: Array) -> Array:
        y = np.empty(x.shape, np.float32)
        if y.size == 0:
            return y
        along_rows(np.multiply, np.ascontiguousarray(x), self.scale, self.tiled, out=y)
        self.epilogue(y)
        return y
