"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array, dtype_name, dtype_of_enum
from ._quantize import dequantize, quantize, spread


@op("QuantizeLinear", since=(23, 24, 25, 28))
def quantize_linear(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """``y = saturate(round(x / y_scale) + y_zero_point)``.

    One scale a tensor, one for each index of ``axis``, or one a block along it.
    The division is done in the dtype ``precision``, by default that of the scale.
    y has the dtype of the zero point or ``output_dtype``, uint8 where neither is
    given.
    """
    if precision:
        divided_in = dtype_of_enum(precision)
    elif y_scale.dtype.kind == "i":
        divided_in = np.dtype(np.float64)  # the quotient of integers, then rounded
    elif y_scale.dtype.name == "float8_e8m0fnu":
        divided_in = np.dtype(np.float32)  # which holds all its powers of two
    else:
        divided_in = y_scale.dtype
    return _quantize_linear(
        x.astype(divided_in, copy=False),
        y_scale.astype(divided_in),
        y_zero_point,
        axis,
        block_size,
        output_dtype,
        saturate,
    )


@op("QuantizeLinear", since=21)
def quantize_linear_21(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    saturate: int = 1,
) -> Array:
    """The same with the division in float32: before opset 23 nothing is said of it."""
    return _quantize_linear(
        x.astype(np.float32, copy=False),
        y_scale.astype(np.float32),
        y_zero_point,
        axis,
        block_size,
        output_dtype,
        saturate,
    )


@op("QuantizeLinear", since=19)
def quantize_linear_19(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = 1,
    saturate: int = 1,
) -> Array:
    """The same without blocks."""
    return quantize_linear_21(x, y_scale, y_zero_point, axis=axis, saturate=saturate)


@op("QuantizeLinear", since=13)
def quantize_linear_13(
    x: Array, y_scale: Array, y_zero_point: Array | None = None, *, axis: int = 1
) -> Array:
    """The same to 8-bit integers."""
    return quantize_linear_21(x, y_scale, y_zero_point, axis=axis)


@op("QuantizeLinear", since=10)
def quantize_linear_10(x: Array, y_scale: Array, y_zero_point: Array | None = None) -> Array:
    """The same with one scale for all."""
    _require_scalar(y_scale)
    return quantize_linear_21(x, y_scale, y_zero_point)


def _quantize_linear(
    x: Array,
    scale: Array,
    zero_point: Array | None,
    axis: int,
    block_size: int,
    output_dtype: int,
    saturate: int,
) -> Array:
    dtype = dtype_of_enum(output_dtype) if output_dtype else np.dtype(np.uint8)
    if zero_point is not None:
        if output_dtype and dtype != zero_point.dtype:
            raise ValueError(
                f"output_dtype {dtype_name(dtype)} must be the zero point's dtype, "
                f"{dtype_name(zero_point.dtype)}"
            )
        dtype = zero_point.dtype
        zero_point = spread(zero_point, x.shape, axis, block_size)
    scale = spread(scale, x.shape, axis, block_size)
    return quantize(x, scale, zero_point, dtype, bool(saturate))


@op("DequantizeLinear", since=(23, 24, 25, 28))
def dequantize_linear(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    """``y = (x - x_zero_point) * x_scale`` in ``output_dtype``, by default the scale's.

    One scale a tensor, one for each index of ``axis``, or one a block along it.
    The product is formed in float32 and rounded once.
    """
    scale = spread(x_scale, x.shape, axis, block_size)
    if x_zero_point is not None:
        x_zero_point = spread(x_zero_point, x.shape, axis, block_size)
    dtype = dtype_of_enum(output_dtype) if output_dtype else x_scale.dtype
    return dequantize(x, scale, x_zero_point).astype(dtype)


@op("DequantizeLinear", since=21)
def dequantize_linear_21(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
) -> Array:
    """The same in the scale's dtype."""
    return dequantize_linear(x, x_scale, x_zero_point, axis=axis, block_size=block_size)


@op("DequantizeLinear", since=(13, 19))
def dequantize_linear_13(
    x: Array, x_scale: Array, x_zero_point: Array | None = None, *, axis: int = 1
) -> Array:
    """The same without blocks."""
    return dequantize_linear(x, x_scale, x_zero_point, axis=axis)


@op("DequantizeLinear", since=10)
def dequantize_linear_10(x: Array, x_scale: Array, x_zero_point: Array | None = None) -> Array:
    """The same with one scale for all."""
    _require_scalar(x_scale)
    return dequantize_linear(x, x_scale, x_zero_point)


def _require_scalar(scale: Array) -> None:
    if scale.size != 1:
        raise ValueError(f"opset 10 has one scale for all, not one of shape {list(scale.shape)}")


@op("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    """x [float32] as uint8 over its own range, which is widened to hold 0.

    ``y_scale = (max - min) / 255`` and ``y_zero_point = round(-min / y_scale)``, both
    scalars. Where all is 0 the scale is 1, as in onnxruntime: the formula divides by 0.
    """
    scale, zero_point = range_of(x)
    return quantize(x, scale, zero_point, zero_point.dtype), scale, zero_point


def range_of(x: Array) -> tuple[Array, Array]:
    """DynamicQuantizeLinear's scale [float32] and zero point [uint8] for x, both scalars."""
    least = np.fmin.reduce(x, axis=None, initial=0)
    greatest = np.fmax.reduce(x, axis=None, initial=0)
    scale = np.float32(1) if greatest == least else (greatest - least) / np.float32(255)
    zero_point = np.rint(np.fmin(np.fmax(-least / scale, 0), 255))
    return np.asarray(scale, np.float32), np.asarray(zero_point).astype(np.uint8)
