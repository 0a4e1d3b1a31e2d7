"""Arithmetic of two tensors and of several: Add, Sub, Mul, Div, Mod, Pow, Sum, Mean, Max, Min.

Since opset 7 (8 for the variadic ones) shapes broadcast as NumPy's do. Integers
wrap around; half precision is computed in float32 by NumPy and ml_dtypes and
rounded once.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from ..registry import op
from ..types import HALF, Array, Dtype
from ._old_broadcast import align
from ._shared import in_float32


@op("Add", since=(7, 13, 14))
def add(a: Array, b: Array) -> Array:
    """a + b."""
    return np.add(a, b)


@op("Add", since=(1, 6))
def add_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a + b, b aligned as before opset 7."""
    return add(a, align(a, b, axis, broadcast))


@op("Sub", since=(7, 13, 14))
def sub(a: Array, b: Array) -> Array:
    """a - b."""
    return np.subtract(a, b)


@op("Sub", since=(1, 6))
def sub_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a - b, b aligned as before opset 7."""
    return sub(a, align(a, b, axis, broadcast))


@op("Mul", since=(7, 13, 14))
def mul(a: Array, b: Array) -> Array:
    """a · b."""
    return np.multiply(a, b)


@op("Mul", since=(1, 6))
def mul_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a · b, b aligned as before opset 7."""
    return mul(a, align(a, b, axis, broadcast))


@op("Div", since=(7, 13, 14))
def div(a: Array, b: Array) -> Array:
    """a / b; integers truncate towards zero, as in C, and give 0 where b is 0."""
    if a.dtype.kind in "iu":
        # Without the remainder, which C's % also truncates, the floor is exact.
        return np.floor_divide(a - np.fmod(a, b), b)
    return np.divide(a, b)


@op("Div", since=(1, 6))
def div_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a / b, b aligned as before opset 7."""
    return div(a, align(a, b, axis, broadcast))


@op("Mod", since=28)
@in_float32
def mod(a: Array, b: Array, *, fmod: int = 0) -> Array:
    """a - floor(a / b) · b with b's sign, or with ``fmod`` a - trunc(a / b) · b with a's."""
    if fmod not in (0, 1):
        raise ValueError(f"fmod must be 0 or 1, not {fmod}")
    return np.fmod(a, b) if fmod else np.mod(a, b)


@op("Mod", since=(10, 13))
def mod_10(a: Array, b: Array, *, fmod: int = 0) -> Array:
    """The same; floating point needs ``fmod=1`` before opset 28."""
    if not fmod and a.dtype.kind not in "iu":
        raise ValueError(f"Mod of {a.dtype} needs the attribute fmod=1 before opset 28")
    return mod(a, b, fmod=fmod)


@op("Pow", since=(7, 12, 13, 15))
def power(x: Array, y: Array) -> Array:
    """x ^ y in x's dtype; mixed dtypes are computed in the wider one, and cut to x's."""
    if x.dtype == y.dtype and x.dtype.kind == "f":
        # Squares are what exported normalisations ask for, and power() is slow at them.
        return np.square(x) if y.ndim == 0 and y == 2 else np.power(x, y)
    if x.dtype.kind in "iu" and y.dtype.kind in "iu":
        return _integer_power(x, y)
    wide = np.result_type(_computed_in(x.dtype), _computed_in(y.dtype))
    return np.power(x.astype(wide), y.astype(wide)).astype(x.dtype)


def _computed_in(dtype: Dtype) -> Dtype:
    return np.dtype(np.float32) if dtype in HALF else dtype


def _integer_power(x: Array, y: Array) -> Array:
    """x ^ y modulo 2^bits; with a negative y the fraction 1 / x^-y is truncated, 0 for x = 0."""
    result = np.power(x, np.maximum(y, 0).astype(x.dtype))
    if y.dtype.kind == "u" or not (y < 0).any():
        return result
    odd = (y & 1).astype(bool)
    reciprocal = np.where(np.abs(x) == 1, np.where(odd, x, 1), 0)
    return np.where(y < 0, reciprocal, result).astype(x.dtype)


@op("Pow", since=1)
def power_1(x: Array, y: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """x ^ y, y aligned as before opset 7."""
    return power(x, align(x, y, axis, broadcast))


@op("Sum", since=(8, 13))
@in_float32
def sum_(*data: Array) -> Array:
    """The elementwise sum of all inputs."""
    return reduce(np.add, data)


@op("Mean", since=(8, 13))
@in_float32
def mean(*data: Array) -> Array:
    """The elementwise mean of all inputs."""
    return np.asarray(reduce(np.add, data) / len(data), dtype=data[0].dtype)


@op("Max", since=(8, 12, 13))
def max_(*data: Array) -> Array:
    """The elementwise maximum of all inputs; NaN where any of them is."""
    return reduce(np.maximum, data)


@op("Min", since=(8, 12, 13))
def min_(*data: Array) -> Array:
    """The elementwise minimum of all inputs; NaN where any of them is."""
    return reduce(np.minimum, data)


@op("Sum", since=(1, 6))
def sum_1(*data: Array) -> Array:
    """Sum of equal shapes."""
    _require_equal_shapes(data)
    return sum_(*data)


@op("Mean", since=(1, 6))
def mean_1(*data: Array) -> Array:
    """Mean of equal shapes."""
    _require_equal_shapes(data)
    return mean(*data)


@op("Max", since=(1, 6))
def max_1(*data: Array) -> Array:
    """Max of equal shapes."""
    _require_equal_shapes(data)
    return max_(*data)


@op("Min", since=(1, 6))
def min_1(*data: Array) -> Array:
    """Min of equal shapes."""
    _require_equal_shapes(data)
    return min_(*data)


def _require_equal_shapes(data: tuple[Array, ...]) -> None:
    shapes = [list(x.shape) for x in data]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"before opset 8 all inputs must have one shape, not {shapes}")
