from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import quantized_products as kernels
from scratch_onnx.interpreter.ops._quantize import exact_dtype

BYTES = st.sampled_from([np.uint8, np.int8])


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """All values of a dtype."""
    limits = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape)
    return np.asarray(values).astype(dtype)


@st.composite
def products(draw: Any) -> tuple[Any, Any]:
    """Two operands that ``matmul`` takes."""
    m, k, n = (draw(st.integers(1, 5)) for _ in range(3))
    batch = draw(
        st.sampled_from([((), ()), ((2,), (2,)), ((2, 3), (3,)), ((1,), (2,)), ((), (2,))])
    )
    seed = draw(st.integers(0, 100))
    a = integers((*batch[0], m, k), draw(BYTES), seed)
    b = integers((*batch[1], k, n), draw(BYTES), seed + 1)
    return a, b


@given(products(), st.data())
def test_matmul_integer(operands: Any, data: Any) -> None:
    a, b = operands
    if a.dtype == np.int8 and b.dtype == np.uint8:
        b = b.astype(np.int8)  # the one combination that onnxruntime lacks
    inputs = [a, b]
    if data.draw(st.booleans()):
        inputs.append(integers((), a.dtype, 3))
        shape = (b.shape[-1],) if b.ndim == 2 and data.draw(st.booleans()) else ()
        inputs.append(integers(shape, b.dtype, 4))
    check_node("MatMulInteger", inputs, opset=10)


def test_matmul_integer_by_hand() -> None:
    # The numbers of the standard: each row and each column with a zero point of its own.
    a = np.array([[11, 7, 3], [10, 6, 2]], np.uint8)
    b = np.array([[1, 4], [2, 5], [3, 6]], np.int8)
    rows, columns = np.array([12, 0], np.uint8), np.array([0, -1], np.int8)
    expected = (a.astype(int) - [[12], [0]]) @ (b.astype(int) - [0, -1])
    assert_same([kernels.matmul_integer(a, b, rows, columns)], [expected.astype(np.int32)])
    deep = kernels.matmul_integer(a[None], b, rows[None, :, None], columns[None])
    assert_same([deep], [expected.astype(np.int32)[None]])
    vectors = kernels.matmul_integer(a[0], b[:, 0])
    assert vectors == 11 + 14 + 9
    assert kernels.matmul_integer(np.zeros((2, 0), np.uint8), np.zeros((0, 3), np.int8)).shape == (
        2,
        3,
    )


@pytest.mark.parametrize("k", [1, 257, 258, 259, 4096, 33026])
def test_accumulation_is_exact(k: int) -> None:
    # All products as large as they can be: 65025 · k needs more than float32's 24 bits from
    # k = 259 on, and more than 31 from 33026 on, where a 32-bit accumulator wraps around.
    a, b = np.full((1, k), 255, np.uint8), np.full((k, 1), 255, np.uint8)
    wrapped = (65025 * k + 2**31) % 2**32 - 2**31
    assert kernels.matmul_integer(a, b).tolist() == [[wrapped]]
    expected = np.float32 if 65025 * k <= 2**24 else np.float64
    assert exact_dtype(255, 255 * k) == expected
    check_node("MatMulInteger", [a, b], opset=10)


