"""Sequence operators, against onnxruntime and Python's own lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from oracles import assert_same, check_node, run_onnxruntime, run_ours

import scratch_onnx.interpreter as so

DTYPES = ["float32", "float64", "int32", "int64", "bool", "uint8", "object"]


def arrays(count: int, shape: tuple[int, ...] = (2,), dtype: str = "float32") -> list[Any]:
    values = [np.arange(np.prod(shape)).reshape(shape) + 10 * k for k in range(count)]
    if dtype == "object":
        return [value.astype(str).astype(object) for value in values]
    return [value.astype(dtype) for value in values]


@given(st.integers(1, 4), st.sampled_from(DTYPES))
def test_construct(count: int, dtype: str) -> None:
    tensors = arrays(count, dtype=dtype)
    (sequence,) = run_ours("SequenceConstruct", tensors, opset=11)
    assert_same(sequence, tensors)
    check_node("SequenceConstruct", tensors, opset=11)


def test_construct_mixed() -> None:
    with pytest.raises(so.ScratchOnnxError):
        run_ours("SequenceConstruct", [np.ones(1), np.ones(1, np.float32)], opset=11)


@pytest.mark.parametrize("options", [{}, {"dtype": 7}])
def test_empty(options: dict[str, Any]) -> None:
    assert run_ours("SequenceEmpty", [], opset=11, **options) == [[]]


@given(st.integers(1, 4), st.data(), st.sampled_from([np.int32, np.int64]))
def test_at(count: int, data: Any, dtype: Any) -> None:
    tensors = arrays(count)
    position = data.draw(st.integers(-count, count - 1))
    (found,) = run_ours("SequenceAt", [tensors, np.array(position, dtype)], opset=11)
    assert_same([found], [tensors[position]])
    check_node("SequenceAt", [tensors, np.array(position, dtype)], opset=11)


@given(st.integers(1, 4), st.data())
def test_insert(count: int, data: Any) -> None:
    tensors, (new,) = arrays(count), arrays(1, (2,))
    position = data.draw(st.none() | st.integers(-count, count))
    given_position = None if position is None else np.array(position)
    inputs = [tensors, new - 1, given_position]
    expected = list(tensors)
    expected.insert(count if position is None else position, new - 1)
    assert_same(run_ours("SequenceInsert", inputs, opset=11), [expected])
    check_node("SequenceInsert", inputs, opset=11)


@given(st.integers(1, 4), st.data())
def test_erase(count: int, data: Any) -> None:
    tensors = arrays(count)
    position = data.draw(st.none() | st.integers(-count, count - 1))
    inputs = [tensors, None if position is None else np.array(position)]
    expected = list(tensors)
    del expected[-1 if position is None else position]
    assert_same(run_ours("SequenceErase", inputs, opset=11), [expected])
    if expected:
        check_node("SequenceErase", inputs, opset=11)


@pytest.mark.parametrize("op_type", ["SequenceAt", "SequenceErase"])
@pytest.mark.parametrize("position", [2, -3])
def test_out_of_range(op_type: str, position: int) -> None:
    with pytest.raises(so.RunError, match="a sequence of 2 takes -2 to 1"):
        run_ours(op_type, [arrays(2), np.array(position)], opset=11)


@pytest.mark.parametrize("position", [3, -3])
def test_insert_out_of_range(position: int) -> None:
    with pytest.raises(so.RunError, match="a sequence of 2 takes -2 to 2"):
        run_ours("SequenceInsert", [arrays(2), arrays(1)[0], np.array(position)], opset=11)


@pytest.mark.parametrize("count", [1, 3])
def test_length(count: int) -> None:
    (length,) = run_ours("SequenceLength", [arrays(count)], opset=11)
    assert (length, length.dtype, length.shape) == (count, np.int64, ())


@given(
    st.data(),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.sampled_from([np.int32, np.int64]),
)
def test_split(data: Any, shape: list[int], dtype: Any) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    size = shape[axis]
    split: Any = data.draw(st.none() | st.integers(1, 5) | st.just("list"))
    if split == "list":
        cuts = data.draw(st.lists(st.integers(0, size), max_size=3).map(sorted))
        split = np.diff([0, *cuts, size])
    keepdims = data.draw(st.integers(0, 1))
    inputs = [x, None if split is None else np.array(split, dtype)]
    options = {"axis": axis, "keepdims": keepdims}
    (parts,) = run_ours("SplitToSequence", inputs, opset=11, **options)
    if split is None:
        expected = [x.take(i if not keepdims else [i], axis) for i in range(size)]
    elif np.ndim(split) == 0:
        expected = [x.take(range(i, min(i + split, size)), axis) for i in range(0, size, split)]
    else:
        expected = np.split(x, np.cumsum(split)[:-1], axis)
    assert_same(parts, [np.asarray(part) for part in expected])
    if parts and (split is None or keepdims):
        # With keepdims 0 onnxruntime drops the axis (or fails) though split is given.
        assert_same([parts], run_onnxruntime("SplitToSequence", inputs, opset=11, **options))


@pytest.mark.parametrize("split", [np.array(0), np.array([1, 1]), np.array([4, -1])])
def test_bad_split(split: Any) -> None:
    with pytest.raises(so.RunError, match="split must be"):
        run_ours("SplitToSequence", [np.ones(3, np.float32), split], opset=11)


@given(st.integers(1, 3), st.data(), st.integers(0, 1), st.sampled_from(["float32", "int64"]))
def test_concat(count: int, data: Any, new_axis: int, dtype: str) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
    rank = len(shape) + new_axis
    axis = data.draw(st.integers(-rank, rank - 1))
    check_node(
        "ConcatFromSequence", [arrays(count, shape, dtype)], opset=11, axis=axis, new_axis=new_axis
    )


def test_concat_strings() -> None:
    tensors = [np.array(["a", "b"], object), np.array(["cd", "e"], object)]
    (joined,) = run_ours("ConcatFromSequence", [tensors], opset=11, axis=0)
    assert joined.tolist() == ["a", "b", "cd", "e"]


def test_concat_nothing() -> None:
    empty = helper.make_node("SequenceEmpty", [], ["s"])
    concat = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    graph = helper.make_graph(
        [empty, concat], "g", [], [helper.make_tensor_value_info("y", 1, None)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(so.ScratchOnnxError, match="empty sequence"):
        so.InferenceSession(model).run(None, {})
