"""Depthwise convolution: every channel has a filter of its own.

There is nothing to multiply as matrices. One einsum sums over the kernel's places
with a whole row of pixels and channels as its inner loop, against weights that
are repeated along the row. Where the kernel moves by more than one column, the
columns are first sorted by their phase, so that the pixels that one place of the
kernel meets stand side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array
from .blocks import Block, Reach, Tasks, cut
from .conv import Geometry
from .workspace import PerShape, as_items, scratch

BUDGET = 128 * 1024
"""Elements of a block's output."""


class Depthwise:
    """A depthwise convolution with one filter a channel."""

    slowness = 8
    """How much longer a multiplication takes here than in a matrix product, about."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.weight = np.ascontiguousarray(geometry.weight[:, :, 0], np.float32)
        self.states: PerShape[_State] = PerShape(lambda shape, parts: _State(self, shape, parts))

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        self.states(x.shape, parts).tasks.run(x, y, residual, part, parts)


class _State:
    """The blocks for one input shape. ``phases`` has, for each phase of the columns that the
    kernel meets, its number, the place of the first column, the step to the next, and the
    weights (kernel h, columns of the kernel, output columns * channels)."""

    def __init__(self, conv: Depthwise, shape: tuple[int, ...], parts: int) -> None:
        geometry = self.geometry = conv.geometry
        rows, self.columns = geometry.rows_and_columns(shape[1], shape[2])
        kernel_h, kernel_w = geometry.kernel
        stride_h, stride_w = geometry.strides
        dilation_h, dilation_w = geometry.dilations
        weight = np.tile(conv.weight, (1, 1, self.columns))
        self.phases: list[tuple[int, int, int, Array]] = []
        for phase in range(stride_w):
            met = [j for j in range(kernel_w) if j * dilation_w % stride_w == phase]
            if met:
                places = [j * dilation_w // stride_w for j in met]
                step = places[1] - places[0] if len(met) > 1 else 0
                mine = np.ascontiguousarray(weight[:, met])
                self.phases.append((phase, places[0], step, mine))
        blocks = cut(shape[0], rows, self.columns * shape[3], BUDGET, parts)
        span = (kernel_h - 1) * dilation_h + 1

        def reach(block: Block) -> Reach:
            height = (block.rows - 1) * stride_h + span
            return geometry.reach(shape[1], block.top * stride_h, height)

        self.tasks = Tasks(blocks, reach, 1, lambda block, reach: _View(self, block, reach, shape))


class _View:
    """The padded images of blocks of one form, by phase, and the windows into them."""

    def __init__(self, state: _State, block: Block, reach: Reach, shape: tuple[int, ...]) -> None:
        self.geometry = geometry = state.geometry
        _, _, width, channels = shape
        stride_h, stride_w = geometry.strides
        _, left, _, right = geometry.pads
        height = reach.above + reach.below + reach.stop - reach.start
        # (phase, image, row, column, channel)
        padded = np.zeros(
            (stride_w, block.images, height, -(-(left + width + right) // stride_w), channels),
            np.float32,
        )
        rows = slice(reach.above, height - reach.below)
        self.fills: list[tuple[Array, slice]] = []
        for phase in range(stride_w):
            first = (phase - left) % stride_w
            place = (first + left) // stride_w
            columns = len(range(first, width, stride_w))
            inside = padded[phase, :, rows, place : place + columns]
            self.fills.append((inside, slice(first, None, stride_w)))
        self.shape = (block.images, block.rows, state.columns * channels)
        _, image, row, column, item = padded.strides
        self.windows: list[tuple[Array, Array]] = []
        for phase, place, step, weight in state.phases:
            windows = np.ndarray(
                (*self.shape[:2], *weight.shape),
                np.float32,
                padded,
                phase * padded.strides[0] + place * column,
                (image, row * stride_h, row * geometry.dilations[0], step * column, item),
            )
            self.windows.append((windows, weight))

    def __call__(self, x: Array, out: Array, residual: Any) -> None:
        """Compute a block: x are its rows of the images, ``out`` its part of the output."""
        for inside, columns in self.fills:
            phase = x[:, :, columns]
            if len(self.fills) > 1 and phase.strides[-1] == phase.itemsize:
                np.copyto(as_items(inside), as_items(phase))
            else:
                np.copyto(inside, phase)
        total = out.reshape(self.shape)
        (windows, weight), *others = self.windows
        np.einsum("nhijp,ijp->nhp", windows, weight, out=total)
        for windows, weight in others:
            product = scratch("product", *self.shape)
            np.einsum("nhijp,ijp->nhp", windows, weight, out=product)
            np.add(total, product, out=total)
        self.geometry.epilogue(out, residual)
