"""Comparison, logic and bits: Equal, Less, And, Or, Not, Where, BitwiseAnd, BitShift and their kin.

Since opset 7 shapes broadcast as NumPy's do. A comparison with NaN is False.
"""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._old_broadcast import align


@op("And", since=7)
def and_(a: Array, b: Array) -> Array:
    """a and b."""
    return np.logical_and(a, b)


@op("And", since=1)
def and_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a and b, b aligned as before opset 7."""
    return and_(a, align(a, b, axis, broadcast))


@op("Or", since=7)
def or_(a: Array, b: Array) -> Array:
    """a or b."""
    return np.logical_or(a, b)


@op("Or", since=1)
def or_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a or b, b aligned as before opset 7."""
    return or_(a, align(a, b, axis, broadcast))


@op("Xor", since=7)
def xor(a: Array, b: Array) -> Array:
    """Either a or b, not both."""
    return np.logical_xor(a, b)


@op("Xor", since=1)
def xor_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Either a or b, not both, b aligned as before opset 7."""
    return xor(a, align(a, b, axis, broadcast))


@op("Equal", since=(7, 11, 13, 19))
def equal(a: Array, b: Array) -> Array:
    """a = b; strings compare character by character."""
    return np.equal(a, b)


@op("Equal", since=1)
def equal_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a = b, b aligned as before opset 7."""
    return equal(a, align(a, b, axis, broadcast))


@op("Greater", since=(7, 9, 13))
def greater(a: Array, b: Array) -> Array:
    """a > b."""
    return np.greater(a, b)


@op("Greater", since=1)
def greater_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a > b, b aligned as before opset 7."""
    return greater(a, align(a, b, axis, broadcast))


@op("Less", since=(7, 9, 13))
def less(a: Array, b: Array) -> Array:
    """a < b."""
    return np.less(a, b)


@op("Less", since=1)
def less_1(a: Array, b: Array, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """a < b, b aligned as before opset 7."""
    return less(a, align(a, b, axis, broadcast))


@op("GreaterOrEqual", since=(12, 16))
def greater_or_equal(a: Array, b: Array) -> Array:
    """a >= b."""
    return np.greater_equal(a, b)


@op("LessOrEqual", since=(12, 16))
def less_or_equal(a: Array, b: Array) -> Array:
    """a <= b."""
    return np.less_equal(a, b)


@op("Not", since=1)
def not_(x: Array) -> Array:
    """Not x."""
    return np.logical_not(x)


@op("Where", since=(9, 16))
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition holds, y elsewhere; all three broadcast."""
    return np.where(condition, x, y)


@op("BitwiseAnd", since=18)
def bitwise_and(a: Array, b: Array) -> Array:
    """a & b."""
    return np.bitwise_and(a, b)


@op("BitwiseOr", since=18)
def bitwise_or(a: Array, b: Array) -> Array:
    """a | b."""
    return np.bitwise_or(a, b)


@op("BitwiseXor", since=18)
def bitwise_xor(a: Array, b: Array) -> Array:
    """a ^ b."""
    return np.bitwise_xor(a, b)


@op("BitwiseNot", since=18)
def bitwise_not(x: Array) -> Array:
    """~x."""
    return np.bitwise_not(x)


@op("BitShift", since=(11, 28))
def bit_shift(x: Array, y: Array, *, direction: str) -> Array:
    """x shifted by y bits; what is signed keeps its sign to the right.

    A y that is negative, or not below the width of the type, shifts all bits out:
    NumPy's own rule for too wide a shift.
    """
    if direction not in ("LEFT", "RIGHT"):
        raise ValueError(f"direction must be LEFT or RIGHT, not '{direction}'")
    y = np.where(y < 0, x.dtype.itemsize * 8, y).astype(y.dtype)
    return np.left_shift(x, y) if direction == "LEFT" else np.right_shift(x, y)
