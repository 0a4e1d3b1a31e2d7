"""Convolution as patches and a matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array
from .blocks import Block, Reach, Tasks, cut
from .conv import Geometry
from .workspace import PerShape, as_items, scratch

BUDGET = 160 * 1024
"""Elements of a block's patches: with the product's output they stay in the second-level cache."""
LEAST_ROWS = 32
"""Rows of a product, below which BLAS works at half its speed or less."""


class Patches:
    """Any kernel, strides, pads, dilations and groups, a block of the output at a time."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        _, filters = geometry.channels
        group = geometry.group
        # (group, kernel h * kernel w * channels of the group, filters of the group)
        self.matrix = np.ascontiguousarray(
            geometry.weight.reshape(-1, group, filters // group).transpose(1, 0, 2), np.float32
        )
        self.states: PerShape[_State] = PerShape(lambda shape, parts: _State(self, shape, parts))

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        self.states(x.shape, parts).tasks.run(x, y, residual, part, parts)


class _State:
    """The blocks for one input shape, and their buffers. A block's rows are rows of the output."""

    def __init__(self, conv: Patches, shape: tuple[int, ...], parts: int) -> None:
        self.conv = conv
        geometry = conv.geometry
        pool_h, pool_w = geometry.pool_shape
        rows, columns = geometry.rows_and_columns(shape[1], shape[2])
        self.columns = columns // pool_w
        kernel_h, kernel_w = geometry.kernel
        line = self.columns * pool_w * kernel_w * geometry.channels[0]
        # Where rows of the output share lines of the input, a line is held once.
        self.lines_shared = geometry.dilations[0] == 1 and geometry.strides[0] < kernel_h
        lines = pool_h * (geometry.strides[0] if self.lines_shared else kernel_h)
        blocks = cut(shape[0], rows // pool_h, line * lines, BUDGET, parts)
        step = pool_h * geometry.strides[0]
        span = (kernel_h - 1) * geometry.dilations[0] + 1

        def reach(block: Block) -> Reach:
            height = (block.rows * pool_h - 1) * geometry.strides[0] + span
            return geometry.reach(shape[1], block.top * step, height)

        self.tasks = Tasks(blocks, reach, 1, lambda block, reach: _View(self, block, reach, shape))


class _View:
    """The buffers of blocks of one form: their padded images, patches and products.

    The patches of a column stand below one another in lines, each of which is a row
    of the kernel: where the kernel moves down by less than its height, the patches of
    neighbouring outputs overlap, and a row of the output is a product of its own.
    Where that makes products with few rows, all patches are written out.
    """

    def __init__(self, state: _State, block: Block, reach: Reach, shape: tuple[int, ...]) -> None:
        self.geometry = geometry = state.conv.geometry
        channels, filters = geometry.channels
        kernel_h, kernel_w = geometry.kernel
        group, (pool_h, pool_w) = geometry.group, geometry.pool_shape
        stride_h, stride_w = geometry.strides
        dilation_h, dilation_w = geometry.dilations
        images, columns, rows = block.images, state.columns, block.rows
        height = reach.above + reach.below + reach.stop - reach.start
        _, left, _, right = geometry.pads
        padded = np.zeros((images, height, shape[2] + left + right, channels), np.float32)
        self.inside = padded[:, reach.above : height - reach.below, left : left + shape[2]]
        image, row, column, item = padded.strides
        shared = state.lines_shared and images * columns * pool_w >= LEAST_ROWS
        across = (kernel_w, channels // group)
        steps_across = (dilation_w * column, item)
        if group == 1 and dilation_w == 1:  # one run
            across, steps_across = (kernel_w * channels,), (item,)
        if shared:
            # (group, pool w, image, column, line, ...)
            windows = np.ndarray(
                (group, pool_w, images, columns, height, *across),
                np.float32,
                padded,
                0,
                (item * (channels // group), stride_w * column, image)
                + (pool_w * stride_w * column, row, *steps_across),
            )
        else:
            # (group, pool h, pool w, image, row, column, kernel h, ...)
            windows = np.ndarray(
                (group, pool_h, pool_w, images, rows, columns, kernel_h, *across),
                np.float32,
                padded,
                0,
                (item * (channels // group), stride_h * row, stride_w * column, image)
                + (pool_h * stride_h * row, pool_w * stride_w * column)
                + (dilation_h * row, *steps_across),
            )
        patches = scratch("operand", *windows.shape)
        self.windows, self.patches = as_items(windows), as_items(patches)
        depth = kernel_h * kernel_w * (channels // group)
        width = filters // group
        if shared:
            line = kernel_w * (channels // group)
            count = pool_w * images * columns
            # (group, conv row, pool w * image * column, patch)
            self.operand = np.ndarray(
                (group, rows * pool_h, count, depth),
                np.float32,
                patches,
                0,
                tuple(
                    4 * step for step in (count * height * line, stride_h * line, height * line, 1)
                ),
            )
            self.matrix = state.conv.matrix[:, None]
            product = scratch("product", rows, pool_h, pool_w, images, columns, filters)
            self.slabs = product.transpose(1, 2, 3, 0, 4, 5)
            in_place = images == 1
        else:
            self.operand = patches.reshape(group, -1, depth)
            self.matrix = state.conv.matrix
            product = self.slabs = scratch(
                "product", pool_h, pool_w, images, rows, columns, filters
            )
            in_place = True
        self.product_shape = (*self.operand.shape[1:-1], group, width)
        self.product = product
        self.in_place = in_place and not geometry.pool

    def __call__(self, x: Array, out: Array, residual: Any) -> None:
        """Compute a block: x are its rows of the images, ``out`` its part of the output."""
        geometry = self.geometry
        np.copyto(self.inside, x)
        np.copyto(self.patches, self.windows)
        target = out if self.in_place else self.product
        by_group = target.reshape(self.product_shape)
        np.matmul(self.operand, self.matrix, out=np.moveaxis(by_group, -2, 0))
        if geometry.pool == "average":
            geometry.epilogue(self.product)
            np.add.reduce(self.slabs, axis=(0, 1), out=out)
            np.multiply(out, np.float32(1 / (len(self.slabs) * self.slabs.shape[1])), out=out)
            return
        if not self.in_place:
            self._largest(out)
        geometry.epilogue(out, residual)

    def _largest(self, out: Array) -> None:
        """The largest of each pooling window; without pooling it has one element."""
        first, *others = self.slabs
        for other in others:
            np.maximum(first, other, out=first)
        first, *others = first
        if not others:
            np.copyto(out, first)
        for place, other in enumerate(others):
            np.maximum(first, other, out=out if place == len(others) - 1 else first)
