from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from oracles import assert_same, check_node, run_ours
from typed import cases, check_typed

from scratch_onnx.interpreter.ops import logical as kernels

COMPARISONS = ["Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"]
SHAPES = mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4)
THREE_SHAPES = mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=4)


@given(st.data())
@pytest.mark.parametrize("op_type", COMPARISONS)
def test_comparison(op_type: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([op_type])))
    a, b = (data.draw(arrays(shape, (dtype,))) for shape in data.draw(SHAPES).input_shapes)
    check_typed(op_type, [a, b], opset=opset)


@pytest.mark.parametrize("op_type", COMPARISONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_comparison_of_special_values(op_type: str, dtype: Any) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], dtype)
    check_node(op_type, [x[:, None], x], opset=16)


def test_equal_strings() -> None:
    a = np.array(["one", "two", "", "Ünï"], dtype=object)
    b = np.array(["one", "Two", "", "Ünï"], dtype=object)
    assert run_ours("Equal", [a, b], opset=19)[0].tolist() == [True, False, True, True]
    check_node("Equal", [a, b], opset=19)


@given(st.data())
@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
def test_logic(op_type: str, data: Any) -> None:
    a, b = (data.draw(arrays(shape, (np.bool_,))) for shape in data.draw(SHAPES).input_shapes)
    check_node(op_type, [a, b], opset=7)


@given(arrays(dtypes=[np.bool_]))
def test_not(x: Any) -> None:
    check_node("Not", [x], opset=1 if x.size == 0 else 13)


@given(st.data())
def test_where(data: Any) -> None:
    opset = data.draw(st.sampled_from([9, 16]))
    dtype = data.draw(st.sampled_from([np.float32, np.int64, np.uint8, object]))
    shapes = data.draw(THREE_SHAPES).input_shapes
    condition = data.draw(arrays(shapes[0], (np.bool_,)))
    x, y = (data.draw(arrays(shape, (dtype,))) for shape in shapes[1:])
    check_node("Where", [condition, x, y], opset=opset)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.bool_, ml_dtypes.bfloat16])
def test_where_of_what_onnxruntime_lacks(dtype: Any) -> None:
    x, y = np.array([1, 0]).astype(dtype), np.array([0]).astype(dtype)
    if x.dtype.kind == "c":
        x = x * dtype(1j)
    condition = np.array([[True, False], [False, True]])
    expected = np.stack([np.array([x[0], y[0]]), np.array([y[0], x[1]])])
    assert_same(run_ours("Where", [condition, x, y], opset=16), [expected])


@given(st.data())
@pytest.mark.parametrize("op_type", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_bitwise(op_type: str, data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases([op_type])))
    a, b = (data.draw(arrays(shape, (dtype,))) for shape in data.draw(SHAPES).input_shapes)
    check_node(op_type, [a, b], opset=opset)


@given(st.data())
def test_bitwise_not(data: Any) -> None:
    _, opset, dtype = data.draw(st.sampled_from(cases(["BitwiseNot"])))
    check_node("BitwiseNot", [data.draw(arrays(dtypes=[dtype]))], opset=opset)


@given(st.data())
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_bit_shift(direction: str, data: Any) -> None:
    dtype = data.draw(st.sampled_from([np.uint8, np.uint32, np.uint64]))
    shape, other = data.draw(SHAPES).input_shapes
    x = data.draw(arrays(shape, (dtype,)))
    y = np.asarray(data.draw(arrays(other, (dtype,))) % 8, dtype)
    check_node("BitShift", [x, y], opset=11, direction=direction)


def test_bit_shift_out_of_range() -> None:
    # By the specification of opset 28.
    x = np.array([-5, 5, -5, 5, -5, 5, 64], np.int8)
    y = np.array([1, 1, -1, 9, 8, -128, 1], np.int8)
    right = run_ours("BitShift", [x, y], opset=28, direction="RIGHT")
    assert right[0].tolist() == [-3, 2, -1, 0, -1, 0, 32]
    left = run_ours("BitShift", [x, y], opset=28, direction="LEFT")
    assert left[0].tolist() == [-10, 10, 0, 0, 0, 0, -128]
    unsigned = np.array([255, 255], np.uint16)
    wide = np.array([16, 40000], np.uint16)
    shifted = run_ours("BitShift", [unsigned, wide], opset=11, direction="LEFT")
    assert shifted[0].tolist() == [0, 0]
    with pytest.raises(ValueError, match="direction must be LEFT or RIGHT, not 'left'"):
        kernels.bit_shift(x, y, direction="left")


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor", "Equal", "Greater", "Less"])
def test_old_broadcast(op_type: str) -> None:
    random = np.random.default_rng(0)
    dtype: Any = {"Greater": np.float32, "Less": np.float32, "Equal": np.int32}.get(op_type, bool)
    a, b = (random.integers(0, 2, shape).astype(dtype) for shape in [(2, 3, 4), (3,)])
    function = {
        "And": np.logical_and,
        "Or": np.logical_or,
        "Xor": np.logical_xor,
    }.get(op_type) or getattr(np, op_type.lower())
    expected = function(a, b[:, None])
    assert_same(run_ours(op_type, [a, b], opset=1, broadcast=1, axis=1), [expected])
    same = run_ours(op_type, [a, a[::-1]], opset=6)
    assert_same(same, [function(a, a[::-1])])
    with pytest.raises(ValueError, match="must be equal before opset 7"):
        getattr(kernels, f"{op_type.lower()}_1")(a, b)
