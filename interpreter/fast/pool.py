"""Pooling of NHWC images."""

from __future__ import annotations

import numpy as np

from ..types import Array
from . import fast


def _window_sizes(
    x: Array,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
) -> tuple[int, int]:
    sizes = []
    for axis in range(2):
        size = x.shape[axis + 1] + pads[axis] + pads[axis + 2]
        if size < kernel_shape[axis]:
            raise ValueError(
                f"the pooling window is {kernel_shape[axis]} along spatial axis {axis}, more than "
                f"the padded input's {size}"
            )
        sizes.append((size - kernel_shape[axis]) // strides[axis] + 1)
    return sizes[0], sizes[1]


def _padded(x: Array, pads: tuple[int, int, int, int], value: float) -> Array:
    if not any(pads):
        return x
    images, height, width, channels = x.shape
    top, left, bottom, right = pads
    buffer = np.empty((images, height + top + bottom, width + left + right, channels), x.dtype)
    buffer[:, :top] = buffer[:, top + height :] = value
    buffer[:, top : top + height, :left] = value
    buffer[:, top : top + height, left + width :] = value
    buffer[:, top : top + height, left : left + width] = x
    return buffer


def _reduced(
    x: Array,
    ufunc: np.ufunc,
    kernel_shape: tuple[int, int],
    strides: tuple[int, int],
    sizes: tuple[int, int],
) -> Array:
    """The windows' maximum or sum: first along the rows, then along the columns."""
    for axis in (0, 1):
        parts = [
            x[(slice(None),) * (axis + 1) + (_every(offset, strides[axis], sizes[axis]),)]
            for offset in range(kernel_shape[axis])
        ]
        x = parts[0]
        if len(parts) > 1:
            x = ufunc(parts[0], parts[1])
        for part in parts[2:]:
            ufunc(x, part, out=x)
    return x


def _every(offset: int, stride: int, count: int) -> slice:
    return slice(offset, offset + (count - 1) * stride + 1, stride)


@fast("MaxPool")
class MaxPool:
    """The maximum of each window: x (N, H, W, C); padding never wins."""

    def __init__(
        self,
        *,
        kernel_shape: tuple[int, int],
        strides: tuple[int, int],
        pads: tuple[int, int, int, int],
    ) -> None:
        self.kernel_shape, self.strides, self.pads = kernel_shape, strides, pads

    def __call__(self, x: Array) -> Array:
        sizes = _window_sizes(x, self.kernel_shape, self.strides, self.pads)
        x = _padded(x, self.pads, -np.inf)
        return _reduced(x, np.maximum, self.kernel_shape, self.strides, sizes)


@fast("AveragePool")
class AveragePool:
    """The mean of each window: x (N, H, W, C); of its real pixels only, or of its padding too."""

    def __init__(
        self,
        *,
        kernel_shape: tuple[int, int],
        strides: tuple[int, int],
        pads: tuple[int, int, int, int],
        count_include_pad: int,
    ) -> None:
        self.kernel_shape, self.strides, self.pads = kernel_shape, strides, pads
        self.include = bool(count_include_pad) or not any(pads)

    def __call__(self, x: Array) -> Array:
        sizes = _window_sizes(x, self.kernel_shape, self.strides, self.pads)
        ones = np.ones((1, *x.shape[1:3], 1), x.dtype)
        x = _padded(x, self.pads, 0)
        total = _reduced(x, np.add, self.kernel_shape, self.strides, sizes)
        if self.include:
            scale = np.float32(1 / (self.kernel_shape[0] * self.kernel_shape[1]))
            return np.multiply(total, scale)
        ones = _padded(ones, self.pads, 0)
        count = _reduced(ones, np.add, self.kernel_shape, self.strides, sizes)
        return np.divide(total, count)


@fast("GlobalAveragePool")
class GlobalAveragePool:
    """The mean of each channel of an image: (N, H, W, C) to (N, 1, 1, C).

    A product with a row of ones, which BLAS adds up faster than a reduction does.
    """

    def __call__(self, x: Array) -> Array:
        images, height, width, channels = x.shape
        pixels = height * width
        if pixels == 0:  # the mean of nothing
            return np.full((images, 1, 1, channels), np.nan, np.float32)
        ones = np.full((1, pixels), 1 / pixels, np.float32)
        return np.matmul(ones, x.reshape(images, pixels, channels)).reshape(images, 1, 1, channels)
