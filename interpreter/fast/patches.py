"""Convolution as patches and a matrix product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..types import Array
from .blocks import Block, Reach, Tasks, cut
from .conv import Geometry
from .product import Product
from .workspace import PerShape, as_items, scratch

BUDGET = 320 * 1024
"""Elements of a block's patches: with the product's output they stay in the second-level cache."""
LEAST_ROWS = 32
"""Rows of a product, below which BLAS works at half its speed or less."""


class Patches:
    """Any kernel, strides, pads, dilations and groups, a block of the output at a time."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        _, filters = geometry.channels
        group = geometry.group
        # (group, 1, 1, kernel h * kernel w * channels of the group, filters of the group)
        matrix = geometry.weight.reshape(-1, group, filters // group).transpose(1, 0, 2)
        self.product = Product(np.asarray(matrix[:, None, None], np.float32))
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
        self.conv = state.conv
        self.geometry = geometry = state.conv.geometry
        channels, filters = geometry.channels
        group, (pool_h, pool_w) = geometry.group, geometry.pool_shape
        images, columns, rows = block.images, state.columns, block.rows
        _, left, _, right = geometry.pads
        height = reach.above + reach.below + reach.stop - reach.start
        padded = np.zeros((images, height, shape[2] + left + right, channels), np.float32)
        self.inside = padded[:, reach.above : height - reach.below, left : left + shape[2]]
        if state.lines_shared and images * columns * pool_w >= LEAST_ROWS:
            self.operand = self._lines(padded, columns, rows)
            counts = (pool_h, rows, pool_w, images, columns, filters)
            to_slabs, in_order = (0, 2, 3, 1, 4, 5), images == 1
        else:
            self.operand = self._patches(padded, columns, rows)
            counts = (pool_h, pool_w, images, rows, columns, filters)
            to_slabs, in_order = (0, 1, 2, 3, 4, 5), True
        # (pool h, row, place in the row, group, filter of the group)
        self.by_group = (*self.operand.shape[1:-1], group, filters // group)
        self.in_place = in_order and not geometry.pool
        if not self.in_place:
            self.product = scratch("product", *counts)
            # (pool h, pool w, image, row, column, filter)
            self.slabs = self.product.transpose(to_slabs)
            self.multiply = state.conv.product.bind(self.operand, self._groups(self.product))

    def _lines(self, padded: Array, columns: int, rows: int) -> Array:
        """Sets up the windows of all lines; the operand, (group, pool h, row, ...)."""
        geometry = self.geometry
        images, height = padded.shape[:2]
        image, row, column, item = padded.strides
        group, (pool_h, pool_w) = geometry.group, geometry.pool_shape
        stride_h, stride_w = geometry.strides[0], geometry.strides[1] * column
        across, steps = self._across(column, item)
        # (group, pool w, image, column, line, ...)
        windows = np.ndarray(
            (group, pool_w, images, columns, height, *across),
            np.float32,
            padded,
            0,
            (item * geometry.weight.shape[2], stride_w, image, stride_w * pool_w, row, *steps),
        )
        patches = self._copied(windows)
        line = math.prod(across) * item
        count = pool_w * images * columns
        return np.ndarray(
            (group, pool_h, rows, count, geometry.kernel[0] * math.prod(across)),
            np.float32,
            patches,
            0,
            (count * height * line, stride_h * line, pool_h * stride_h * line, height * line, item),
        )

    def _patches(self, padded: Array, columns: int, rows: int) -> Array:
        """Sets up the windows of all patches; the operand, (group, 1, 1, patch, ...)."""
        geometry = self.geometry
        image, row, column, item = padded.strides
        group, (pool_h, pool_w) = geometry.group, geometry.pool_shape
        stride_h, stride_w = geometry.strides[0] * row, geometry.strides[1] * column
        across, steps = self._across(column, item)
        # (group, pool h, pool w, image, row, column, kernel h, ...)
        windows = np.ndarray(
            (group, pool_h, pool_w, len(padded), rows, columns, geometry.kernel[0], *across),
            np.float32,
            padded,
            0,
            (item * geometry.weight.shape[2], stride_h, stride_w, image)
            + (stride_h * pool_h, stride_w * pool_w, geometry.dilations[0] * row, *steps),
        )
        patches = self._copied(windows)
        return patches.reshape(group, 1, 1, -1, geometry.kernel[0] * math.prod(across))

    def _across(self, column: int, item: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape and strides of a row of the kernel: (kernel w, channel), or one run."""
        geometry = self.geometry
        kernel_w, channels = geometry.weight.shape[1:3]
        if geometry.group == 1 and geometry.dilations[1] == 1:
            return (kernel_w * channels,), (item,)
        return (kernel_w, channels), (geometry.dilations[1] * column, item)

    def _copied(self, windows: Array) -> Array:
        patches = scratch("operand", *windows.shape)
        self.windows, self.patches = as_items(windows), as_items(patches)
        return patches

    def _groups(self, out: Array) -> Array:
        """The output or the product as (group, pool h, row, place in the row, filter)."""
        return np.moveaxis(out.reshape(self.by_group), -2, 0)

    def __call__(self, x: Array, out: Array, residual: Any) -> None:
        """Compute a block: x are its rows of the images, ``out`` its part of the output."""
        epilogue = self.geometry.epilogue
        np.copyto(self.inside, x)
        np.copyto(self.patches, self.windows)
        if self.in_place:
            self.conv.product(self.operand, self._groups(out))
            epilogue(out, residual)
            return
        for call, one, other, result in self.multiply:
            call(one, other, out=result)
        if self.geometry.pool == "average":
            epilogue(self.product)
            np.add.reduce(self.slabs, axis=(0, 1), out=out)
            np.multiply(out, np.float32(1 / math.prod(self.slabs.shape[:2])), out=out)
        else:
            self._largest(out)
            epilogue(out, residual)

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
