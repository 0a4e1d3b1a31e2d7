from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops import rearrange as kernels


def int64(*values: int) -> Any:
    return np.array(values, np.int64)


@given(
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 3),
    st.sampled_from([1, 11, 13, 28]),
    st.sampled_from(["DCR", "CRD"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_blocks(b: int, depth: int, size: int, opset: int, mode: str, dtype: Any) -> None:
    x = fill((2, depth * b * b, size, 2), dtype)
    modes = {"mode": mode} if opset >= 11 else {}
    options: dict[str, Any] = {"opset": opset, "blocksize": b, **modes}
    if opset != 28 and size:
        check_node("DepthToSpace", [x], **{**options, "opset": max(opset, 7)})
    (image,) = run_ours("DepthToSpace", [x], **options)
    assert image.shape == (2, depth, size * b, 2 * b)
    if opset != 28:
        modes = {}
    else:
        assert_same([image], run_ours("DepthToSpace", [x], opset=13, blocksize=b, mode=mode))
    back = run_ours("SpaceToDepth", [image], opset=opset, blocksize=b, **modes)
    if opset == 28 or mode == "DCR" or opset < 11:
        assert_same(back, [x])
    if opset != 28 and size:
        check_node("SpaceToDepth", [image], opset=max(opset, 7), blocksize=b)


def test_blocks_by_hand() -> None:
    x = np.arange(8).reshape(1, 8, 1, 1)
    assert kernels.depth_to_space(x, blocksize=2)[0].tolist() == [
        [[0, 2], [4, 6]],
        [[1, 3], [5, 7]],
    ]
    assert kernels.depth_to_space(x, blocksize=2, mode="CRD")[0].tolist() == [
        [[0, 1], [2, 3]],
        [[4, 5], [6, 7]],
    ]
    with pytest.raises(ValueError, match="8 channels cannot be put into blocks of 3"):
        kernels.depth_to_space(x, blocksize=3)
    with pytest.raises(ValueError, match="1 x 1 cannot be cut"):
        kernels.space_to_depth(x, blocksize=2)
    with pytest.raises(ValueError, match="neither DCR nor CRD"):
        kernels.depth_to_space(x, blocksize=2, mode="RCD")
    with pytest.raises(ValueError, match=r"must be \[N, C, H, W\]"):
        kernels.depth_to_space(x[0], blocksize=2)


@given(
    arrays(shape=(4, 3, 2), dtypes=[np.float32, np.int64, np.bool_, object]),
    st.booleans(),
    st.data(),
)
def test_reverse_sequence(x: Any, batch_first: bool, draw: Any) -> None:
    batch, steps = (4, 3) if batch_first else (3, 4)
    lengths = draw.draw(st.lists(st.integers(0, steps), min_size=batch, max_size=batch))
    axes = {"batch_axis": 0, "time_axis": 1} if batch_first else {"batch_axis": 1, "time_axis": 0}
    inputs = [x, int64(*lengths)]
    check_node("ReverseSequence", inputs, opset=10, **axes)
    assert_same(
        run_ours("ReverseSequence", inputs, opset=28, **axes),
        run_ours("ReverseSequence", inputs, opset=10, **axes),
    )


def test_reverse_sequence_by_hand() -> None:
    x = np.array([[1, 2, 3], [4, 5, 6]])
    rows = kernels.reverse_sequence(x, int64(2, 3), batch_axis=0, time_axis=1)
    assert rows.tolist() == [[2, 1, 3], [6, 5, 4]]
    with pytest.raises(ValueError, match="lengths from 0 to 2"):
        kernels.reverse_sequence(x, int64(3, 0, 0))
    with pytest.raises(ValueError, match="must be 0 and 1"):
        kernels.reverse_sequence(x, int64(1), batch_axis=0, time_axis=0)


def test_tensor_scatter_by_hand() -> None:
    cache = np.zeros((2, 1, 4, 1), np.float32)
    update = np.float32([[[[1], [2]]], [[[3], [4]]]])

    def written(*starts: int, **options: Any) -> list[Any]:
        return (
            run_ours("TensorScatter", [cache, update, int64(*starts)], opset=24, **options)[0]
            .reshape(2, 4)
            .tolist()
        )

    assert written(0, 2) == [[1, 2, 0, 0], [0, 0, 3, 4]]
    assert written(3, 1, mode="circular") == [[2, 0, 0, 1], [0, 3, 4, 0]]
    assert kernels.tensor_scatter(cache, update).reshape(2, 4).tolist() == [
        [1, 2, 0, 0],
        [3, 4, 0, 0],
    ]
    assert not cache.any()
    with pytest.raises(ValueError, match="leave the cache's 4 places"):
        kernels.tensor_scatter(cache, update, int64(3, 0))
    with pytest.raises(ValueError, match="leave the cache's 4 places"):
        kernels.tensor_scatter(cache, update, int64(-1, 0))
    with pytest.raises(ValueError, match="no longer along axis 1"):
        kernels.tensor_scatter(cache, update, axis=1)
    with pytest.raises(ValueError, match="cannot be 0"):
        kernels.tensor_scatter(cache, update, axis=0)


@given(st.integers(1, 3), st.sampled_from(["linear", "circular"]), st.data())
def test_tensor_scatter_is_its_pseudocode(axis: int, mode: str, draw: Any) -> None:
    cache = fill((2, 3, 4, 5), seed=1)
    length = cache.shape[axis]
    steps = draw.draw(st.integers(0, length))
    shape = [*cache.shape[:axis], steps, *cache.shape[axis + 1 :]]
    update = fill(tuple(shape), seed=2)
    most = length - steps if mode == "linear" else 9
    starts = draw.draw(st.lists(st.integers(0, most), min_size=2, max_size=2))
    expected = cache.copy()
    for index in np.ndindex(*update.shape):
        place = starts[index[0]] + index[axis]
        place = place % length if mode == "circular" else place
        expected[(*index[:axis], place, *index[axis + 1 :])] = update[index]
    inputs = [cache, update, int64(*starts)]
    result = run_ours("TensorScatter", inputs, opset=24, axis=axis - 4, mode=mode)
    assert_same(result, [expected])


@given(st.integers(0, 7), st.integers(0, 7), st.data())
def test_center_crop_pad(height: int, width: int, draw: Any) -> None:
    x = draw.draw(arrays(shape=(2, 4, 5), dtypes=[np.float32, np.int64]))
    if draw.draw(st.booleans()):
        inputs, options = [x, int64(height, width)], {"axes": [1, -1]}
    else:
        inputs, options = [x, int64(2, height, width)], {}
    if height and width:  # by the standard's own body, which onnxruntime runs
        check_node("CenterCropPad", inputs, opset=18, constants=[1], **options)
    (result,) = run_ours("CenterCropPad", inputs, opset=18, constants=[1], **options)
    assert result.shape == (2, height, width)


def test_center_crop_pad_by_hand() -> None:
    x = int64(1, 2, 3, 4)
    assert kernels.center_crop_pad(x, int64(2)).tolist() == [2, 3]
    # "If odd, the cropping window is half a pixel to the left."
    assert kernels.center_crop_pad(x, int64(1)).tolist() == [2]
    assert kernels.center_crop_pad(x, int64(3)).tolist() == [1, 2, 3]
    # "If odd, an additional pixel is added to the right side."
    assert kernels.center_crop_pad(x, int64(7)).tolist() == [0, 1, 2, 3, 4, 0, 0]
    with pytest.raises(ValueError, match="a size for each of 1 axes"):
        kernels.center_crop_pad(x, int64(1, 1))
