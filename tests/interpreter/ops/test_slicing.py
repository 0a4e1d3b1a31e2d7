from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, axis_of, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import slicing as kernels

DTYPES = [np.float32, np.int64, np.bool_, np.float64, object, np.uint8]
INDEX = st.sampled_from([np.int64, np.int32])
BOUND = st.integers(-7, 7) | st.sampled_from([-(2**31), 2**31 - 1])
INT64_MIN = -(2**63)


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@given(arrays(shape=(4, 0, 3, 1), dtypes=DTYPES) | arrays(shape=(5, 4), dtypes=DTYPES), st.data())
def test_slice(data: Any, draw: Any) -> None:
    opset = draw.draw(st.sampled_from([10, 11, 13]))
    dtype = draw.draw(INDEX)
    axes = draw.draw(st.lists(st.integers(0, data.ndim - 1), min_size=1, unique=True))
    count = len(axes)
    bounds = st.lists(BOUND, min_size=count, max_size=count)
    starts, ends = draw.draw(bounds), draw.draw(bounds)
    step = st.sampled_from([1, 2, -1, -3, 5])
    steps = draw.draw(st.none() | st.lists(step, min_size=count, max_size=count))
    if steps is not None:
        # onnxruntime takes INT_MAX for "through the whole dimension" backward too; the
        # specification clamps it (see below).
        ends = [min(end, 7) if step < 0 else end for end, step in zip(ends, steps, strict=True)]
    axes = [axis - data.ndim if draw.draw(st.booleans()) else axis for axis in axes]
    inputs = [data, np.array(starts, dtype), np.array(ends, dtype), np.array(axes, dtype)]
    if steps is not None:
        inputs.append(np.array(steps, dtype))
    check_node("Slice", inputs, opset=opset, constants=range(1, len(inputs)))


@given(arrays(shape=(5, 4), dtypes=DTYPES), st.data())
def test_slice_1(data: Any, draw: Any) -> None:
    bounds = st.lists(BOUND, min_size=2, max_size=2)
    attributes: dict[str, Any] = {"starts": draw.draw(bounds), "ends": draw.draw(bounds)}
    if draw.draw(st.booleans()):
        attributes["axes"] = [1, 0]
    check_node("Slice", [data], opset=draw.draw(st.sampled_from([7, 8, 9])), **attributes)
    assert_same(
        run_ours("Slice", [data], opset=1, **attributes),
        run_ours("Slice", [data], opset=9, **attributes),
    )


def sliced(data: Any, *parts: int) -> list[int]:
    start, end, step = (int64(part) for part in parts)
    return list(kernels.slice_(data, start, end, int64(0), step))


def test_slice_by_hand() -> None:
    data = np.arange(5)
    assert sliced(data, -1, INT64_MIN, -1) == [4, 3, 2, 1, 0]
    assert sliced(data, 3, 0, -2) == [3, 1]
    assert sliced(data, 1, 2**63 - 1, 2) == [1, 3]
    # The start is clamped to 0 even where it goes backward, other than in Python.
    assert sliced(data, -100, INT64_MIN, -1) == [0]
    assert sliced(data, 2, 2, -1) == []
    assert sliced(data, 2, 2**31 - 1, -1) == []
    assert sliced(data[:0], -1, INT64_MIN, -1) == []
    with pytest.raises(ValueError, match="step of 0"):
        sliced(data, 0, 1, 0)
    with pytest.raises(ValueError, match="equally many"):
        kernels.slice_(data, int64(0), int64(1, 2), int64(0))
    with pytest.raises(ValueError, match="twice"):
        kernels.slice_(np.eye(2), int64(0, 0), int64(1, 2), int64(0, -2))
    with pytest.raises(ValueError, match="axes 1 is out of range"):
        kernels.slice_(data, int64(0), int64(1), int64(1))


