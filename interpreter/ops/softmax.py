"""Softmax, LogSoftmax and Hardmax: along one axis since opset 13, before it over all axes from
``axis`` on, taken as one."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32, normalise_axis


@op("Softmax", since=13)
def softmax(x: Array, *, axis: int = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along ``axis``, with the largest element taken off first.

    Half precision is rounded after each of these steps, as in the standard's function
    body: its cases for float16 leave no room for less rounding.
    """
    y = np.exp(_below_largest(x, axis))
    y /= _sum(y, axis)
    return y


@in_float32
def _sum(x: Array, axis: int) -> Array:
    return x.sum(axis=axis, keepdims=True)


@op("LogSoftmax", since=13)
@in_float32
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """``log(softmax(x))`` along ``axis``, without the loss of digits that taking the log brings."""
    y = _below_largest(x, axis)
    y -= np.log(np.exp(y).sum(axis=axis, keepdims=True))
    return y


def _below_largest(x: Array, axis: int) -> Array:
    axis = normalise_axis(axis, x.ndim)
    # -inf is below all, so an empty axis needs no case of its own.
    return x - x.max(axis=axis, keepdims=True, initial=-np.inf)


@op("Hardmax", since=13)
@in_float32
def hardmax(x: Array, *, axis: int = -1) -> Array:
    """1 where the first largest element along ``axis`` is, 0 elsewhere."""
    axis = normalise_axis(axis, x.ndim)
    y = np.zeros_like(x)
    if x.size:
        np.put_along_axis(y, x.argmax(axis=axis, keepdims=True), 1, axis=axis)
    return y


def _as_matrix(kernel: Callable[..., Array], x: Array, axis: int) -> Array:
    """The kernel on [d0 * ... * d(axis-1), d(axis) * ... * dn], and its result in x's shape."""
    axis = normalise_axis(axis, x.ndim)
    rows, columns = prod(x.shape[:axis]), prod(x.shape[axis:])
    return kernel(x.reshape(rows, columns), axis=1).reshape(x.shape)


@op("Softmax", since=(1, 11))
def softmax_1(x: Array, *, axis: int = 1) -> Array:
    """Softmax over all axes from ``axis`` on."""
    return _as_matrix(softmax, x, axis)


@op("LogSoftmax", since=(1, 11))
def log_softmax_1(x: Array, *, axis: int = 1) -> Array:
    """LogSoftmax over all axes from ``axis`` on."""
    return _as_matrix(log_softmax, x, axis)


@op("Hardmax", since=(1, 11))
def hardmax_1(x: Array, *, axis: int = 1) -> Array:
    """Hardmax over all axes from ``axis`` on."""
    return _as_matrix(hardmax, x, axis)
