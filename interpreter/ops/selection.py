"""Elements chosen by their values: the largest, the distinct, the non-zero, a triangle."""

from __future__ import annotations

import math

import numpy as np

from ..registry import op
from ..types import HALF, STRING, Array
from ._shared import normalise_axis


@op("TopK", since=(11, 24))
def top_k(
    X: Array, K: Array, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[Array, Array]:
    """The ``K`` largest (or smallest) elements along ``axis`` in order, and their indices as int64.

    Of equal elements the one with the lower index comes first; NaN is above all. The order that
    ``sorted=0`` leaves open is the same.
    """
    del sorted
    if K.size != 1:
        raise ValueError(f"K must be one number, and has the shape {list(K.shape)}")
    return _top_k(X, int(K.item()), axis, bool(largest))


@op("TopK", since=10)
def top_k_10(X: Array, K: Array, *, axis: int = -1) -> tuple[Array, Array]:
    """TopK of the largest alone."""
    return top_k(X, K, axis=axis)


@op("TopK", since=1)
def top_k_1(X: Array, *, k: int, axis: int = -1) -> tuple[Array, Array]:
    """TopK whose ``k`` was an attribute."""
    return _top_k(X, k, axis, True)


def _top_k(x: Array, k: int, axis: int, largest: bool) -> tuple[Array, Array]:
    axis = normalise_axis(axis, x.ndim)
    size = x.shape[axis]
    # NaN counts as the greatest, but not where ml_dtypes compares: there it has no place at all.
    keys = x.astype(np.float32) if x.dtype in HALF else x
    if not 0 <= k <= size:
        raise ValueError(f"K must be from 0 to {size}, the size of axis {axis}, and is {k}")
    if largest:
        # Sorted upward from the far end and read backward, equal elements keep their order.
        order = size - 1 - np.argsort(np.flip(keys, axis), axis, kind="stable")
        order = np.flip(order, axis)
    else:
        order = np.argsort(keys, axis, kind="stable")
    first = np.take(order, np.arange(k), axis)
    return np.take_along_axis(x, first, axis), first


@op("Unique", since=(11, 28))
def unique(
    X: Array, *, axis: int | None = None, sorted: int = 1
) -> tuple[Array, Array, Array, Array]:
    """The distinct elements (or subtensors along ``axis``), in ascending order or in that of their
    first occurrence; and as int64: where each occurs first, which of them each element of the
    input is, and how often each occurs."""
    if axis is None:
        parts = X.reshape(-1)
        axis = 0
    else:
        axis = normalise_axis(axis, X.ndim)
        parts = X
    # Ranks stand for the elements, so that every dtype can be sorted by rows.
    comparable = parts.astype(np.float32) if parts.dtype in HALF else parts
    _, ranks = np.unique(comparable, return_inverse=True)
    count = parts.shape[axis]
    rows = np.moveaxis(ranks.reshape(parts.shape), axis, 0)
    rows = rows.reshape(count, math.prod(rows.shape[1:]))
    if rows.shape[1] == 1:
        rows = rows[:, 0]
    _, first, inverse, counts = np.unique(
        rows, return_index=True, return_inverse=True, return_counts=True, axis=0
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first)
        place = np.argsort(order)
        first, inverse, counts = first[order], place[inverse], counts[order]
    return np.take(parts, first, axis), first, inverse, counts


@op("NonZero", since=(9, 13))
def non_zero(X: Array) -> Array:
    """The coordinates of the non-zero elements in row-major order: int64 [rank, count]."""
    return np.argwhere(X).T


@op("Compress", since=(9, 11, 28))
def compress(input: Array, condition: Array, *, axis: int | None = None) -> Array:
    """The slices along ``axis`` (without it, the elements) where ``condition`` ([n]) holds; those
    behind its end are left out."""
    if axis is None:
        input, axis = input.reshape(-1), 0
    axis = normalise_axis(axis, input.ndim)
    if condition.ndim != 1 or len(condition) > input.shape[axis]:
        raise ValueError(
            f"condition must be a vector of at most {input.shape[axis]} elements, and has "
            f"the shape {list(condition.shape)}"
        )
    return np.take(input, np.flatnonzero(condition), axis)


@op("Trilu", since=14)
def trilu(input: Array, k: Array | None = None, *, upper: int = 1) -> Array:
    """The upper (or lower) triangle of each matrix ([..., rows, columns]), zeros elsewhere: above
    and on the ``k``-th diagonal (or below and on it)."""
    if input.ndim < 2:
        raise ValueError(f"the input must hold matrices, and has rank {input.ndim}")
    diagonal = 0 if k is None else int(k.item())
    rows, columns = input.shape[-2:]
    offset = np.arange(columns) - np.arange(rows)[:, np.newaxis]
    kept = offset >= diagonal if upper else offset <= diagonal
    zero = np.array("" if input.dtype == STRING else 0).astype(input.dtype)
    return np.where(kept, input, zero)
