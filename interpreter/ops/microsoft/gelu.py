"""Gelu in its forms: Gelu, BiasGelu, FastGelu, QuickGelu."""

from __future__ import annotations

from ...registry import op
from ...types import Array
from .. import activation
from .._shared import in_float32, single


@op("Gelu", since=1, domain="com.microsoft")
def gelu(x: Array) -> Array:
    """``x * Phi(x)``, Phi the normal distribution's."""
    return activation.gelu(x)


@op("BiasGelu", since=1, domain="com.microsoft")
@in_float32
def bias_gelu(a: Array, b: Array) -> Array:
    """Gelu of ``a + b``, b [H] along a's last axis."""
    return activation.gelu(a + b)


@op("FastGelu", since=1, domain="com.microsoft")
@in_float32
def fast_gelu(x: Array, bias: Array | None = None) -> Array:
    """Gelu by tanh, of ``x + bias``."""
    return activation.gelu(x if bias is None else x + bias, approximate="tanh")


@op("QuickGelu", since=1, domain="com.microsoft")
@in_float32
def quick_gelu(x: Array, *, alpha: float = single(1.702)) -> Array:
    """``x * sigmoid(alpha * x)``."""
    return x * activation.sigmoid(alpha * x)
