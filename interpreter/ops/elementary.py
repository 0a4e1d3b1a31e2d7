"""Functions of one tensor, elementwise: signs, rounding, roots, exponentials, trigonometry, tests.

Half precision is computed in float32 by NumPy and ml_dtypes, and rounded once.
Outside its domain a function gives NaN, as in IEEE 754.
"""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._erf import erf
from ._shared import in_float32


@op("Neg", since=(1, 6, 13))
def neg(x: Array) -> Array:
    """-x."""
    return np.negative(x)


@op("Abs", since=(1, 6, 13))
def abs_(x: Array) -> Array:
    """|x|."""
    return np.abs(x)


@op("Sign", since=(9, 13))
def sign(x: Array) -> Array:
    """1, 0 or -1, after the sign of x."""
    return np.sign(x)


@op("Ceil", since=(1, 6, 13))
def ceil(x: Array) -> Array:
    """The smallest integer not below x."""
    return np.ceil(x)


@op("Floor", since=(1, 6, 13))
def floor(x: Array) -> Array:
    """The largest integer not above x."""
    return np.floor(x)


@op("Round", since=(11, 22))
def round_(x: Array) -> Array:
    """The nearest integer, the even one of two that are equally near."""
    return np.rint(x)


@op("Reciprocal", since=(1, 6, 13))
def reciprocal(x: Array) -> Array:
    """1 / x."""
    return np.reciprocal(x)


@op("Sqrt", since=(1, 6, 13))
def sqrt(x: Array) -> Array:
    """√x."""
    return np.sqrt(x)


@op("Exp", since=(1, 6, 13))
def exp(x: Array) -> Array:
    """e ^ x."""
    return np.exp(x)


@op("Log", since=(1, 6, 13))
def log(x: Array) -> Array:
    """The natural logarithm."""
    return np.log(x)


@op("Erf", since=(9, 13))
@in_float32
def erf_(x: Array) -> Array:
    """The error function, 2/√π · ∫₀ˣ exp(-t²) dt; integers (opset 9) are truncated."""
    if x.dtype.kind in "iu":
        return erf(x.astype(np.float64)).astype(x.dtype)
    return erf(x)


@op("Sin", since=(7, 22))
def sin(x: Array) -> Array:
    """sin x, x in radians."""
    return np.sin(x)


@op("Cos", since=(7, 22))
def cos(x: Array) -> Array:
    """cos x, x in radians."""
    return np.cos(x)


@op("Tan", since=(7, 22))
def tan(x: Array) -> Array:
    """tan x, x in radians."""
    return np.tan(x)


@op("Asin", since=(7, 22))
def asin(x: Array) -> Array:
    """The inverse of sin, in [-π/2, π/2]."""
    return np.arcsin(x)


@op("Acos", since=(7, 22))
def acos(x: Array) -> Array:
    """The inverse of cos, in [0, π]."""
    return np.arccos(x)


@op("Atan", since=(7, 22))
def atan(x: Array) -> Array:
    """The inverse of tan, in [-π/2, π/2]."""
    return np.arctan(x)


@op("Sinh", since=(9, 22))
def sinh(x: Array) -> Array:
    """(e ^ x - e ^ -x) / 2."""
    return np.sinh(x)


@op("Cosh", since=(9, 22))
def cosh(x: Array) -> Array:
    """(e ^ x + e ^ -x) / 2."""
    return np.cosh(x)


@op("Asinh", since=(9, 22))
def asinh(x: Array) -> Array:
    """The inverse of sinh."""
    return np.arcsinh(x)


@op("Acosh", since=(9, 22))
def acosh(x: Array) -> Array:
    """The inverse of cosh, not negative."""
    return np.arccosh(x)


@op("Atanh", since=(9, 22))
def atanh(x: Array) -> Array:
    """The inverse of tanh."""
    return np.arctanh(x)


@op("IsNaN", since=(9, 13, 20))
def is_nan(x: Array) -> Array:
    """Whether x is not a number."""
    return np.isnan(x)


@op("IsInf", since=(10, 20))
def is_inf(x: Array, *, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    """Whether x is infinite, of the signs that are asked for."""
    infinite = np.isinf(x)
    if not detect_negative:
        infinite &= ~np.signbit(x)
    if not detect_positive:
        infinite &= np.signbit(x)
    return infinite
