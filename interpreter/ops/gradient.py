"""The gradients of operators, for the operator Gradient (see ``interpreter/gradients.py``).

Each is called like its operator, with the gradient of the output before the
inputs and the output itself behind them; it gives the gradients of the inputs.
"""

from __future__ import annotations

import numpy as np

from ..gradients import GRADIENT
from ..registry import op
from ..types import Array


def _to(gradient: Array, like: Array) -> Array:
    """The gradient summed over the dimensions that broadcasting added to an input or stretched."""
    extra = gradient.ndim - like.ndim
    gradient = gradient.sum(tuple(range(extra)))
    stretched = tuple(axis for axis, size in enumerate(like.shape) if size != gradient.shape[axis])
    return gradient.sum(stretched, keepdims=True).astype(like.dtype, copy=False)


@op("OnesLike", since=1, domain=GRADIENT)
def ones_like(y: Array) -> Array:
    """The gradient of a value by itself."""
    return np.ones_like(y)


@op("ZerosLike", since=1, domain=GRADIENT)
def zeros_like(x: Array) -> Array:
    """The gradient by a value that is not read."""
    return np.zeros_like(x)


@op("Identity", since=1, domain=GRADIENT)
def identity(dy: Array, x: Array, y: Array) -> Array:
    """y = x"""
    del x, y
    return dy


@op("Neg", since=1, domain=GRADIENT)
def neg(dy: Array, x: Array, y: Array) -> Array:
    """y = -x"""
    del x, y
    return -dy


@op("Add", since=1, domain=GRADIENT)
def add(dy: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
    """y = a + b"""
    del y
    return _to(dy, a), _to(dy, b)


@op("Sub", since=1, domain=GRADIENT)
def sub(dy: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
    """y = a - b"""
    del y
    return _to(dy, a), _to(-dy, b)


@op("Mul", since=1, domain=GRADIENT)
def mul(dy: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
    """y = a·b"""
    del y
    return _to(dy * b, a), _to(dy * a, b)


@op("Div", since=1, domain=GRADIENT)
def div(dy: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
    """y = a / b"""
    return _to(dy / b, a), _to(-dy * y / b, b)


@op("MatMul", since=1, domain=GRADIENT)
def matmul(dy: Array, a: Array, b: Array, y: Array) -> tuple[Array, Array]:
    """y = a·b of matrices, in stacks where there are more dimensions."""
    del y
    left = a[np.newaxis] if a.ndim == 1 else a
    right = b[:, np.newaxis] if b.ndim == 1 else b
    if a.ndim == 1:
        dy = np.expand_dims(dy, -1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        dy = np.expand_dims(dy, -1)
    by_left = _to(dy @ np.swapaxes(right, -1, -2), left)
    by_right = _to(np.swapaxes(left, -1, -2) @ dy, right)
    return by_left.reshape(a.shape), by_right.reshape(b.shape)


@op("Relu", since=1, domain=GRADIENT)
def relu(dy: Array, x: Array, y: Array) -> Array:
    """y = max(x, 0); 0 at 0"""
    del y
    return np.where(x > 0, dy, 0).astype(dy.dtype)


@op("Sigmoid", since=1, domain=GRADIENT)
def sigmoid(dy: Array, x: Array, y: Array) -> Array:
    """y = 1 / (1 + exp(-x))"""
    del x
    return dy * y * (1 - y)


@op("Tanh", since=1, domain=GRADIENT)
def tanh(dy: Array, x: Array, y: Array) -> Array:
    """y = tanh(x)"""
    del x
    return dy * (1 - y * y)


@op("Exp", since=1, domain=GRADIENT)
def exp(dy: Array, x: Array, y: Array) -> Array:
    """y = exp(x)"""
    del x
    return dy * y


@op("Log", since=1, domain=GRADIENT)
def log(dy: Array, x: Array, y: Array) -> Array:
    """y = log(x)"""
    del y
    return dy / x


@op("Sqrt", since=1, domain=GRADIENT)
def sqrt(dy: Array, x: Array, y: Array) -> Array:
    """y = √x"""
    del x
    return dy / (2 * y)
