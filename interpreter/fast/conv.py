"""Convolution of NHWC images with bias, residual sum, activation and pooling in one kernel.

Which algorithm computes it is decided here, once, by the weights' shape: see ``choose``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ..types import Array
from . import fast
from .blocks import cut, share_of
from .epilogue import Epilogue
from .parallel import share
from .workspace import PerShape, scratch

PATCH_BUDGET = 160 * 1024
"""Elements of a block's patches: with the product's output they stay in the second-level cache."""


class Reach(NamedTuple):
    """Rows ``start`` to ``stop`` of an image, between so many rows of zeros above and below."""

    start: int
    stop: int
    above: int
    below: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a convolution does, NHWC, 2-D. ``weight`` is (kernel h, kernel w, C / group, K)."""

    weight: Array
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    pool: str = ""
    pool_shape: tuple[int, int] = (1, 1)
    epilogue: Epilogue = field(default_factory=lambda: Epilogue(None, "", ()))

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def channels(self) -> tuple[int, int]:
        """How many channels go in and come out."""
        return self.weight.shape[2] * self.group, self.weight.shape[3]

    def rows_and_columns(self, height: int, width: int) -> tuple[int, int]:
        """The convolution's output size, before pooling; ``ValueError`` where there is none."""
        sizes = []
        for axis, size in enumerate((height, width)):
            span = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            room = size + self.pads[axis] + self.pads[axis + 2] - span
            if room < 0:
                raise ValueError(
                    f"the kernel spans {span} along spatial axis {axis}, more than the padded "
                    f"input's {size + self.pads[axis] + self.pads[axis + 2]}"
                )
            sizes.append(room // self.strides[axis] + 1)
        return sizes[0], sizes[1]

    def reach(self, height: int, first: int, rows: int) -> Reach:
        """Which rows of an image lie under ``rows`` rows of the padded image from ``first`` on."""
        top = first - self.pads[0]
        start = min(max(top, 0), height)
        stop = max(start, min(top + rows, height))
        above = min(max(-top, 0), rows)
        return Reach(start, stop, above, rows - above - (stop - start))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """The shape of the result, after pooling."""
        rows, columns = self.rows_and_columns(shape[1], shape[2])
        return shape[0], rows // self.pool_shape[0], columns // self.pool_shape[1], self.channels[1]


def choose(geometry: Geometry, precision: str) -> Callable[..., Any]:
    """The algorithm for a convolution.

    - depthwise (a group a channel): no patches, one multiply-add a kernel position;
    - 1×1: the image is the patch matrix already;
    - 3×3, stride 1, with channels enough that the transforms pay: Winograd,
      F(2×2), or F(4×4) where ``precision="fast"`` allows its larger error;
    - all else: patches and a matrix product.
    """
    from .depthwise import Depthwise
    from .pointwise import Pointwise
    from .winograd import Winograd

    channels, filters = geometry.channels
    if geometry.group == channels == filters and geometry.group > 1 and not geometry.pool:
        return Depthwise(geometry)
    if geometry.kernel == (1, 1) and geometry.group == 1 and not any(geometry.pads):
        if not geometry.pool:
            return Pointwise(geometry)
    elif (
        precision != "strict"
        and geometry.kernel == (3, 3)
        and geometry.strides == geometry.dilations == (1, 1)
        and geometry.group == 1
        and channels >= 16
        and filters >= 16
        and geometry.pool_shape in ((1, 1), (2, 2))
    ):
        return Winograd(geometry, 4 if precision == "fast" else 2)
    return Patches(geometry)


@fast("Conv")
class Conv:
    """The fast node: attributes as in ``Geometry``, the ``epilogue`` in its three parts.

    Inputs: x (N, H, W, C) float32, and a residual of the output's shape where
    the node has two. With ``pool`` the output is pooled with kernel and strides
    ``pool_shape``; a max pool is taken before bias and activation, which gives the
    same since both are monotone.
    """

    def __init__(
        self,
        *,
        weight: Array,
        bias: Array | None = None,
        activation: str = "",
        activation_parameters: tuple[float, ...] = (),
        precision: str = "default",
        **geometry: Any,
    ) -> None:
        epilogue = Epilogue(bias, activation, activation_parameters)
        self.geometry = Geometry(weight, epilogue=epilogue, **geometry)
        self.algorithm = choose(self.geometry, precision)
        self.precision = precision
        self.work = float(weight.size) * getattr(self.algorithm, "slowness", 1)

    def __call__(self, x: Array, residual: Array | None = None) -> Array:
        y = np.empty(self.geometry.output_shape(x.shape), np.float32)
        if residual is not None and residual.shape != y.shape:
            return self._broadcast_sum(x, residual)
        if y.size == 0:
            return y
        work = self.work * y.size / y.shape[3]
        share(lambda part, parts: self.algorithm(x, y, residual, part, parts), work)
        return y

    def _broadcast_sum(self, x: Array, residual: Array) -> Array:
        """Where sizes differ that the model calls by one name, the sum broadcasts."""
        bias, activate = self.geometry.epilogue.bias, self.geometry.epilogue.activate
        alone = replace(self.geometry, epilogue=Epilogue(bias, "", ()))
        y = np.empty(alone.output_shape(x.shape), np.float32)
        if y.size:
            choose(alone, self.precision)(x, y, None, 0, 1)
        y = y + residual
        if activate is not None:
            activate(y)
        return y


class Padded:
    """A buffer with zeros around, into which a block's images are copied."""

    def __init__(self, geometry: Geometry, shape: tuple[int, ...], images: int, extra: int = 0):
        _, height, width, channels = shape
        top, left, bottom, right = geometry.pads
        self.buffer = np.zeros(
            (images, height + top + bottom + extra, width + left + right + extra, channels),
            np.float32,
        )
        self.inside = self.buffer[:, top : top + height, left : left + width]

    def fill(self, x: Array, start: int, stop: int) -> None:
        """Copy the images in; the border stays zero."""
        np.copyto(self.inside[: stop - start], x[start:stop])


class Patches:
    """Patches and a matrix product, a block at a time.

    The rows of the product are ordered by their place in the pooling window, so
    that pooling is a maximum (or a sum) of contiguous slabs.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        kernel_h, kernel_w = geometry.kernel
        channels, filters = geometry.channels
        group = geometry.group
        # (group, kernel h * kernel w * channels of the group, filters of the group)
        self.matrix = np.ascontiguousarray(
            geometry.weight.reshape(-1, group, filters // group).transpose(1, 0, 2), np.float32
        )
        self.depth = kernel_h * kernel_w * channels
        self.states: PerShape[_PatchState] = PerShape(
            lambda shape, parts: _PatchState(self, shape, parts)
        )

    def __call__(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        self.states(x.shape, parts).run(x, y, residual, part, parts)


class _PatchState:
    """The blocks, buffers and views for one input shape."""

    def __init__(self, conv: Patches, shape: tuple[int, ...], parts: int) -> None:
        self.conv = conv
        geometry = conv.geometry
        self.pool = geometry.pool_shape
        rows, columns = geometry.rows_and_columns(shape[1], shape[2])
        self.rows, self.columns = rows // self.pool[0], columns // self.pool[1]
        cost = self.columns * self.pool[0] * self.pool[1] * conv.depth
        self.blocks = cut(shape[0], self.rows, cost, PATCH_BUDGET, parts)
        most = max((block.images for block in self.blocks), default=1)
        self.padded = Padded(geometry, shape, most)
        self.views: dict[tuple[int, int, int], tuple[Array, ...]] = {}

    def view(self, images: int, top: int, bottom: int) -> tuple[Array, ...]:
        """The windows of a block of the padded images, and the buffers that they go to."""
        key = (images, top, bottom)
        if key in self.views:
            return self.views[key]
        conv, geometry = self.conv, self.conv.geometry
        kernel_h, kernel_w = geometry.kernel
        channels, filters = geometry.channels
        group, pool_h, pool_w = geometry.group, *self.pool
        buffer = self.padded.buffer
        image, row, column, item = buffer.strides
        stride_h, stride_w = row * geometry.strides[0], column * geometry.strides[1]
        # (group, pool h, pool w, image, row, column, kernel h, kernel w, channel)
        windows = np.ndarray(
            (group, pool_h, pool_w, images, bottom - top, self.columns)
            + (kernel_h, kernel_w, channels // group),
            np.float32,
            buffer,
            top * pool_h * stride_h,
            (item * (channels // group), stride_h, stride_w, image, stride_h * pool_h)
            + (
                stride_w * pool_w,
                row * geometry.dilations[0],
                column * geometry.dilations[1],
                item,
            ),
        )
        if group == 1 and geometry.dilations[1] == 1:  # longer runs to copy
            windows = np.ndarray(
                (*windows.shape[:-2], kernel_w * channels),
                np.float32,
                buffer,
                top * pool_h * stride_h,
                (*windows.strides[:-2], item),
            )
        count = images * (bottom - top) * self.columns
        slabs = pool_h * pool_w
        patches = scratch("patches", group, slabs * count, conv.depth // group)
        product = scratch("product", slabs, count, filters)
        by_group = product.reshape(slabs * count, group, filters // group).transpose(1, 0, 2)
        self.views[key] = (windows, patches.reshape(windows.shape), patches, product, by_group)
        return self.views[key]

    def run(self, x: Array, y: Array, residual: Any, part: int, parts: int) -> None:
        geometry = self.conv.geometry
        epilogue = geometry.epilogue
        matrix = self.conv.matrix
        filled = (-1, -1)
        for block in share_of(self.blocks, part, parts):
            if filled != (block.start, block.stop):
                self.padded.fill(x, block.start, block.stop)
                filled = (block.start, block.stop)
            windows, target, patches, product, by_group = self.view(
                block.images, block.top, block.bottom
            )
            np.copyto(target, windows)
            out = block.of(y)
            if geometry.pool or geometry.group > 1:
                np.matmul(patches, matrix, out=by_group)
                pool_into(out, product, geometry, None if residual is None else block.of(residual))
            else:
                np.matmul(patches[0], matrix[0], out=out.reshape(product.shape[1:]))
                epilogue(out, None if residual is None else block.of(residual))


def pool_into(out: Array, slabs: Array, geometry: Geometry, residual: Any) -> None:
    """Reduce the slabs of the pooling window to ``out``, with the epilogue on the right side."""
    flat = out.reshape(slabs.shape[1:])
    if geometry.pool == "average":
        geometry.epilogue(slabs, None)
        np.add.reduce(slabs, axis=0, out=flat)
        flat *= np.float32(1 / len(slabs))
        return
    if len(slabs) == 1:
        np.copyto(flat, slabs[0])
    elif len(slabs) == 4:
        np.maximum(slabs[0], slabs[1], out=slabs[0])
        np.maximum(slabs[2], slabs[3], out=slabs[2])
        np.maximum(slabs[0], slabs[2], out=flat)
    else:
        np.maximum.reduce(slabs, axis=0, out=flat)
    geometry.epilogue(out, residual)
