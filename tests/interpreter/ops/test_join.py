from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import DIMS, arrays, axis_of, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import join as kernels
from scratch_onnx.interpreter.registry import Context

DTYPES = [np.float32, np.int64, np.bool_, np.float64, object, np.uint8]


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@given(shapes(min_rank=1), st.sampled_from([4, 11, 13]), st.sampled_from(DTYPES), st.data())
def test_concat(shape: tuple[int, ...], opset: int, dtype: Any, draw: Any) -> None:
    rank = len(shape)
    axis = axis_of(draw.draw, rank) if opset >= 11 else draw.draw(st.integers(0, rank - 1))
    xs = []
    for size in draw.draw(st.lists(DIMS, min_size=1, max_size=4)):
        mine = list(shape)
        mine[axis] = size
        xs.append(draw.draw(arrays(shape=tuple(mine), dtypes=[dtype])))
    check_node("Concat", xs, opset=max(opset, 7), axis=axis)


def test_concat_by_hand() -> None:
    a, b = np.float32([[1, 2]]), np.float32([[3, 4]])
    # Opset 1 joined columns unless it was told otherwise.
    assert run_ours("Concat", [a, b], opset=1)[0].tolist() == [[1, 2, 3, 4]]
    assert run_ours("Concat", [a, b], opset=4, axis=0)[0].tolist() == [[1, 2], [3, 4]]
    small = np.array([1, 2]).astype(ml_dtypes.bfloat16)
    assert run_ours("Concat", [small, small], opset=13, axis=0)[0].dtype == ml_dtypes.bfloat16
    with pytest.raises(ValueError, match="differ in more than axis 0"):
        kernels.concat(a, np.zeros((1, 3)), axis=0)
    with pytest.raises(ValueError, match="axis 2 is out of range"):
        kernels.concat(a, b, axis=2)


@given(arrays(shape=(2, 6, 3), dtypes=DTYPES), st.sampled_from([2, 11, 13, 18]), st.data())
def test_split_by_lengths(data: Any, opset: int, draw: Any) -> None:
    lengths = draw.draw(st.sampled_from([(6,), (1, 5), (0, 6), (2, 2, 2), (3, 0, 2, 1), (6, 0, 0)]))
    options: dict[str, Any] = {"opset": max(opset, 7), "outputs": len(lengths)}
    if opset < 13:
        check_node("Split", [data], axis=1, split=lengths, **options)
    else:
        check_node("Split", [data, int64(*lengths)], axis=-2, constants=[1], **options)


@given(st.integers(1, 4), st.integers(0, 4), st.sampled_from([2, 11, 13]))
def test_split_evenly(count: int, size: int, opset: int) -> None:
    data = fill((count * size, 2))
    if count * size:
        check_node("Split", [data], opset=max(opset, 7), outputs=count)
    parts = run_ours("Split", [data], opset=opset, outputs=count)
    assert_same(parts, [data[i * size : (i + 1) * size] for i in range(count)])


@given(st.sampled_from([(5, 2), (6, 4), (7, 4), (3, 3), (4, 1), (9, 2)]), st.booleans())
def test_split_unevenly(case: tuple[int, int], transposed: bool) -> None:
    size, count = case
    if size == 6:  # 2, 2, 2 and 0
        parts = run_ours("Split", [fill((6,))], opset=18, outputs=4, num_outputs=4)
        assert [len(part) for part in parts] == [2, 2, 2, 0]
        return
    data = fill((2, size)).T if transposed else fill((size, 2))
    check_node("Split", [data], opset=18, outputs=count, axis=0, num_outputs=count)


def test_split_1() -> None:
    data = np.float32([[1, 2, 3], [4, 5, 6]])
    by_input = run_ours("Split", [data, np.float32([1, 2])], opset=1, outputs=2, axis=1)
    by_attribute = run_ours("Split", [data], opset=1, outputs=2, axis=1, split=[1, 2])
    expected = [np.float32([[1], [4]]), np.float32([[2, 3], [5, 6]])]
    assert_same(by_input, expected)
    assert_same(by_attribute, expected)
    assert_same(run_ours("Split", [data], opset=1, outputs=2), [data[:1], data[1:]])


def test_split_refuses() -> None:
    data = np.zeros((5, 2))
    three = Context(3)
    with pytest.raises(ValueError, match="sum to 5"):
        kernels.split(data, int64(2, 2))
    with pytest.raises(ValueError, match="sum to 5"):
        kernels.split(data, int64(6, -1))
    with pytest.raises(ValueError, match="3 equal parts"):
        kernels.split_13(data, context=three)
    with pytest.raises(ValueError, match="only the last is smaller"):
        kernels.split(data, num_outputs=4)
    with pytest.raises(ValueError, match="both"):
        kernels.split(data, int64(5), num_outputs=1)


@given(arrays(dtypes=DTYPES), st.sampled_from([6, 13]), st.data())
def test_tile(data: Any, opset: int, draw: Any) -> None:
    repeats = draw.draw(st.lists(st.integers(0, 3), min_size=data.ndim, max_size=data.ndim))
    expected = data
    for axis, count in enumerate(repeats):  # the definition, an axis at a time
        size = expected.shape[axis]
        expected = np.take(expected, np.arange(count * size) % max(size, 1), axis)
    assert_same(run_ours("Tile", [data, int64(*repeats)], opset=opset, constants=[1]), [expected])
    if data.dtype != object or data.size:
        check_node("Tile", [data, int64(*repeats)], opset=max(opset, 7), constants=[1])


def test_tile_by_hand() -> None:
    data = np.float32([[1, 2]])
    tiled = run_ours("Tile", [data, np.float32([2]), np.float32([1])], opset=1)
    assert tiled[0].tolist() == [[1, 2, 1, 2]]
    with pytest.raises(ValueError, match="one number, 0 or more, for each of the 2 axes"):
        kernels.tile(data, int64(2))
    with pytest.raises(ValueError, match="0 or more"):
        kernels.tile(data, int64(2, -1))
