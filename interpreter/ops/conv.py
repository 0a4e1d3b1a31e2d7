"""Conv: a matrix product over patches, for a tile of images at a time."""

from __future__ import annotations

from math import prod

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32
from ._windows import Windows, last_axes, place_windows

TILE_BYTES = 4 << 20
"""How much is unfolded at a time: about what a core's caches hold."""


@op("Conv", since=(1, 11, 22))
@in_float32
def conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Cross-correlate images with kernels and add a bias.

    ``y[n, m, o] = b[m] + sum over c, k of w[m, c, k] * x[n, c, o * stride + k * dilation - pad]``,
    where c runs over the channels of m's group.

    Shapes: x [N, C, D1, ..., Dn], w [M, C / group, k1, ..., kn], b [M] give [N, M, o1, ..., on].
    """
    check_kernels(x, w, group, kernel_shape)
    if w.shape[0] % group or w.shape[1] * group != x.shape[1]:
        raise ValueError(
            f"weights {list(w.shape)} in {group} groups take {w.shape[1] * group} channels and "
            f"give {w.shape[0]}: the input has {x.shape[1]}, and group must divide both"
        )
    windows = place_windows(
        x.shape[2:],
        w.shape[2:],
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
    )
    y = convolve(x, w, windows, group)
    return y if b is None else add_bias(y, b)


def check_kernels(x: Array, w: Array, group: int, kernel_shape: tuple[int, ...] | None) -> None:
    """Raise ``ValueError`` where images, weights and ``kernel_shape`` do not belong together."""
    if x.ndim < 3 or w.ndim != x.ndim:
        raise ValueError(
            "a convolution takes images [N, C, D1, ...] and weights of the same rank, "
            f"and was given ranks {x.ndim} and {w.ndim}"
        )
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(
            f"kernel_shape {list(kernel_shape)} is not that of the weights, {list(w.shape[2:])}"
        )
    if group < 1:
        raise ValueError(f"group must be 1 or more, and is {group}")


def add_bias(y: Array, b: Array) -> Array:
    """Add ``b`` [M] to ``y`` [N, M, ...], in place: ``y`` is the caller's own."""
    if b.shape != (y.shape[1],):
        raise ValueError(f"the bias must have shape [{y.shape[1]}], and has {list(b.shape)}")
    y += b.reshape(-1, *(1,) * (y.ndim - 2))
    return y


def convolve(x: Array, w: Array, windows: Windows, group: int = 1) -> Array:
    """The convolution without bias, padding with zeros: [N, C, ...] to [N, M, *output].

    ``x`` and ``w`` have one dtype, which is the result's too.
    """
    if group > 1 and w.shape[1] == 1:
        return _depthwise(x, w, windows)
    images, features = x.shape[0], w.shape[0]
    y = np.empty((images, group, features // group, prod(windows.output)), dtype=x.dtype)
    if y.size:
        weights = w.reshape(group, features // group, prod(w.shape[1:]))
        inner = prod(windows.output[1:])
        columns = (slice(None),) * (len(windows.output) - 1)
        row_bytes = weights.shape[2] * group * inner * x.itemsize
        step, height = _tile(windows.output[0], row_bytes)
        for start in range(0, images, step):
            tile = slice(start, start + step)
            view = windows.view(windows.pad(x[tile], 0))
            for top in range(0, windows.output[0], height):
                patches = view[last_axes(slice(top, top + height), *columns)]
                target = y[tile, ..., top * inner : (top + height) * inner]
                shape = len(patches), group, weights.shape[2], target.shape[3]
                patches = patches.reshape(shape)
                np.matmul(weights, patches, out=target)
    return y.reshape(images, features, *windows.output)


def _tile(rows: int, row_bytes: int) -> tuple[int, int]:
    """How many images, and how many of their output rows, have patches of ``TILE_BYTES``."""
    budget = max(1, TILE_BYTES // max(1, row_bytes))
    return max(1, budget // rows), min(budget, rows)


def _depthwise(x: Array, w: Array, windows: Windows) -> Array:
    """Each channel with kernels of its own: a product and a sum for each kernel position."""
    images, channels = x.shape[:2]
    multiplier = w.shape[0] // channels
    y = np.zeros((images, channels, multiplier, *windows.output), dtype=x.dtype)
    kernels = w.reshape(channels, multiplier, *w.shape[2:])
    ones = (1,) * len(windows.output)
    step = max(1, TILE_BYTES // max(1, y[:1].nbytes))
    products = np.empty_like(y[:step])
    for start in range(0, images, step):
        tile = y[start : start + step]
        padded = windows.pad(x[start : start + step], 0)[:, :, None]
        for position, region in windows.positions():
            factors = kernels[last_axes(*position)].reshape(channels, multiplier, *ones)
            tile += np.multiply(padded[last_axes(*region)], factors, out=products[: len(tile)])
    return y.reshape(images, w.shape[0], *windows.output)
