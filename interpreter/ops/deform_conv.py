"""DeformConv: a convolution whose kernel positions are moved by an offset for each output."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32
from ._windows import Windows, place_windows
from .conv import TILE_BYTES, add_bias, check_kernels

Ints = tuple[int, ...]


@op("DeformConv", since=(19, 22))
@in_float32
def deform_conv(
    x: Array,
    w: Array,
    offset: Array,
    b: Array | None = None,
    mask: Array | None = None,
    *,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    offset_group: int = 1,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """``y[m, o] = b[m] + sum of w[m, c, k] * mask[k, o] * x[c, o * stride + k * dilation - pad +
    offset[k, :, o]]``, with x read between its elements by linear interpolation, and 0 outside.

    Shapes: x [N, C, D1, ..., Dn], w [M, C / group, k1, ..., kn], b [M], offset
    [N, offset_group * K * n, o1, ..., on] and mask [N, offset_group * K, o1, ..., on],
    K = k1 * ... * kn, give [N, M, o1, ..., on]. Source: Dai et al.,
    https://arxiv.org/abs/1703.06211, and Zhu et al., https://arxiv.org/abs/1811.11168.
    """
    check_kernels(x, w, group, kernel_shape)
    images, channels, features = x.shape[0], x.shape[1], w.shape[0]
    if channels % offset_group or features % group or w.shape[1] * group != channels:
        raise ValueError(
            f"{channels} channels and weights {list(w.shape)} do not divide into {group} groups "
            f"with {offset_group} groups of offsets"
        )
    windows = place_windows(
        x.shape[2:], w.shape[2:], strides=strides, dilations=dilations, pads=pads
    )
    taps, places = prod(windows.kernel), prod(windows.output)
    shape = images, offset_group * taps * (x.ndim - 2), *windows.output
    if offset.shape != shape:
        raise ValueError(f"offset must have the shape {list(shape)}, and has {list(offset.shape)}")
    offset = offset.reshape(images, offset_group, taps, x.ndim - 2, places)
    if mask is not None:
        mask = mask.reshape(images, offset_group, 1, taps, places)
    pixels = x.reshape(images, offset_group, channels // offset_group, prod(x.shape[2:]))
    weights = w.reshape(group, features // group, prod(w.shape[1:]))
    regular = _regular_positions(windows)
    y = np.empty((images, group, features // group, places), dtype=x.dtype)
    step = max(1, TILE_BYTES // max(1, channels * taps * places * x.itemsize))
    for start in range(0, images, step):
        tile = slice(start, start + step)
        positions = np.moveaxis(regular + offset[tile], 3, 0)
        patches = _interpolate(pixels[tile], positions, x.shape[2:])
        if mask is not None:
            patches *= mask[tile]
        patches = patches.reshape(patches.shape[0], group, weights.shape[2], places)
        np.matmul(weights, patches, out=y[tile])
    y = y.reshape(images, features, *windows.output)
    return y if b is None else add_bias(y, b)


def _regular_positions(windows: Windows) -> Array:
    """Where each kernel element lies without offsets: [taps, axes, places]."""
    axes = []
    rank = len(windows.kernel)
    for axis in range(rank):
        starts = np.arange(windows.output[axis]) * windows.strides[axis] - windows.begins[axis]
        taps = np.arange(windows.kernel[axis]) * windows.dilations[axis]
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = taps.size, starts.size
        axes.append(np.add.outer(taps, starts).reshape(shape))
    grid = [np.broadcast_to(a, windows.kernel + windows.output) for a in axes]
    return np.stack([g.reshape(prod(windows.kernel), -1) for g in grid], axis=1)


def _interpolate(pixels: Array, positions: Array, spatial: Ints) -> Array:
    """``pixels`` [N, G, C / G, prod(spatial)] at ``positions`` [n, N, G, taps, places].

    The weighted sum of the 2^n corners around; a corner outside the image counts 0.
    Gives [N, G, C / G, taps, places].
    """
    below = np.floor(positions)
    fraction = positions - below
    result = np.zeros((*pixels.shape[:3], *positions.shape[3:]), dtype=pixels.dtype)
    if not pixels.size:
        return result
    for corner in product((0, 1), repeat=len(spatial)):
        index: Array = np.zeros((), dtype=np.int64)
        weight: Array = np.ones((), dtype=pixels.dtype)
        for axis, upper in enumerate(corner):
            at = below[axis] + upper
            inside = (at >= 0) & (at < spatial[axis])
            share = fraction[axis] if upper else 1 - fraction[axis]
            weight = weight * np.where(inside, share, 0)
            index = index * spatial[axis] + np.where(inside, at, 0).astype(np.int64)
        flat = index.reshape(*index.shape[:2], 1, -1)
        taken = np.take_along_axis(pixels, flat, axis=3).reshape(result.shape)
        result += taken * weight.astype(pixels.dtype)[:, :, None]
    return result
