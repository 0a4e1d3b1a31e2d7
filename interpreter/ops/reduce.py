"""Reductions over axes: ReduceSum, ReduceMean and their kin, ArgMax, ArgMin, CumSum, CumProd.

``axes`` is an attribute in old versions and an input in newer ones; absent or
empty it means all axes, or with ``noop_with_empty_axes`` none: then only the
elementwise part of a reduction is left. Over no elements at all a reduction
gives its identity. Half precision is accumulated in float32 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32, normalise_axes, normalise_axis
from .arithmetic import div

Axes: TypeAlias = Array | tuple[int, ...] | None
Reduction: TypeAlias = Callable[[Array, tuple[int, ...], bool], Array]
"""Of a tensor, the axes to reduce, and whether they stay with size 1."""


@in_float32
def _reduce(reduction: Reduction, data: Array, axes: Axes, keepdims: int, noop: int = 0) -> Array:
    chosen: Iterable[int] = () if axes is None else np.ravel(axes).tolist()
    if not chosen and not noop:
        chosen = range(data.ndim)
    result = reduction(data, normalise_axes(chosen, data.ndim), bool(keepdims))
    return np.asarray(result, dtype=data.dtype)


def _floating(data: Array) -> Array:
    """Integers as float64, for what has roots and logarithms in it."""
    return data if data.dtype.kind == "f" else data.astype(np.float64)


def _limit(data: Array, lowest: bool) -> Any:
    """The least (or greatest) value of data's dtype, infinities included."""
    if data.dtype.kind == "f":
        return -np.inf if lowest else np.inf
    if data.dtype.kind == "b":
        return not lowest
    limits = np.iinfo(data.dtype)
    return limits.min if lowest else limits.max


def _sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    # NumPy adds pairwise along neighbours in memory, but one by one along other axes, where the
    # rounding error grows with the length; a variance as E[x²] - E[x]² may be nothing but that.
    if x.dtype.kind == "f":
        for axis in axes:
            if x.strides[axis] != x.itemsize:
                x = _in_blocks(x, axis)
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def _in_blocks(x: Array, axis: int) -> Array:
    """The sums of blocks of √n of the n elements along an axis; ``x`` itself where n is small."""
    n = x.shape[axis]
    if n < 64:
        return x
    size = math.isqrt(n)
    count = n // size
    before = (slice(None),) * axis
    whole, rest = x[(*before, slice(count * size))], x[(*before, slice(count * size, n))]
    blocks = whole.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :])
    return np.concatenate([blocks.sum(axis + 1), rest.sum(axis, keepdims=True)], axis)


