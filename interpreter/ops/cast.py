"""Conversions of element types: Cast, CastLike, BitCast.

What the standard leaves undefined goes as in onnxruntime on x86-64: a float that
does not fit an integer, which is NumPy's (and C's) own conversion there.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np

from ..registry import op
from ..types import STRING, Array, Dtype, dtype_name, dtype_of_enum, dtype_of_name

FLOAT8 = tuple(
    np.dtype(dtype)
    for dtype in (
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e4m3fnuz,
        ml_dtypes.float8_e5m2,
        ml_dtypes.float8_e5m2fnuz,
    )
)
SCALE8 = np.dtype(ml_dtypes.float8_e8m0fnu)
"""float8e8m0: powers of two from 2^-127 to 2^127, and NaN; no sign and no zero."""
_BITS = {
    np.dtype(dtype): bits
    for bits, dtypes in {
        2: (ml_dtypes.int2, ml_dtypes.uint2),
        4: (ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.float4_e2m1fn),
        6: (ml_dtypes.float6_e2m3fn, ml_dtypes.float6_e3m2fn),
    }.items()
    for dtype in dtypes
}
"""The types narrower than a byte; NumPy holds each element in a byte of its own."""


@op("Cast", since=(24, 25, 28))
def cast(x: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    """x in the dtype of that ``TensorProto.DataType``.

    ``saturate`` clips what is out of range of the float 8 types, which otherwise
    becomes NaN or infinity; ``round_mode`` is "up", "down" or "nearest", for
    float8e8m0 alone.
    """
    return convert(x, dtype_of_enum(to), bool(saturate), round_mode)


@op("Cast", since=(6, 9, 13, 19, 21, 23))
def cast_6(x: Array, *, to: int, saturate: int = 1) -> Array:
    """The same without float8e8m0; ``saturate`` is of opset 19 and above."""
    return cast(x, to=to, saturate=saturate)


@op("Cast", since=1)
def cast_1(x: Array, *, to: str) -> Array:
    """The same, with the type's name: FLOAT, INT64 and so on."""
    try:
        dtype = dtype_of_name(to.lower())
    except KeyError:
        raise ValueError(f"'{to}' is not the name of an element type") from None
    return convert(x, dtype)


@op("CastLike", since=(24, 25))
def cast_like(x: Array, target: Array, *, saturate: int = 1, round_mode: str = "up") -> Array:
    """x in the dtype of ``target``, as Cast does it."""
    return convert(x, target.dtype, bool(saturate), round_mode)


@op("CastLike", since=(15, 19, 21, 23))
def cast_like_15(x: Array, target: Array, *, saturate: int = 1) -> Array:
    """The same without float8e8m0; ``saturate`` is of opset 19 and above."""
    return convert(x, target.dtype, bool(saturate))


@op("BitCast", since=26)
def bit_cast(x: Array, *, to: int) -> Array:
    """The same bits read as another dtype of the same width."""
    dtype = dtype_of_enum(to)
    width, new_width = (_BITS.get(d, d.itemsize * 8) for d in (x.dtype, dtype))
    if STRING in (x.dtype, dtype) or width != new_width:
        raise ValueError(
            f"the bits of {dtype_name(x.dtype)} cannot be read as {dtype_name(dtype)}: "
            f"both must be as wide, and neither a string"
        )
    bits = np.ascontiguousarray(x).reshape(x.shape)
    if width < 8:
        return (bits.view(np.uint8) & ((1 << width) - 1)).view(dtype)
    return bits.view(dtype)


def convert(x: Array, dtype: Dtype, saturate: bool = True, round_mode: str = "up") -> Array:
    """x in another dtype by the rules of Cast."""
    if x.dtype == dtype:
        return x
    if dtype == STRING:
        return _to_strings(x)
    if x.dtype == STRING:
        return _from_strings(x, dtype, saturate, round_mode)
    if dtype in FLOAT8:
        return _to_float8(x, dtype, saturate)
    if dtype == SCALE8:
        return _to_scale8(x, saturate, round_mode)
    if x.dtype.kind == "V":
        # Not all of ml_dtypes' types convert to each other, but float32 holds them all.
        return x.astype(np.float32).astype(dtype)
    return x.astype(dtype)


def _to_float8(x: Array, dtype: Dtype, saturate: bool) -> Array:
    """Rounded to the nearest, half to even; NaN stays NaN."""
    if x.dtype != np.float64:
        x = x.astype(np.float32)
    if saturate:
        limit = float(ml_dtypes.finfo(dtype).max)
        x = np.clip(x, -limit, limit)
    return x.astype(dtype)


def _to_scale8(x: Array, saturate: bool, round_mode: str) -> Array:
    """The exponent alone; of what is negative, which the standard leaves open, that of |x|."""
    if round_mode not in _ROUNDS_UP:
        raise ValueError(f"round_mode must be up, down or nearest, not '{round_mode}'")
    size = np.abs(x.astype(np.float64))
    fraction, exponent = np.frexp(size)  # size = fraction · 2^exponent, 0.5 <= fraction < 1
    code = exponent + 126 + _ROUNDS_UP[round_mode](fraction)
    if saturate:
        code = np.clip(np.where(np.isinf(size), 254, np.where(size == 0, 0, code)), 0, 254)
        lost = np.isnan(size)
    else:
        lost = ~((size >= 2.0**-127) & (size <= 2.0**127))
    return np.where(lost, 255, code).astype(np.uint8).view(dtype=SCALE8)


_ROUNDS_UP: dict[str, Callable[[Array], Array]] = {
    "up": lambda fraction: fraction > 0.5,
    "down": lambda fraction: fraction < 0,
    "nearest": lambda fraction: fraction >= 0.75,
}


def _to_strings(x: Array) -> Array:
    """Floats with up to eight digits, as onnxruntime writes them; bool as 1 and 0."""
    if x.dtype.kind == "V":
        x = x.astype(np.float32)
    if x.dtype.kind == "f":
        texts = [_SPECIAL.get(text, text) for text in (f"{v:.8g}" for v in x.ravel().tolist())]
    else:
        texts = [str(int(v)) for v in x.ravel().tolist()]
    return np.array(texts, dtype=object).reshape(x.shape)


_SPECIAL = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}


def _from_strings(x: Array, dtype: Dtype, saturate: bool, round_mode: str) -> Array:
    """What Python's float() and int() read; integers drop a fraction."""
    if dtype.kind in "iu":
        # Modulo 2^64, which the conversion to the final width goes on with.
        values = [_whole_number(text) % 2**64 for text in x.ravel().tolist()]
        return np.array(values, dtype=np.uint64).reshape(x.shape).astype(dtype)
    return convert(x.astype(np.float64), dtype, saturate, round_mode)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return int(float(text))
