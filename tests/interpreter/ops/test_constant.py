from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import constant as kernels
from scratch_onnx.interpreter.types import enum_of_dtype


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@pytest.mark.parametrize("opset", [1, 9, 11, 12, 13, 19, 21, 23, 24, 25])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, object, np.float16])
def test_constant_tensor(opset: int, dtype: Any) -> None:
    if opset == 1 and dtype not in (np.float16, np.float32):
        dtype = np.float64  # opset 1 had floating point constants alone
    value = fill((2, 0, 3) if dtype is np.bool_ else (2, 3), dtype)
    result = run_ours("Constant", [], opset=opset, value=numpy_helper.from_array(value))
    assert_same(result, [value])


@pytest.mark.parametrize("opset", [12, 13, 19, 21, 23, 24, 25])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("value_float", 1.5, np.array(1.5, np.float32)),
        ("value_floats", [0.1, 2.0], np.array([0.1, 2.0], np.float32)),
        ("value_int", 2**40, np.array(2**40)),
        ("value_ints", [1, -2], np.array([1, -2])),
        ("value_string", "né", np.array("né", object)),
        ("value_strings", ["a", ""], np.array(["a", ""], object)),
    ],
)
def test_constant_attribute(opset: int, name: str, value: Any, expected: Any) -> None:
    assert_same(run_ours("Constant", [], opset=opset, **{name: value}), [expected])


@pytest.mark.parametrize("opset", [11, 12, 13, 25])
def test_sparse_constant(opset: int) -> None:
    values = numpy_helper.from_array(np.float32([7, 8]), "v")
    linear = helper.make_sparse_tensor(values, numpy_helper.from_array(int64(1, 5), "i"), [2, 3])
    pairs = numpy_helper.from_array(np.array([[0, 1], [1, 2]]), "i")
    expected = np.float32([[0, 7, 0], [0, 0, 8]])
    for sparse in (linear, helper.make_sparse_tensor(values, pairs, [2, 3])):
        result = run_ours("Constant", [], opset=opset, sparse_value=sparse)
        assert_same(result, [expected])


def test_constant_refuses() -> None:
    with pytest.raises(ValueError, match="0 are given"):
        kernels.constant()
    with pytest.raises(ValueError, match="2 are given"):
        kernels.constant(value_int=1, value_float=1.0)


FILLS = [np.float32, np.float64, np.int64, np.int8, np.uint16, np.bool_, np.float16]


@given(shapes(), st.sampled_from([9, 20, 21, 23]), st.sampled_from(FILLS))
def test_constant_of_shape(shape: tuple[int, ...], opset: int, dtype: Any) -> None:
    value = numpy_helper.from_array(np.array([1]).astype(dtype))
    check_node("ConstantOfShape", [int64(*shape)], opset=opset, value=value)
    check_node("ConstantOfShape", [int64(*shape)], opset=opset)


def test_constant_of_shape_by_hand() -> None:
    assert_same([kernels.constant_of_shape(int64(2))], [np.zeros(2, np.float32)])
    value = np.array([3]).astype(ml_dtypes.bfloat16)
    filled = run_ours("ConstantOfShape", [int64(2)], opset=20, value=numpy_helper.from_array(value))
    assert filled[0].dtype == ml_dtypes.bfloat16
    assert filled[0].astype(int).tolist() == [3, 3]
    with pytest.raises(ValueError, match="each 0 or more"):
        kernels.constant_of_shape(int64(2, -1))
    with pytest.raises(ValueError, match="one element, and holds 2"):
        kernels.constant_of_shape(int64(2), value=np.zeros(2))


@given(
    st.integers(0, 4), st.integers(0, 4), st.integers(-3, 3), st.sampled_from([9, 22]), st.data()
)
def test_eye_like(rows: int, columns: int, k: int, opset: int, draw: Any) -> None:
    types = [np.float32, np.float64, np.int32, np.int64, np.uint64]
    data = fill((rows, columns), draw.draw(st.sampled_from(types)))
    dtype = draw.draw(st.none() | st.sampled_from(types))
    attributes = {} if dtype is None else {"dtype": enum_of_dtype(dtype)}
    if opset == 22 or (rows and columns and -rows < k < columns):
        expected = np.eye(rows, columns, k, data.dtype if dtype is None else dtype)
        assert_same(run_ours("EyeLike", [data], opset=opset, k=k, **attributes), [expected])
    if rows and columns and -rows < k < columns:  # elsewhere onnxruntime refuses or crashes
        check_node("EyeLike", [data], opset=opset, k=k, **attributes)