@given(products(), st.data())
def test_qlinear_matmul(operands: Any, data: Any) -> None:
    a, b = operands
    if a.dtype == np.int8:
        b = b.astype(np.int8)
    scale = [np.array(s, np.float32) for s in (0.02, 0.013, data.draw(st.sampled_from([0.1, 0.9])))]
    by_column = b.ndim == 2 and data.draw(st.booleans())
    if by_column:
        scale[1] = np.linspace(0.01, 0.03, b.shape[-1]).astype(np.float32)
    b_zero_point = integers((b.shape[-1],) if by_column else (), b.dtype, 4)
    inputs = [a, scale[0], integers((), a.dtype, 3), b, scale[1], b_zero_point, scale[2]]
    check_node("QLinearMatMul", [*inputs, integers((), a.dtype, 5)], opset=10)


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
@pytest.mark.parametrize("scale_dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_qlinear_matmul_of_float8(dtype: Any, scale_dtype: Any) -> None:
    a, b = np.array([[1, 2], [4, -0.5]]).astype(dtype), np.array([[2, 0], [1, 1]]).astype(dtype)
    scale = [np.array(s).astype(scale_dtype) for s in (0.5, 2.0, 4.0)]
    zero = np.array(0).astype(dtype)
    inputs = [a, scale[0], zero, b, scale[1], zero, scale[2], zero]
    # 0.5 · 2 / 4 of the product.
    product = np.array([[4, 2], [7.5, -0.5]]) / 4
    assert_same(run_ours("QLinearMatMul", inputs, opset=21), [product.astype(dtype)])
    # The types of a, b and y need not be alike.
    inputs[3:6:2], inputs[7] = [b.astype(np.int8), zero.astype(np.int8)], np.array(3, np.uint8)
    rounded = run_ours("QLinearMatMul", inputs, opset=21)
    assert_same(rounded, [np.array([[4, 3], [5, 3]], np.uint8)])


@st.composite
def convolutions(draw: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Images, weights and attributes of a convolution."""
    rank = draw(st.integers(1, 2))
    group = draw(st.integers(1, 2))
    inputs, outputs = group * draw(st.integers(1, 2)), group * draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 2)) for _ in range(rank)]
    spatial = [draw(st.integers(5, 7)) for _ in range(rank)]
    attributes: dict[str, Any] = {"group": group, "strides": strides}
    if draw(st.booleans()):
        attributes["dilations"] = [draw(st.integers(1, 2)) for _ in range(rank)]
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    else:
        attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    seed = draw(st.integers(0, 100))
    x = integers((draw(st.integers(1, 2)), inputs, *spatial), draw(BYTES), seed)
    w = integers((outputs, inputs // group, *kernel), draw(BYTES), seed + 1)
    return x, w, attributes


@given(convolutions(), st.booleans())
def test_conv_integer(case: Any, with_zero_points: bool) -> None:
    x, w, attributes = case
    if x.dtype == np.int8:
        x = x.view(np.uint8)  # onnxruntime has only unsigned images here
    inputs = [x, w]
    if with_zero_points:
        inputs += [integers((), x.dtype, 5), integers((), w.dtype, 6)]
    check_node("ConvInteger", inputs, opset=10, **attributes)


def test_conv_integer_by_hand() -> None:
    # Pads are zero points, so that they add nothing; each output channel has a zero point.
    x = np.array([[[3, 4]]], np.int8)
    w = np.array([[[1, 2]], [[5, 5]]], np.int8)
    y = kernels.conv_integer(x, w, np.array(2, np.int8), np.array([0, 4], np.int8), pads=(1, 1))
    # x - 2 = [0, 1, 2, 0] with its pads; w - zero points = [1, 2] and [1, 1].
    assert_same([y], [np.array([[[2, 5, 2], [1, 3, 2]]], np.int32)])


@given(convolutions(), st.booleans(), st.booleans())
def test_qlinear_conv(case: Any, with_bias: bool, by_channel: bool) -> None:
    x, w, attributes = case
    if x.dtype == np.int8:
        w = w.view(np.int8)
    channels = (w.shape[0],) if by_channel else ()
    w_scale = np.random.default_rng(0).uniform(0.01, 0.03, channels).astype(np.float32)
    # onnxruntime takes one zero point for all of w's channels, or equal ones.
    w_zero_point = np.full(channels, integers((), w.dtype, 2), w.dtype)
    inputs = [x, np.array(0.02, np.float32), integers((), x.dtype, 1), w]
    inputs += [np.asarray(w_scale), w_zero_point, np.array(0.1, np.float32)]
    inputs += [integers((), x.dtype, 3)]
    if with_bias:
        inputs.append(np.arange(w.shape[0], dtype=np.int32) * 700 - 1000)
    check_node("QLinearConv", inputs, opset=10, constants=[3, 4, 5], **attributes)


def test_qlinear_conv_by_hand() -> None:
    x = np.array([[[10, 20, 250]]], np.uint8)
    w = np.array([[[3]], [[-2]]], np.int8)
    one = np.array(0.5, np.float32)
    y = kernels.qlinear_conv(
        x, one, np.array(10, np.uint8), w, np.array([1, 2], np.float32), np.zeros(2, np.int8),
        np.array(2, np.float32), np.array(100, np.uint8), np.array([2, -4], np.int32),
    )  # fmt: skip
    # Accumulated: 3 · [0, 10, 240] + 2 and -2 · [0, 10, 240] - 4; in units of y · 1/4 and · 1/2.
    expected = [[100, 108, 255], [98, 88, 0]]  # 0.5 and 8 are halves of 2 and 32: to even
    assert y[0].tolist() == expected
