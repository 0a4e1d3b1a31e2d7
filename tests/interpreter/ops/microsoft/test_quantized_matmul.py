from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node

from scratch_onnx.interpreter.ops.microsoft import quantized_matmul as kernels

MS = {"domain": "com.microsoft", "opset": 1}


def integers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    limits = np.iinfo(dtype)
    values = np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape)
    return np.asarray(values).astype(dtype)


def normal(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@st.composite
def weights(draw: Any, k: int = 6, n: int = 5) -> tuple[Any, Any, Any, Any]:
    """b, its scale, its zero point and a bias, the last two perhaps absent."""
    dtype = draw(st.sampled_from([np.uint8, np.int8]))
    shape = (n,) if draw(st.booleans()) else ()
    scale = np.asarray(np.abs(normal(shape, 1)) / 50 + 0.01, np.float32)
    zero_point = integers(shape, dtype, 2) if draw(st.booleans()) else None
    bias = normal((n,), 3) if draw(st.booleans()) else None
    return integers((k, n), dtype, 1), scale, zero_point, bias


@given(weights(), st.booleans(), st.sampled_from([(4, 6), (2, 3, 6)]))
def test_matmul_integer_to_float(operand: Any, signed: bool, shape: Any) -> None:
    b, b_scale, b_zero_point, bias = operand
    if signed and b.dtype == np.uint8:
        return  # which onnxruntime does not have
    a = integers(shape, np.int8 if signed else np.uint8)
    inputs = [a, b, np.array(0.03, np.float32), b_scale]
    inputs += [integers((), a.dtype, 7), b_zero_point, bias]
    while inputs[-1] is None:
        inputs.pop()
    check_node("MatMulIntegerToFloat", inputs, **MS)


@given(weights(), st.sampled_from([(4, 6), (2, 3, 6), (1, 6)]))
def test_dynamic_quantize_matmul(operand: Any, shape: Any) -> None:
    b, b_scale, b_zero_point, bias = operand
    inputs = [normal(shape), b, b_scale, b_zero_point, bias]
    while inputs[-1] is None:
        inputs.pop()
    check_node("DynamicQuantizeMatMul", inputs, **MS)


@given(weights(), st.integers(0, 1), st.integers(0, 1), st.booleans(), st.booleans())
def test_qgemm(operand: Any, trans_a: int, trans_b: int, with_c: bool, quantised: bool) -> None:
    b, b_scale, b_zero_point, _ = operand
    a = integers((6, 4) if trans_a else (4, 6), np.uint8)
    if b_zero_point is None or b_zero_point.shape != b_scale.shape:
        b_zero_point = np.zeros(b_scale.shape, b.dtype)
    inputs = [a, np.array(0.021, np.float32), integers((), np.uint8, 4)]
    inputs += [b.T.copy() if trans_b else b, b_scale, b_zero_point]
    inputs.append(integers((5,), np.int16, 5).astype(np.int32) if with_c else None)
    if quantised:
        inputs += [np.array(0.37, np.float32), integers((), np.uint8, 6)]
    elif not with_c:
        inputs.pop()
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": 0.7}
    check_node("QGemm", inputs, **attributes, **MS)


def test_matmul_integer_to_float_by_hand() -> None:
    a, b = np.array([[3, 5]], np.uint8), np.array([[1, -1], [2, 4]], np.int8)
    scales = np.array([0.5], np.float32), np.array([1, 10], np.float32)
    zero, bias = np.array(1, np.uint8), np.array([100, 200], np.float32)
    y = kernels.matmul_integer_to_float(a, b, *scales, zero, None, bias)
    # [2, 4] @ b = [10, 14].
    assert_same([y], [np.array([[105, 270]], np.float32)])
    with pytest.raises(ValueError, match="a_scale must be one number"):
        kernels.matmul_integer_to_float(a, b, scales[1], scales[1])


@given(
    st.sampled_from([2, 4, 8]),
    st.sampled_from([16, 32]),
    st.sampled_from([16, 40, 64]),
    st.sampled_from(["none", "packed", "float"]),
    st.booleans(),
    st.sampled_from([(3,), (2, 3)]),
)
def test_matmul_nbits(
    bits: int, block_size: int, k: int, zero_points: str, with_bias: bool, rows: Any
) -> None:
    if bits == 8 and zero_points == "float":
        return  # which onnxruntime does not have
    n, blocks = 5, -(-k // block_size)
    b = integers((n, blocks, block_size * bits // 8), np.uint8)
    inputs = [normal((*rows, k)), b, np.abs(normal((n, blocks), 1))]
    if zero_points == "packed":
        inputs.append(integers((n, -(-blocks * bits // 8)), np.uint8, 2))
    elif zero_points == "float":
        inputs.append(np.abs(normal((n, blocks), 3)) * 3)
    else:
        inputs.append(None)
    inputs += [None, normal((n,), 4) if with_bias else None]
    while inputs[-1] is None:
        inputs.pop()
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block_size}
    # Sums of up to 64 terms of up to 255 each.
    check_node("MatMulNBits", inputs, rtol=1e-5, atol=1e-3, **attributes, **MS)


def test_matmul_nbits_by_hand() -> None:
    # Numbers 0 to 15 in the lower, then the upper half of each byte; less the 8 that is default.
    b = np.array([[[0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]]], np.uint8)
    a, scale = np.eye(16, dtype=np.float32), np.array([[0.5]], np.float32)
    y = kernels.matmul_nbits(a, b, scale, K=16, N=1, bits=4, block_size=16)
    assert y[:, 0].tolist() == [(number - 8) / 2 for number in range(16)]
    bias = np.array([7], np.float32)
    y = kernels.matmul_nbits(a, b[:, :0], scale, bias=bias, K=16, N=1, block_size=16)
    assert y[:, 0].tolist() == [7] * 16
    with pytest.raises(ValueError, match="bits must be 2, 4 or 8, and is 3"):
        kernels.matmul_nbits(a, b, scale, K=16, N=1, bits=3, block_size=16)
    with pytest.raises(ValueError, match="must have K = 8 columns"):
        kernels.matmul_nbits(a, b, scale, K=8, N=1, block_size=16)