def indices_for(draw: Any, size: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Indices from either end into a dimension; none where it is empty."""
    if size == 0:
        shape = (*shape, 0)
    count = int(np.prod(shape))
    each = st.integers(-size, size - 1) if size else st.just(0)
    values = draw(st.lists(each, min_size=count, max_size=count))
    return np.array(values, dtype).reshape(shape)


@given(shapes(min_rank=1), shapes(max_rank=2), st.sampled_from([1, 11, 13]), st.data())
def test_gather(shape: tuple[int, ...], wanted: tuple[int, ...], opset: int, draw: Any) -> None:
    data = draw.draw(arrays(shape=shape, dtypes=DTYPES))
    axis = axis_of(draw.draw, data.ndim)
    indices = indices_for(draw.draw, shape[axis], wanted, draw.draw(INDEX))
    if data.dtype.kind != "O":  # onnxruntime loses strings behind a scalar index
        check_node("Gather", [data, indices], opset=max(opset, 7), axis=axis)
    result = run_ours("Gather", [data, indices], opset=opset, axis=axis)
    expected = np.moveaxis(data, axis, 0)[indices].astype(data.dtype)  # index dimensions first
    back = range(indices.ndim), range(axis % data.ndim, axis % data.ndim + indices.ndim)
    assert_same(result, [np.moveaxis(np.asarray(expected, data.dtype), *back)])


def test_gather_by_hand() -> None:
    data = np.float32([[1, 2], [3, 4], [5, 6]])
    assert kernels.gather(data, int64(-1, 0)).tolist() == [[5, 6], [1, 2]]
    assert kernels.gather(data, np.array(1), axis=1).tolist() == [2, 4, 6]
    for index in (3, -4):
        with pytest.raises(
            ValueError, match=rf"index {index} is out of range for axis 0 of size 3"
        ):
            kernels.gather(data, int64(0, index))


@st.composite
def elements(draw: Any) -> tuple[Any, Any, int]:
    """Data, indices that are smaller than it along other axes, and the axis."""
    data = draw(arrays(shape=draw(shapes(min_rank=1, dims=st.integers(1, 4))), dtypes=DTYPES))
    axis = axis_of(draw, data.ndim)
    shape = [draw(st.integers(0, size)) for size in data.shape]
    shape[axis] = draw(st.integers(0, 5))
    indices = indices_for(draw, data.shape[axis], tuple(shape), draw(INDEX))
    return data, indices, axis


@given(elements(), st.sampled_from([11, 13]))
def test_gather_elements(case: tuple[Any, Any, int], opset: int) -> None:
    data, indices, axis = case
    check_node("GatherElements", [data, indices], opset=opset, axis=axis)


def test_gather_elements_smaller_than_data() -> None:
    data = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert kernels.gather_elements(data, np.array([[2, -3]])).tolist() == [[7, 2]]
    with pytest.raises(ValueError, match="no larger except along axis 0"):
        kernels.gather_elements(data, np.zeros((1, 4), int))
    with pytest.raises(ValueError, match="index 3 is out of range"):
        kernels.gather_elements(data, np.array([[3]]))


@st.composite
def tuples(draw: Any, batched: bool) -> tuple[Any, Any, int]:
    """Data, indices of tuples into it, and how many dimensions the two share."""
    data = draw(arrays(shape=draw(shapes(min_rank=1, dims=st.integers(1, 4))), dtypes=DTYPES))
    batch = draw(st.integers(0, data.ndim - 1)) if batched else 0
    depth = draw(st.integers(1, data.ndim - batch))
    extra = draw(st.lists(st.integers(0, 3), max_size=2))
    shape = data.shape[:batch] + tuple(extra)
    parts = [
        indices_for(draw, data.shape[batch + place], shape, np.int64) for place in range(depth)
    ]
    return data, np.stack(parts, -1), batch


@given(tuples(batched=True), st.sampled_from([12, 13]))
def test_gather_nd(case: tuple[Any, Any, int], opset: int) -> None:
    data, indices, batch_dims = case
    check_node("GatherND", [data, indices], opset=opset, batch_dims=batch_dims)


@given(tuples(batched=False))
def test_gather_nd_11(case: tuple[Any, Any, int]) -> None:
    data, indices, _ = case
    check_node("GatherND", [data, indices], opset=11)


def test_gather_nd_refuses() -> None:
    data = np.zeros((2, 3))
    with pytest.raises(ValueError, match="index -3 is out of range for axis 0 of size 2"):
        kernels.gather_nd(data, np.array([[-3, 0]]))
    with pytest.raises(ValueError, match="from 1 to 2"):
        kernels.gather_nd(data, np.zeros((1, 3), int))
    with pytest.raises(ValueError, match="from 1 to 2"):
        kernels.gather_nd(data, np.zeros((1, 0), int))
    with pytest.raises(ValueError, match="differ"):
        kernels.gather_nd(data, np.zeros((3, 1), int), batch_dims=1)
    with pytest.raises(ValueError, match="batch_dims 2"):
        kernels.gather_nd(data, np.zeros((2, 3, 1), int), batch_dims=2)


def unique_along(draw: Any, data: Any) -> tuple[Any, int]:
    """Indices that name no element twice, so that the order of writing does not matter."""
    axis = axis_of(draw, data.ndim)
    size = data.shape[axis]
    shape = [draw(st.integers(0, dim)) for dim in data.shape]
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    every = np.moveaxis(
        random.permuted(
            np.broadcast_to(np.arange(size), (*np.delete(data.shape, axis), size)), axis=-1
        ),
        -1,
        axis,
    )
    indices = every[tuple(map(slice, shape))]
    return np.where(random.integers(0, 2, indices.shape), indices, indices - size), axis


@given(shapes(min_rank=1, dims=st.integers(1, 4)), st.sampled_from([11, 13, 16, 18]), st.data())
def test_scatter_elements(shape: tuple[int, ...], opset: int, draw: Any) -> None:
    data = draw.draw(arrays(shape=shape, dtypes=DTYPES))
    indices, axis = unique_along(draw.draw, data)
    indices = indices.astype(draw.draw(INDEX))
    updates = fill(indices.shape, data.dtype, seed=7)
    check_node("ScatterElements", [data, indices, updates], opset=opset, axis=axis)
    expected = run_ours("ScatterElements", [data, indices, updates], opset=opset, axis=axis)
    assert_same(run_ours("Scatter", [data, indices, updates], opset=9, axis=axis), expected)


REDUCTIONS = st.sampled_from(
    [("add", 16), ("mul", 16), ("add", 18), ("mul", 18), ("max", 18), ("min", 18)]
)


@given(elements(), REDUCTIONS, st.sampled_from([np.float32, np.int32, np.float64]))
def test_scatter_elements_reduces(
    case: tuple[Any, Any, int], reduction: tuple[str, int], dtype: Any
) -> None:
    data, indices, axis = case
    data = fill(data.shape, dtype)
    updates = fill(indices.shape, dtype, seed=7)
    check_node(
        "ScatterElements",
        [data, indices, updates],
        opset=reduction[1],
        axis=axis,
        reduction=reduction[0],
    )


@given(tuples(batched=False), REDUCTIONS, st.sampled_from([np.float32, np.int64, np.float64]))
def test_scatter_nd_reduces(
    case: tuple[Any, Any, int], reduction: tuple[str, int], dtype: Any
) -> None:
    data, indices, _ = case
    data = fill(data.shape, dtype)
    updates = fill(indices.shape[:-1] + data.shape[indices.shape[-1] :], dtype, seed=7)
    check_node("ScatterND", [data, indices, updates], opset=reduction[1], reduction=reduction[0])


@given(arrays(shape=(5, 2, 3), dtypes=DTYPES), st.sampled_from([11, 13, 16, 18]), st.data())
def test_scatter_nd(data: Any, opset: int, draw: Any) -> None:
    rows = draw.draw(st.lists(st.integers(0, 4), unique=True, max_size=5))
    rows = [row - 5 if draw.draw(st.booleans()) else row for row in rows]
    updates = fill((len(rows), 2, 3), data.dtype, seed=7)
    indices = np.array(rows, np.int64).reshape(-1, 1)
    check_node("ScatterND", [data, indices, updates], opset=opset)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, ml_dtypes.int4, np.complex64])
def test_scatter_other_dtypes(dtype: Any) -> None:
    data, updates = np.array([1, 2, 3]).astype(dtype), np.array([1, 2]).astype(dtype)
    added = kernels.scatter_nd(data, np.array([[0], [0]]), updates, reduction="add")
    assert added.dtype == dtype
    assert added.astype(np.complex64).tolist() == [4, 2, 3]
    assert data.astype(np.complex64).tolist() == [1, 2, 3]


def test_scatter_refuses() -> None:
    data = np.zeros((2, 3))
    with pytest.raises(ValueError, match="must be of one shape"):
        kernels.scatter_elements(data, np.zeros((1, 2), int), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="index 2 is out of range"):
        kernels.scatter_elements(data, np.array([[2]]), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="index -3 is out of range"):
        kernels.scatter_nd(data, np.array([[-3]]), np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"must have the shape \[1, 3\]"):
        kernels.scatter_nd(data, np.array([[1]]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="'mean' is none of"):
        kernels.scatter_nd(data, np.array([[1]]), np.zeros((1, 3)), reduction="mean")
