"""8-bit operators: QuantizeLinear, QLinearAdd, QLinearMul, QLinearConcat and the rest.

Of a function of one number only 256 inputs exist: it is computed for each of them
in float32, quantised, and looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ...registry import op
from ...types import Array, Dtype
from .. import activation, quantization
from .._quantize import dequantize, quantize, saturate
from .._shared import normalise_axis, single
from ..join import concat
from ..pool import average_pool
from ..softmax import softmax, softmax_1


@op("QuantizeLinear", since=1, domain="com.microsoft")
def quantize_linear(
    x: Array, y_scale: Array, y_zero_point: Array | None = None, *, axis: int = 1
) -> Array:
    """The standard's, which had no 16-bit and 4-bit integers before opset 21."""
    return quantization.quantize_linear_13(x, y_scale, y_zero_point, axis=axis)


@op("DequantizeLinear", since=1, domain="com.microsoft")
def dequantize_linear(
    x: Array, x_scale: Array, x_zero_point: Array | None = None, *, axis: int = 1
) -> Array:
    """The standard's, which had no 16-bit and 4-bit integers before opset 21."""
    return quantization.dequantize_linear_13(x, x_scale, x_zero_point, axis=axis)


@op("QLinearAdd", since=1, domain="com.microsoft")
def qlinear_add(
    a: Array,
    a_scale: Array,
    a_zero_point: Array | None,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None,
    c_scale: Array,
    c_zero_point: Array | None = None,
) -> Array:
    """``a + b`` of what a and b stand for, quantised as c; shapes broadcast."""
    total = _centred(a, a_zero_point).astype(np.float32) * (a_scale / c_scale)
    total = total + _centred(b, b_zero_point).astype(np.float32) * (b_scale / c_scale)
    return _shift_and_round(total, c_zero_point, a.dtype)


@op("QLinearMul", since=1, domain="com.microsoft")
def qlinear_mul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array | None,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None,
    c_scale: Array,
    c_zero_point: Array | None = None,
) -> Array:
    """``a * b`` of what a and b stand for, quantised as c; shapes broadcast."""
    product = _centred(a, a_zero_point) * _centred(b, b_zero_point)
    y = product.astype(np.float32) * (a_scale * b_scale / c_scale)
    return _shift_and_round(y, c_zero_point, a.dtype)


@op("QLinearSigmoid", since=1, domain="com.microsoft")
def qlinear_sigmoid(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
) -> Array:
    """``1 / (1 + exp(-x))`` of what x stands for, quantised as y."""
    return _look_up(activation.sigmoid, x, x_scale, x_zero_point, y_scale, y_zero_point)


@op("QLinearLeakyRelu", since=1, domain="com.microsoft")
def qlinear_leaky_relu(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    alpha: float = single(0.01),
) -> Array:
    """``x`` from 0 on, ``alpha * x`` below, of what x stands for, quantised as y."""

    def leaky_relu(values: Array) -> Array:
        return activation.leaky_relu(values, alpha=alpha)

    return _look_up(leaky_relu, x, x_scale, x_zero_point, y_scale, y_zero_point)


@op("QLinearSoftmax", since=1, domain="com.microsoft")
def qlinear_softmax(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array,
    *,
    axis: int = -1,
    opset: int,
) -> Array:
    """Softmax of what x stands for, quantised as y; ``opset`` is that of the Softmax."""
    del x_zero_point  # a shift, which Softmax does not see
    kernel = softmax if opset >= 13 else softmax_1
    return quantize(
        kernel(dequantize(x, x_scale, None), axis=axis), y_scale, y_zero_point, y_zero_point.dtype
    )


@op("QLinearGlobalAveragePool", since=1, domain="com.microsoft")
def qlinear_global_average_pool(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    *,
    channels_last: int = 0,
) -> Array:
    """The mean of each channel of x [N, C, ...] ([N, ..., C] where ``channels_last``)."""
    axes = tuple(range(1, x.ndim - 1) if channels_last else range(2, x.ndim))
    count = prod(x.shape[axis] for axis in axes)
    total = np.sum(_centred(x, x_zero_point), axis=axes, keepdims=True, dtype=np.int32)
    scale = x_scale / (y_scale * np.float32(count))
    return saturate(total.astype(np.float32) * scale, y_zero_point, x.dtype)


@op("QLinearAveragePool", since=1, domain="com.microsoft")
def qlinear_average_pool(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """AveragePool of what x stands for, quantised as y."""
    values = dequantize(x, x_scale, x_zero_point)
    y = average_pool(
        np.moveaxis(values, -1, 1) if channels_last else values,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return quantize(np.moveaxis(y, 1, -1) if channels_last else y, y_scale, y_zero_point, x.dtype)


@op("QLinearConcat", since=1, domain="com.microsoft")
def qlinear_concat(y_scale: Array, y_zero_point: Array, *inputs: Array, axis: int) -> Array:
    """Tensors, each followed by its scale and zero point, quantised as y and joined."""
    if not inputs or len(inputs) % 3:
        raise ValueError("the inputs are tensors, each followed by its scale and zero point")
    parts = [
        _look_up(lambda values: values, x, scale, zero_point, y_scale, y_zero_point)
        for x, scale, zero_point in zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True)
    ]
    return concat(*parts, axis=normalise_axis(axis, inputs[0].ndim))


def _centred(x: Array, zero_point: Array | None) -> Array:
    """``x - zero_point`` in int32, in which the product of two is exact."""
    x = x.astype(np.int32)
    return x if zero_point is None else x - zero_point.astype(np.int32)


def _shift_and_round(x: Array, zero_point: Array | None, dtype: Dtype) -> Array:
    """As onnxruntime has it for sums and products: halves are rounded with the zero point added."""
    return saturate(x if zero_point is None else x + zero_point.astype(np.float32), None, dtype)


def _look_up(
    function: Callable[[Array], Array],
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None,
) -> Array:
    """A function of what x stands for, quantised as y, by a table over all 256 bytes."""
    values = function(
        dequantize(np.arange(256, dtype=np.uint8).view(x.dtype), x_scale, x_zero_point)
    )
    return quantize(values, y_scale, y_zero_point, x.dtype)[x.view(np.uint8)]
