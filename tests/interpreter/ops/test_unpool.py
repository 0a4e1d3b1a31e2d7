from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import unpool as kernels


@given(st.data())
def test_max_unpool(data: Any) -> None:
    rank = data.draw(st.integers(1, 3))
    opset = data.draw(st.sampled_from([9, 11, 22]))
    dtype = data.draw(st.sampled_from(dtypes("MaxUnpool", opset)))
    kernel = data.draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    more = data.draw(st.lists(st.integers(0, 3), min_size=rank, max_size=rank))
    pads = [data.draw(st.integers(0, (k - 1) // 2)) for k in kernel] * 2
    # Windows that do not overlap, and cover the image.
    image = [k * (1 + m) - 2 * p for k, m, p in zip(kernel, more, pads[:rank], strict=True)]
    if min(image) < 1:
        return
    x = data.draw(arrays((2, 2, *image), (dtype,)))
    options = {"kernel_shape": kernel, "strides": kernel, "pads": pads}
    pooled, indices = run_ours("MaxPool", [x], opset=22, outputs=2, **options)
    check_rounded("MaxUnpool", [pooled, indices], opset=opset, **options)


def test_max_unpool_by_hand() -> None:
    x, i = np.array([[[5, 6]]], ml_dtypes.bfloat16), np.array([[[1, 2]]])
    options = {"opset": 22, "kernel_shape": [2], "strides": [2]}
    (y,) = run_ours("MaxUnpool", [x, i], **options)
    assert y.tolist() == [[[0, 5, 6, 0]]]
    # The standard's case test_maxunpool_export_with_output_shape: zeros are added at the end.
    (y,) = run_ours("MaxUnpool", [x, i, np.array([1, 1, 6])], **options)
    assert y.tolist() == [[[0, 5, 6, 0, 0, 0]]]


@pytest.mark.parametrize(
    ("i", "shape", "message"),
    [
        ([[[0, 4]]], None, r"indices must be in \[0, 4\)"),
        ([[[0, -1]]], None, r"indices must be in \[0, 4\)"),
        ([[[0]]], None, "must have one shape"),
        ([[[0, 1]]], [1, 1, 3], "is smaller than"),
        ([[[0, 1]]], [4], "is smaller than"),
    ],
)
def test_max_unpool_refusals(i: Any, shape: Any, message: str) -> None:
    x = np.array([[[5, 6]]], np.float32)
    wanted = None if shape is None else np.array(shape)
    with pytest.raises(ValueError, match=message):
        kernels.max_unpool(x, np.array(i), wanted, kernel_shape=(2,), strides=(2,))


@given(st.data())
def test_max_roi_pool(data: Any) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    x = data.draw(arrays((2, data.draw(st.integers(1, 3)), height, width)))
    regions = []
    for _ in range(data.draw(st.integers(0, 4))):
        # Corners may lie outside the image and in the wrong order.
        corners = [data.draw(st.integers(-4, 40)) / 4 for _ in range(4)]
        regions.append([data.draw(st.integers(0, 1)), *corners])
    rois = np.array(regions, np.float32).reshape(-1, 5)
    pooled = [data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))]
    scale = data.draw(st.sampled_from([1.0, 0.5, 2.0]))
    check_node("MaxRoiPool", [x, rois], opset=1, pooled_shape=pooled, spatial_scale=scale)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_max_roi_pool_by_hand(dtype: Any) -> None:
    x = np.arange(16).reshape(1, 1, 4, 4).astype(dtype)
    rois = np.array([[0, 0, 0, 3, 3], [0, 1, 1, 2, 1], [0, 9, 9, 9, 9]]).astype(dtype)
    (y,) = run_ours("MaxRoiPool", [x, rois], opset=22, pooled_shape=[2, 2])
    # Quarters; two pixels of one row, which is in both rows of bins; nothing at all.
    expected = [[[5, 7], [13, 15]], [[5, 6], [5, 6]], [[0, 0], [0, 0]]]
    assert_same([y], [np.array(expected).reshape(3, 1, 2, 2).astype(dtype)])


def test_max_roi_pool_of_an_image_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="outside the batch of 1"):
        kernels.max_roi_pool(
            fill((1, 1, 2, 2)), np.array([[1, 0, 0, 1, 1]], np.float32), pooled_shape=(1, 1)
        )
