from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, axis_of, fill, shapes
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import selection as kernels

DTYPES = [np.float32, np.int64, np.float64]


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@given(shapes(min_rank=1), st.sampled_from([1, 10, 11, 24]), st.data())
def test_top_k(shape: tuple[int, ...], opset: int, draw: Any) -> None:
    dtypes = DTYPES if opset >= 11 else [np.float32, np.float64]
    x = draw.draw(arrays(shape=shape, dtypes=dtypes))
    axis = axis_of(draw.draw, x.ndim)
    k = draw.draw(st.integers(0, x.shape[axis]))
    if opset == 1 and k == 0:
        return  # the attribute had to be above 0
    options: dict[str, Any] = {"opset": opset, "outputs": 2, "axis": axis}
    if opset == 1:
        assert_same(
            run_ours("TopK", [x], k=k, **options),
            run_ours("TopK", [x, int64(k)], **{**options, "opset": 10}),
        )
        return
    if opset >= 11:
        options["largest"] = draw.draw(st.integers(0, 1))
    if k and x.size:  # onnxruntime leaves the output of none unset
        check_node("TopK", [x, int64(k)], constants=[1], **options)
    values, indices = run_ours("TopK", [x, int64(k)], constants=[1], **options)
    assert (
        values.shape
        == indices.shape
        == (*x.shape[: axis % x.ndim], k, *x.shape[axis % x.ndim + 1 :])
    )


def test_top_k_by_hand() -> None:
    x = np.float32([3, 1, 3, 2, 1])
    values, indices = kernels.top_k(x, int64(3))
    assert (values.tolist(), indices.tolist()) == ([3, 3, 2], [0, 2, 3])
    values, indices = kernels.top_k(x, int64(3), largest=0, sorted=0)
    assert (values.tolist(), indices.tolist()) == ([1, 1, 2], [1, 4, 3])
    # No sign is turned round: the smallest integer has no opposite.
    extreme = np.array([-128, 127, 0], np.int8)
    assert kernels.top_k(extreme, int64(3))[0].tolist() == [127, 0, -128]
    assert kernels.top_k(np.array([1, 255], np.uint8), int64(1))[1].tolist() == [1]
    half = np.array([1, 3, 2]).astype(ml_dtypes.bfloat16)
    assert run_ours("TopK", [half, int64(2)], opset=24, outputs=2)[1].tolist() == [1, 2]
    with pytest.raises(ValueError, match="from 0 to 5"):
        kernels.top_k(x, int64(6))
    with pytest.raises(ValueError, match="one number"):
        kernels.top_k(x, int64(1, 2))


@given(
    arrays(shape=None, dtypes=[np.float32, np.int64, np.int8, object]),
    st.integers(0, 1),
    st.sampled_from([11, 28]),
    st.data(),
)
def test_unique(x: Any, in_order: int, opset: int, draw: Any) -> None:
    if x.dtype.kind != "O":
        x = np.asarray(x % 4, x.dtype)  # enough that are equal
    axis = draw.draw(st.none() | st.integers(-x.ndim, x.ndim - 1)) if x.ndim else None
    options: dict[str, Any] = {} if axis is None else {"axis": axis}
    if x.size:
        check_node("Unique", [x], opset=11, outputs=4, sorted=in_order, **options)
    ours = run_ours("Unique", [x], opset=opset, outputs=4, sorted=in_order, **options)
    distinct, first, inverse, counts = ours
    at = 0 if axis is None else axis
    whole = x.reshape(-1) if axis is None else x
    assert_same([np.take(distinct, inverse, at)], [whole])
    assert_same([np.take(whole, first, at)], [distinct])
    assert counts.sum() == whole.shape[at]


def test_unique_by_hand() -> None:
    x = int64(2, 1, 1, 3, 4, 3)
    assert [part.tolist() for part in kernels.unique(x, sorted=0)] == [
        [2, 1, 3, 4],
        [0, 1, 3, 4],
        [0, 1, 1, 2, 3, 2],
        [1, 2, 2, 1],
    ]
    rows = np.array([["b", "a"], ["a", "c"], ["b", "a"]], object)
    assert [part.tolist() for part in kernels.unique(rows, axis=0)] == [
        [["a", "c"], ["b", "a"]],
        [1, 0],
        [1, 0, 1],
        [1, 2],
    ]
    half = np.array([2, 1, 2]).astype(ml_dtypes.bfloat16)
    (distinct,) = run_ours("Unique", [half], opset=28)
    assert distinct.dtype == ml_dtypes.bfloat16
    assert distinct.astype(int).tolist() == [1, 2]


@given(arrays(dtypes=[np.float32, np.int64, np.bool_, np.uint8]), st.sampled_from([9, 13]))
def test_non_zero(x: Any, opset: int) -> None:
    x = np.where(x > 1, x, np.zeros_like(x))
    if x.ndim:
        check_node("NonZero", [x], opset=opset)


def test_non_zero_of_scalars() -> None:
    # "For a scalar the shape is (0, N)", unlike NumPy's; onnxruntime gives [1, N].
    for value, count in ((3, 1), (0, 0)):
        (result,) = run_ours("NonZero", [np.array(value, np.float32)], opset=13)
        assert result.shape == (0, count)
    assert kernels.non_zero(np.array(["", "a"], object)).tolist() == [[1]]
    assert kernels.non_zero(np.float32([0.0, -0.0, np.nan])).tolist() == [[2]]


@given(arrays(shape=(3, 4, 2), dtypes=[np.float32, np.int64, np.bool_, object]), st.data())
def test_compress(x: Any, draw: Any) -> None:
    opset = draw.draw(st.sampled_from([9, 11]))
    least = -3 if opset == 11 else 0
    axis = draw.draw(st.none() | st.integers(least, 2))
    length = x.size if axis is None else x.shape[axis]
    condition = draw.draw(st.lists(st.booleans(), min_size=1, max_size=length))
    options: dict[str, Any] = {} if axis is None else {"axis": axis}
    inputs = [x, np.array(condition)]
    check_node("Compress", inputs, opset=opset, **options)
    assert_same(
        run_ours("Compress", inputs, opset=28, **options),
        run_ours("Compress", inputs, opset=11, **options),
    )


def test_compress_refuses() -> None:
    with pytest.raises(ValueError, match="at most 2 elements"):
        kernels.compress(np.zeros(2), np.array([True, False, False]))


@given(
    shapes(min_rank=2),
    st.none() | st.integers(-6, 6),
    st.integers(0, 1),
    st.sampled_from([np.float32, np.int64, np.float64, np.bool_]),
)
def test_trilu(shape: tuple[int, ...], k: int | None, upper: int, dtype: Any) -> None:
    x = fill(shape, dtype)
    inputs = [x] if k is None else [x, np.array(k, np.int64)]
    if x.size:
        check_node("Trilu", inputs, opset=14, upper=upper)
    function = np.triu if upper else np.tril
    assert_same(run_ours("Trilu", inputs, opset=14, upper=upper), [function(x, k or 0)])


def test_trilu_of_other_things() -> None:
    letters = np.array([["a", "b"], ["c", "d"]], object)
    assert kernels.trilu(letters).tolist() == [["a", "b"], ["", "d"]]
    with pytest.raises(ValueError, match="rank 1"):
        kernels.trilu(np.zeros(3))
