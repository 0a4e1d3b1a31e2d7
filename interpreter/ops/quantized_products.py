"""Products of quantised tensors: MatMulInteger, ConvInteger, QLinearMatMul, QLinearConv.

They are computed by BLAS, in the floating dtype in which every sum is exact
(``exact_dtype`` has the proof), and accumulated as if in 32 bits.
"""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._quantize import as_int32, dequantize, exact_dtype, is_integer, quantize, saturate
from ._windows import place_windows
from .conv import check_kernels, convolve


@op("MatMulInteger", since=10)
def matmul_integer(
    a: Array, b: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None
) -> Array:
    """``(a - a_zero_point) @ (b - b_zero_point)`` in int32, which wraps around.

    Shapes as ``numpy.matmul`` has them. A zero point is one for all, or one for each
    row of a ([M] or [..., M, 1]) or column of b ([N] or [..., 1, N]).
    """
    a = _centred(a, None if a_zero_point is None else _by_row(a_zero_point))
    b = _centred(b, b_zero_point)
    largest, sums = _largest(a), _largest(np.abs(b).sum(axis=-2 if b.ndim > 1 else 0))
    dtype = exact_dtype(largest, sums)
    return as_int32(np.matmul(a.astype(dtype), b.astype(dtype)))


@op("QLinearMatMul", since=(10, 21))
def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
) -> Array:
    """The matrix product of quantised a and b, quantised as y.

    Integers are accumulated in int32 and multiplied by ``a_scale * b_scale / y_scale``,
    in float32; float 8 is dequantised first. Scales and zero points as in MatMulInteger.
    """
    if not all(is_integer(x.dtype) for x in (a, b, y_zero_point)):
        product = np.matmul(
            dequantize(a, _by_row(a_scale), _by_row(a_zero_point)),
            dequantize(b, b_scale, b_zero_point),
        )
        return quantize(product, y_scale.astype(np.float32), y_zero_point, y_zero_point.dtype)
    accumulated = matmul_integer(a, b, a_zero_point, b_zero_point)
    y = _requantize(accumulated, _by_row(a_scale), b_scale, y_scale, y_zero_point)
    return y.reshape(accumulated.shape)


@op("ConvInteger", since=10)
def conv_integer(
    x: Array,
    w: Array,
    x_zero_point: Array | None = None,
    w_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """Conv of ``x - x_zero_point`` with ``w - w_zero_point``, in int32, which wraps around.

    Padding adds elements that are 0 after the subtraction. The zero point of w is
    one for all, or [M], one for each of the output's channels.
    """
    check_kernels(x, w, group, kernel_shape)
    if w.shape[0] % group or w.shape[1] * group != x.shape[1]:
        raise ValueError(
            f"weights {list(w.shape)} in {group} groups do not fit {x.shape[1]} channels"
        )
    windows = place_windows(
        x.shape[2:],
        w.shape[2:],
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
    )
    x = _centred(x, x_zero_point)
    w = _centred(w, None if w_zero_point is None else _by_channel(w_zero_point, w.ndim))
    dtype = exact_dtype(_largest(x), _largest(np.abs(w).sum(axis=tuple(range(1, w.ndim)))))
    return as_int32(convolve(x.astype(dtype), w.astype(dtype), windows, group))


@op("QLinearConv", since=10)
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    w: Array,
    w_scale: Array,
    w_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    b: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """The convolution of quantised x and w, quantised as y.

    Accumulated in int32, to which the bias b (int32 [M], of scale
    ``x_scale * w_scale`` and zero point 0) is added, and multiplied by
    ``x_scale * w_scale / y_scale`` in float32. w's scale and zero point are one for
    all or [M].
    """
    accumulated = conv_integer(
        x,
        w,
        x_zero_point,
        w_zero_point,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    if b is not None:
        accumulated += _by_channel(b, w.ndim - 1)
    w_scale = _by_channel(w_scale, w.ndim - 1)
    return _requantize(accumulated, x_scale, w_scale, y_scale, y_zero_point)


def _centred(x: Array, zero_point: Array | None) -> Array:
    """``x - zero_point``, exact: in 16 bits, for 8-bit integers differ by 255 at most."""
    x = x.astype(np.int16)
    return x if zero_point is None else x - zero_point.astype(np.int16)


def _largest(x: Array) -> int:
    """max|x|, 0 of nothing."""
    return int(max(x.max(initial=0), -x.min(initial=0)))


def _by_row(values: Array) -> Array:
    """Scales or zero points of a's rows in a shape that broadcasts against a and the product."""
    return values[:, None] if values.ndim == 1 and values.size > 1 else values


def _by_channel(values: Array, rank: int) -> Array:
    """[M] in a shape that broadcasts along the first of ``rank`` axes; one value as it is."""
    return values.reshape(()) if values.size == 1 else values.reshape(-1, *(1,) * (rank - 1))


def _requantize(
    accumulated: Array, a_scale: Array, b_scale: Array, y_scale: Array, y_zero_point: Array
) -> Array:
    """Accumulated products in y's units and dtype, computed in float32 as onnxruntime does."""
    product = a_scale.astype(np.float32) * b_scale.astype(np.float32)
    y = accumulated.astype(np.float32) * (product / y_scale.astype(np.float32))
    return saturate(y, y_zero_point, y_zero_point.dtype)