def test_eye_like_by_hand() -> None:
    data = np.zeros((2, 3), np.float32)
    half = kernels.eye_like(data, dtype=TensorProto.BFLOAT16, k=1)
    assert half.dtype == ml_dtypes.bfloat16
    assert half.astype(int).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert kernels.eye_like(data, dtype=TensorProto.BOOL, k=-1).tolist() == [
        [False, False, False],
        [True, False, False],
    ]
    with pytest.raises(ValueError, match="rank 3"):
        kernels.eye_like(np.zeros((1, 2, 3)))


@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-3, -1, 1, 2, 4]), st.data())
def test_range(start: int, limit: int, delta: int, draw: Any) -> None:
    dtype = draw.draw(st.sampled_from([np.int16, np.int32, np.int64, np.float32, np.float64]))
    scale = 8 if np.dtype(dtype).kind == "f" else 1  # eighths are exact
    numbers = [np.array(number / scale).astype(dtype) for number in (start, limit, delta)]
    if draw.draw(st.booleans()):
        check_node("Range", numbers, opset=11)
    assert_same(
        run_ours("Range", numbers, opset=draw.draw(st.sampled_from([11, 27]))),
        [(np.arange(start, limit, delta) / scale).astype(dtype)],
    )


def test_range_by_hand() -> None:
    # float16 has no 2049: each element is rounded once, none is added to another.
    half = [np.array(number, np.float16) for number in (2040, 2060, 1)]
    (result,) = run_ours("Range", half, opset=27)
    assert_same([result], [np.arange(2040, 2060).astype(np.float16)])
    # Computed in float16 itself, the number of elements and each sum are the same here.
    (own,) = run_ours("Range", half, opset=27, stash_type=TensorProto.FLOAT16)
    assert own.dtype == np.float16
    assert len(own) == 20
    many = kernels.range_(np.float32(0), np.float32(1), np.float32(0.1))
    np.testing.assert_allclose(many, np.arange(10) / 10, rtol=1e-6, atol=1e-7)
    assert kernels.range_(np.int64(2**62), np.int64(2**62 + 3), np.int64(2)).tolist() == [
        2**62,
        2**62 + 2,
    ]
    with pytest.raises(ValueError, match="never end"):
        kernels.range_(np.int64(0), np.int64(1), np.int64(0))
    with pytest.raises(ValueError, match="no finite length"):
        kernels.range_(np.float32(0), np.float32(np.inf), np.float32(1))


@given(shapes(min_rank=1, max_rank=3), st.sampled_from([9, 11]), st.data())
def test_one_hot(shape: tuple[int, ...], opset: int, draw: Any) -> None:
    # onnxruntime has these three of the type combinations with float indices, too.
    kinds = [
        (np.int64, np.int64, np.float32),
        (np.int64, np.int64, np.int64),
        (np.float32, np.float32, np.float32),
        (np.int64, np.int64, object),
        (np.int32, np.int32, np.float32),
    ]
    index, depth_type, value = draw.draw(st.sampled_from(kinds))
    depth = draw.draw(st.integers(1, 5))
    low = -depth if opset >= 11 else 0
    count = int(np.prod(shape))
    each = draw.draw(st.lists(st.integers(low, depth - 1), min_size=count, max_size=count))
    indices = np.array(each, index).reshape(shape)
    rank = len(shape) + 1
    axis = draw.draw(st.integers(-rank, rank - 1))
    size = np.array(depth, depth_type).reshape(draw.draw(st.sampled_from([(), (1,)])))
    values = fill((2,), value)
    check_node("OneHot", [indices, size, values], opset=opset, axis=axis)


def test_one_hot_by_hand() -> None:
    values = np.float32([2, 5])
    for depth in (np.array(3), np.array([3])):  # a scalar, or one number in a vector
        hot = run_ours("OneHot", [int64(0, -1, 3, -4), depth, values], opset=11)[0]
        assert hot.tolist() == [[5, 2, 2], [2, 2, 5], [2, 2, 2], [2, 2, 2]]
    # Before opset 11 an index below 0 was out of range.
    old = run_ours("OneHot", [int64(0, -1), np.array(3), values], opset=9)[0]
    assert old.tolist() == [[5, 2, 2], [2, 2, 2]]
    # Floats are cut off toward zero, and so is the depth.
    cut = kernels.one_hot(np.float32([1.9]), np.array(2.7, np.float32), values)
    assert cut.tolist() == [[2, 5]]
    assert kernels.one_hot(int64(0), np.array(2), np.array(["off", "on"], object)).tolist() == [
        ["on", "off"]
    ]
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        kernels.one_hot(int64(0), np.array(2), values, axis=2)
    with pytest.raises(ValueError, match="depth must be one number and values two"):
        kernels.one_hot(int64(0), np.array(2), np.zeros(3))
