"""Poolings: the largest, the mean or the norm of each window, or of each whole channel."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import numpy as np

from ..registry import Context, op
from ..types import Array
from ._shared import in_float32
from ._windows import Windows, place_windows


@op("MaxPool", since=(1, 8, 10, 11, 12, 22))
@in_float32
def max_pool(
    x: Array,
    *,
    kernel_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    storage_order: int = 0,
    strides: tuple[int, ...] | None = None,
    context: Context = Context(),  # noqa: B008
) -> Array | tuple[Array, Array]:
    """The largest element of each window of x [N, C, D1, ..., Dn]; padding never wins.

    The second output has its index in x, flattened; with ``storage_order`` 1 the
    spatial axes are counted in column-major order. NaN in a window gives NaN.
    """
    windows = place_windows(
        x.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=bool(ceil_mode),
    )
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    if context.num_outputs < 2:
        return windows.reduce(x, np.maximum, lowest)
    return _max_with_indices(x, windows, lowest, "F" if storage_order else "C")


def _max_with_indices(
    x: Array, windows: Windows, lowest: Any, order: Literal["C", "F"]
) -> tuple[Array, Array]:
    """The maxima and their indices: the first in row-major order among equals.

    From the last axis to the first, each best element carries its index along;
    the padding's index is -1, so that even a true lowest value wins over it.
    """
    spatial = x.shape[2:]
    size = prod(spatial)
    own = np.arange(size, dtype=np.int64).reshape(spatial, order=order)
    best, index = windows.pad(x, lowest), windows.pad(own[None, None], -1)
    for axis in reversed(range(len(spatial))):
        before = (slice(None),) * (2 + axis)
        candidates = [(best[(*before, s)], index[(*before, s)]) for s in windows.along(axis)]
        best, index = candidates[0]
        for value, position in candidates[1:]:
            beats = (value > best) | (index < 0) | (np.isnan(value) & ~np.isnan(best))
            best, index = np.where(beats, value, best), np.where(beats, position, index)
    channels = np.arange(x.shape[0] * x.shape[1], dtype=np.int64) * size
    return best, index + channels.reshape(*x.shape[:2], *(1,) * len(spatial))


@op("AveragePool", since=(1, 7, 10, 11, 19, 22))
@in_float32
def average_pool(
    x: Array,
    *,
    kernel_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The mean of each window of x [N, C, D1, ..., Dn].

    Padding counts as zeros with ``count_include_pad``, and not at all without.
    """
    windows = place_windows(
        x.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=bool(ceil_mode),
    )
    counts = windows.counts(x.shape[2:], bool(count_include_pad))
    return windows.reduce(x, np.add, 0) / counts.astype(x.dtype)


@op("LpPool", since=(2, 11, 18, 22))
@in_float32
def lp_pool(
    x: Array,
    *,
    kernel_shape: tuple[int, ...],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    p: float = 2,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """``(sum of |x|^p)^(1/p)`` over each window of x [N, C, D1, ..., Dn]."""
    windows = place_windows(
        x.shape[2:],
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=bool(ceil_mode),
    )
    return _root(windows.reduce(_power(x, p), np.add, 0), p)


@op("LpPool", since=1)
@in_float32
def lp_pool_1(
    x: Array,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: tuple[int, ...] | None = None,
    p: float = 2.0,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """LpPool of opset 1: p is a float, and ``kernel_shape`` only seems to be optional."""
    if kernel_shape is None:
        raise ValueError("LpPool needs kernel_shape: opset 1 gives it no default")
    return lp_pool(x, kernel_shape=kernel_shape, auto_pad=auto_pad, p=p, pads=pads, strides=strides)


def _power(x: Array, p: float) -> Array:
    if p == 1:
        return np.abs(x)
    return np.square(x) if p == 2 else np.abs(x) ** p


def _root(x: Array, p: float) -> Array:
    if p == 1:
        return x
    return np.sqrt(x) if p == 2 else x ** (1 / p)


def _spatial(x: Array) -> tuple[int, ...]:
    if x.ndim < 2:
        raise ValueError(f"a global pooling takes [N, C, D1, ...], and was given rank {x.ndim}")
    return tuple(range(2, x.ndim))


@op("GlobalAveragePool", since=(1, 22))
@in_float32
def global_average_pool(x: Array) -> Array:
    """The mean of each channel: [N, C, D1, ..., Dn] to [N, C, 1, ..., 1]."""
    return x.mean(axis=_spatial(x), keepdims=True)


@op("GlobalMaxPool", since=(1, 22))
@in_float32
def global_max_pool(x: Array) -> Array:
    """The largest element of each channel: [N, C, D1, ..., Dn] to [N, C, 1, ..., 1]."""
    if x.size == 0 and 0 not in x.shape[:2]:
        raise ValueError(f"the channels of {list(x.shape)} are empty: none has a largest element")
    return x.max(axis=_spatial(x), keepdims=True)


@op("GlobalLpPool", since=(1, 2, 22))
@in_float32
def global_lp_pool(x: Array, *, p: float = 2) -> Array:
    """``(sum of |x|^p)^(1/p)`` over each channel: [N, C, D1, ..., Dn] to [N, C, 1, ..., 1]."""
    return _root(_power(x, p).sum(axis=_spatial(x), keepdims=True), p)
