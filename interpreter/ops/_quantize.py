"""The arithmetic of quantised values: a real number is ``(q - zero_point) * scale``.

Rounding is to the nearest, half to even; what is out of range is clipped to the
dtype's limits. NaN becomes the least value, as in onnxruntime.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from ..types import Array, Dtype
from ._shared import normalise_axis
from .cast import convert

_INTEGERS = tuple(
    np.dtype(dtype) for dtype in (ml_dtypes.int2, ml_dtypes.uint2, ml_dtypes.int4, ml_dtypes.uint4)
)


def is_integer(dtype: Dtype) -> bool:
    """Whether a quantised dtype holds integers, and not small floats."""
    return dtype.kind in "iu" or dtype in _INTEGERS


def spread(values: Array, shape: tuple[int, ...], axis: int, block_size: int = 0) -> Array:
    """Scales or zero points in a shape that broadcasts to that of the tensor they belong to.

    One value is for the whole tensor. A vector has one for each index of ``axis``.
    With ``block_size`` they have the tensor's shape but along ``axis``, where each
    is for that many elements (the last block may be shorter).
    """
    if values.size == 1 and not block_size:
        return values.reshape(())
    axis = normalise_axis(axis, len(shape))
    if block_size:
        blocks = -(-shape[axis] // block_size)
        expected = (*shape[:axis], blocks, *shape[axis + 1 :])
        if values.shape != expected:
            raise ValueError(
                f"scales of blocks of {block_size} along axis {axis} of {list(shape)} must have "
                f"the shape {list(expected)}, and have {list(values.shape)}"
            )
        return np.take(values, np.arange(shape[axis]) // block_size, axis)
    if values.shape != (shape[axis],):
        raise ValueError(
            f"scales of axis {axis} of {list(shape)} must have the shape [{shape[axis]}], "
            f"and have {list(values.shape)}"
        )
    return values.reshape(-1, *(1,) * (len(shape) - axis - 1))


def saturate(x: Array, zero_point: Array | None, dtype: Dtype) -> Array:
    """Real numbers, in units of the scale, as integers: ``clip(round(x) + zero_point)``.

    The sum is exact: float32 holds all zero points, and where it rounds the
    numbers are out of range of all dtypes but int32, which has no zero point.
    ``x`` is the caller's own, and is overwritten.
    """
    rounded = np.asarray(x, np.float32 if x.dtype.itemsize < 4 else None)
    np.rint(rounded, out=rounded)
    if zero_point is not None:
        rounded += zero_point.astype(rounded.dtype)
    limits = ml_dtypes.iinfo(dtype)
    np.fmax(rounded, limits.min, out=rounded)  # first: it drops NaN
    np.fmin(rounded, limits.max, out=rounded)
    return rounded.astype(dtype)


def quantize(
    x: Array, scale: Array, zero_point: Array | None, dtype: Dtype, clip: bool = True
) -> Array:
    """``x / scale + zero_point`` in a quantised dtype; all broadcast, x and scale of one dtype.

    ``clip`` False lets float 8 overflow to infinity or NaN.
    """
    quotient = x / scale
    if is_integer(dtype):
        return saturate(quotient, zero_point, dtype)
    if zero_point is not None:
        quotient = quotient + zero_point.astype(quotient.dtype)
    return convert(quotient, dtype, clip)


def dequantize(x: Array, scale: Array, zero_point: Array | None) -> Array:
    """``(x - zero_point) * scale`` in float32; all broadcast."""
    if is_integer(x.dtype):
        # Exact, but where two int32 differ by more than int32 holds.
        x = x.astype(np.int32)
        if zero_point is not None:
            x = x - zero_point.astype(np.int32)
        return x.astype(np.float32) * scale.astype(np.float32)
    x = x.astype(np.float32)
    if zero_point is not None:
        x = x - zero_point.astype(np.float32)
    return x * scale.astype(np.float32)


def exact_dtype(largest: Any, sums: Any) -> Any:
    """The floating dtype in which a matrix product of integers is exact.

    Every partial sum of ``sum over k of x[k] * w[k]`` is at most
    ``max|x| * sum|w[k]|`` in size, in whatever order BLAS adds. While that is not
    above 2^24, all of them are integers that float32 holds, so nothing is rounded
    (2^53 for float64, which 8-bit factors cannot reach below 10^11 terms).

    ``largest`` is max|x|, ``sums`` the largest sum of |w| over the terms of one
    result, both exact.
    """
    return np.float32 if float(largest) * float(sums) <= 2**24 else np.float64


def as_int32(accumulated: Array) -> Array:
    """Exact integers in a floating dtype as int32, wrapped around as a 32-bit accumulator is."""
    return accumulated.astype(np.int64).astype(np.int32)
