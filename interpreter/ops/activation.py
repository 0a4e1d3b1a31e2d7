"""Activations: functions of one element, computed in float32 for half precision."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._erf import erf
from ._shared import in_float32, single


@op("Relu", since=(1, 6, 13, 14))
@in_float32
def relu(x: Array) -> Array:
    """``max(0, x)``."""
    return np.maximum(x, 0)


@op("LeakyRelu", since=(1, 6, 16))
@in_float32
def leaky_relu(x: Array, *, alpha: float = single(0.01)) -> Array:
    """``x`` from 0 on, ``alpha * x`` below."""
    return np.where(x < 0, alpha * x, x)


@op("PRelu", since=(7, 9, 16))
@in_float32
def prelu(x: Array, slope: Array) -> Array:
    """``x`` from 0 on, ``slope * x`` below; the slope broadcasts to x's shape."""
    if np.broadcast_shapes(x.shape, slope.shape) != x.shape:
        raise ValueError(f"the slope {list(slope.shape)} does not broadcast to {list(x.shape)}")
    return np.where(x < 0, slope * x, x)


@op("PRelu", since=(1, 6))
def prelu_1(x: Array, slope: Array) -> Array:
    """PRelu before broadcasting: one slope, or one for each channel of [N, C, ...]."""
    if slope.size == 1:
        return prelu(x, slope.reshape(()))
    if x.ndim < 2 or slope.shape != (x.shape[1],):
        raise ValueError(
            f"the slope {list(slope.shape)} must be one number, or one for each channel of "
            f"{list(x.shape)}"
        )
    return prelu(x, slope.reshape(-1, *(1,) * (x.ndim - 2)))


@op("Elu", since=(1, 6, 22))
@in_float32
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """``x`` from 0 on, ``alpha * (exp(x) - 1)`` below."""
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


@op("Selu", since=(6, 22))
@in_float32
def selu(
    x: Array, *, alpha: float = single(1.6732632423543772), gamma: float = single(1.05070098735548)
) -> Array:
    """``gamma * x`` above 0, ``gamma * alpha * (exp(x) - 1)`` below: Elu, scaled."""
    return gamma * elu(x, alpha=alpha)


@op("Selu", since=1)
def selu_1(x: Array, *, alpha: float = single(1.6732), gamma: float = single(1.0507)) -> Array:
    """Selu with the rounder constants of opset 1."""
    return selu(x, alpha=alpha, gamma=gamma)


@op("Celu", since=(12, 28))
@in_float32
def celu(x: Array, *, alpha: float = 1.0) -> Array:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    return alpha * elu(x / alpha)


@op("ThresholdedRelu", since=(10, 22))
@in_float32
def thresholded_relu(x: Array, *, alpha: float = 1.0) -> Array:
    """``x`` above ``alpha``, 0 elsewhere."""
    return np.where(x > alpha, x, x.dtype.type(0))


@op("Sigmoid", since=(1, 6, 13))
@in_float32
def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return 1 / (1 + np.exp(-x))


@op("HardSigmoid", since=(1, 6, 22))
@in_float32
def hard_sigmoid(x: Array, *, alpha: float = single(0.2), beta: float = 0.5) -> Array:
    """``max(0, min(1, alpha * x + beta))``."""
    return np.clip(alpha * x + beta, 0, 1)


@op("HardSwish", since=(14, 22))
@in_float32
def hard_swish(x: Array) -> Array:
    """``x * max(0, min(1, x / 6 + 0.5))``."""
    return x * hard_sigmoid(x, alpha=1 / 6)


@op("Tanh", since=(1, 6, 13))
@in_float32
def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


@op("Softplus", since=(1, 22))
@in_float32
def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``, without overflow."""
    return np.logaddexp(x, x.dtype.type(0))


@op("Softsign", since=(1, 22))
@in_float32
def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``."""
    return x / (1 + np.abs(x))


@op("Mish", since=(18, 22))
@in_float32
def mish(x: Array) -> Array:
    """``x * tanh(softplus(x))``."""
    return x * np.tanh(softplus(x))


@op("Swish", since=24)
@in_float32
def swish(x: Array, *, alpha: float = 1.0) -> Array:
    """``x * sigmoid(alpha * x)``."""
    return x * sigmoid(alpha * x)


@op("SwiGLU", since=28)
@in_float32
def swiglu(a: Array, b: Array, *, alpha: float = 1.0) -> Array:
    """``swish(a) * b``: the gate a and the values b have one shape."""
    if a.shape != b.shape:
        raise ValueError(f"gate {list(a.shape)} and values {list(b.shape)} must have one shape")
    return swish(a, alpha=alpha) * b


@op("Gelu", since=20)
@in_float32
def gelu(x: Array, *, approximate: str = "none") -> Array:
    """``x * Phi(x)``, Phi the normal distribution's; by tanh where ``approximate`` says so.

    Exact: ``0.5 * x * (1 + erf(x / sqrt(2)))``. Approximate:
    ``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``.
    """
    if approximate == "none":
        return 0.5 * x * (1 + erf(x * 0.5**0.5))
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x)))
    raise ValueError(f"approximate must be none or tanh, and is {approximate!r}")


@op("Shrink", since=9)
@in_float32
def shrink(x: Array, *, bias: float = 0.0, lambd: float = 0.5) -> Array:
    """``x + bias`` below ``-lambd``, ``x - bias`` above ``lambd``, 0 between.

    Integers are shrunk as real numbers and cut to whole ones, as onnxruntime does.
    """
    shrunk = np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0))
    return shrunk.astype(x.dtype, copy=False)


@op("Clip", since=(11, 12, 13))
def clip(x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """``min(max, max(min, x))``: where the bounds cross, the upper one wins.

    A bound that is NaN bounds nothing, as in the standard's function body, which
    compares: nothing is below NaN or above it.
    """
    if min is not None:
        lower = _scalar(min, "min")
        x = np.maximum(x, lower) if lower == lower else x
    if max is not None:
        upper = _scalar(max, "max")
        x = np.minimum(x, upper) if upper == upper else x
    return x


def _scalar(bound: Array, name: str) -> Array:
    if bound.size != 1:
        raise ValueError(f"{name} must be a scalar, and has shape {list(bound.shape)}")
    return bound.reshape(())


FLOAT32_MAX = float(np.finfo(np.float32).max)


@op("Clip", since=6)
@in_float32
def clip_6(x: Array, *, min: float = -FLOAT32_MAX, max: float = FLOAT32_MAX) -> Array:
    """Clip with its bounds as attributes: without them, infinities become float32's extremes."""
    return np.clip(x, x.dtype.type(min), x.dtype.type(max))


@op("Clip", since=1)
@in_float32
def clip_1(x: Array, *, min: float | None = None, max: float | None = None) -> Array:
    """Clip with its bounds as attributes, either of which may be absent."""
    if min is not None:
        x = np.maximum(x, min)
    return x if max is None else np.minimum(x, max)
