"""Depthwise convolution: every channel has a filter of its own.

There is nothing to multiply as matrices. One einsum sums over the kernel's places
with a whole row of pixels and channels as its inner loop, against weights that
are repeated along the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array
from .blocks import cut, share_of
from .conv import Geometry, Padded
from .workspace import PerShape

ROW_BUDGET = 64 * 1024
"""Elements of a block's output."""


class Depthwise:
    """A depthwise convolution with one filter a channel."""

    slowness = 8
    """How much longer a multiplication takes here than in a matrix product, about."""
    between_products = True
    """It stands between 1×1 convolutions, which are small: see ``parallel``."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.weight = np.ascontiguousarray(geometry.weight[:, :, 0], np.float32)
        self.states: PerShape[_State] = PerShape(lambda shape, parts: _State(self, shape, parts))

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        self.states(x.shape, parts).run(x, y, residual, part, parts)


class _State:
    def __init__(self, conv: Depthwise, shape: tuple[int, ...], parts: int) -> None:
        geometry = conv.geometry
        self.geometry = geometry
        rows, columns = geometry.rows_and_columns(shape[1], shape[2])
        channels = shape[3]
        self.blocks = cut(shape[0], rows, columns * channels, ROW_BUDGET, parts)
        most = max((block.images for block in self.blocks), default=1)
        self.padded = Padded(geometry, shape, most)
        image, row, column, item = self.padded.buffer.strides
        kernel_h, kernel_w = geometry.kernel
        dense = geometry.strides[1] == 1
        # With stride 1 a row of pixels is one run; else each pixel is a run of its channels.
        repeats = columns if dense else 1
        self.weight = np.ascontiguousarray(np.tile(conv.weight, (1, 1, repeats)))
        inner = (columns * channels,) if dense else (columns, channels)
        inner_strides = (item,) if dense else (column * geometry.strides[1], item)
        self.windows = np.ndarray(
            (most, rows, *inner[:-1], kernel_h, kernel_w, inner[-1]),
            np.float32,
            self.padded.buffer,
            0,
            (image, row * geometry.strides[0], *inner_strides[:-1])
            + (row * geometry.dilations[0], column * geometry.dilations[1], inner_strides[-1]),
        )
        self.inner = inner
        self.formula = "nhijp,ijp->nhp" if dense else "nhwijp,ijp->nhwp"

    def run(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        filled = (-1, -1)
        for block in share_of(self.blocks, part, parts):
            if filled != (block.start, block.stop):
                self.padded.fill(x, block.start, block.stop)
                filled = (block.start, block.stop)
            out = block.of(y)
            np.einsum(
                self.formula,
                self.windows[: block.images, block.top : block.bottom],
                self.weight,
                out=out.reshape(block.images, block.rows, *self.inner),
            )
            self.geometry.epilogue(out, None if residual is None else block.of(residual))