def _mean(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    count = math.prod(x.shape[axis] for axis in axes)
    if x.dtype.kind == "f":
        return np.divide(_sum(x, axes, keepdims), x.dtype.type(count))
    # NumPy sums integers in 64 bits; the quotient is truncated as Div's is.
    return div(np.asarray(np.sum(x, axis=axes, keepdims=keepdims)), np.asarray(count))


def _max(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.max(x, axis=axes, keepdims=keepdims, initial=_limit(x, lowest=True))


def _min(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.min(x, axis=axes, keepdims=keepdims, initial=_limit(x, lowest=False))


def _prod(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def _l1(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return _sum(np.abs(x), axes, keepdims)


def _l2(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.sqrt(_sum_square(_floating(x), axes, keepdims))


def _sum_square(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return _sum(np.square(x), axes, keepdims)


def _log_sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.log(_sum(_floating(x), axes, keepdims))


def _log_sum_exp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Less the largest, so that exp cannot overflow."""
    x = _floating(x)
    largest = _max(x, axes, True)
    largest = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    result = np.log(_sum(np.exp(x - largest), axes, True)) + largest
    return result if keepdims else np.squeeze(result, axis=axes)


@op("ReduceSum", since=13)
def reduce_sum(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The sum; 0 of nothing."""
    return _reduce(_sum, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceSum", since=(1, 11))
def reduce_sum_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_sum(data, axes, keepdims=keepdims)


@op("ReduceMean", since=18)
def reduce_mean(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The mean; NaN of nothing, integers truncated towards zero."""
    return _reduce(_mean, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceMean", since=(1, 11, 13))
def reduce_mean_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_mean(data, axes, keepdims=keepdims)


@op("ReduceMax", since=(18, 20))
def reduce_max(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The maximum; the dtype's least value of nothing, NaN where any element is."""
    return _reduce(_max, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceMax", since=(1, 11, 12, 13))
def reduce_max_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_max(data, axes, keepdims=keepdims)


@op("ReduceMin", since=(18, 20))
def reduce_min(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The minimum; the dtype's greatest value of nothing, NaN where any element is."""
    return _reduce(_min, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceMin", since=(1, 11, 12, 13))
def reduce_min_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_min(data, axes, keepdims=keepdims)


@op("ReduceProd", since=18)
def reduce_prod(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The product; 1 of nothing."""
    return _reduce(_prod, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceProd", since=(1, 11, 13))
def reduce_prod_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_prod(data, axes, keepdims=keepdims)


@op("ReduceL1", since=18)
def reduce_l1(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The sum of |x|; 0 of nothing."""
    return _reduce(_l1, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceL1", since=(1, 11, 13))
def reduce_l1_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_l1(data, axes, keepdims=keepdims)


@op("ReduceL2", since=18)
def reduce_l2(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The square root of the sum of x²; 0 of nothing."""
    return _reduce(_l2, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceL2", since=(1, 11, 13))
def reduce_l2_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_l2(data, axes, keepdims=keepdims)


@op("ReduceSumSquare", since=18)
def reduce_sum_square(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The sum of x²; 0 of nothing."""
    return _reduce(_sum_square, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceSumSquare", since=(1, 11, 13))
def reduce_sum_square_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_sum_square(data, axes, keepdims=keepdims)


@op("ReduceLogSum", since=(18, 28))
def reduce_log_sum(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The logarithm of the sum; minus infinity of nothing."""
    return _reduce(_log_sum, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceLogSum", since=(1, 11, 13))
def reduce_log_sum_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_log_sum(data, axes, keepdims=keepdims)


@op("ReduceLogSumExp", since=(18, 28))
def reduce_log_sum_exp(
    data: Array, axes: Axes = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """The logarithm of the sum of e ^ x; minus infinity of nothing."""
    return _reduce(_log_sum_exp, data, axes, keepdims, noop_with_empty_axes)


@op("ReduceLogSumExp", since=(1, 11, 13))
def reduce_log_sum_exp_1(data: Array, *, axes: Axes = None, keepdims: int = 1) -> Array:
    """The same, with the axes as an attribute."""
    return reduce_log_sum_exp(data, axes, keepdims=keepdims)


@op("ArgMax", since=(1, 11, 12, 13))
def arg_max(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """The index (int64) of the maximum along the axis: the first, or the last of equal ones."""
    return _arg(np.argmax, data, axis, keepdims, select_last_index)


@op("ArgMin", since=(1, 11, 12, 13))
def arg_min(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """The index (int64) of the minimum along the axis: the first, or the last of equal ones."""
    return _arg(np.argmin, data, axis, keepdims, select_last_index)


def _arg(find: Callable[..., Any], data: Array, axis: int, keepdims: int, last: int) -> Array:
    axis = normalise_axis(axis, data.ndim)
    if data.size == 0:
        shape = (*data.shape[:axis], *((1,) if keepdims else ()), *data.shape[axis + 1 :])
        if 0 not in shape:
            raise ValueError(
                f"axis {axis} of {list(data.shape)} is empty: it has no element to point at"
            )
        return np.zeros(shape, dtype=np.int64)
    searched = np.flip(data, axis) if last else data
    found = find(searched, axis=axis, keepdims=bool(keepdims))
    return np.asarray(data.shape[axis] - 1 - found if last else found, dtype=np.int64)


@op("CumSum", since=(11, 14))
@in_float32
def cum_sum(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """The sum of all elements up to each one along the axis, which is a scalar or of shape [1].

    ``exclusive`` leaves the element itself out; ``reverse`` goes from the end.
    """
    return _cumulate(np.cumsum, 0, x, axis, exclusive, reverse)


@op("CumProd", since=26)
@in_float32
def cum_prod(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """The product of all elements up to each one along the axis, with CumSum's attributes."""
    return _cumulate(np.cumprod, 1, x, axis, exclusive, reverse)


def _cumulate(
    function: Callable[..., Array],
    identity: int,
    x: Array,
    axis: Array,
    exclusive: int,
    reverse: int,
) -> Array:
    if axis.size != 1:
        raise ValueError(f"axis must be one number, not of shape {list(axis.shape)}")
    along = normalise_axis(int(axis.item()), x.ndim)
    if reverse:
        x = np.flip(x, along)
    result = function(x, axis=along, dtype=x.dtype)
    if exclusive:
        result = np.roll(result, 1, along)
        np.moveaxis(result, along, 0)[:1] = identity
    return np.flip(result, along) if reverse else result
