from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import check_node

from scratch_onnx.interpreter.ops import detection as kernels


def scalar(value: float, dtype: Any = np.float32) -> Any:
    return np.array([value], dtype)


@given(
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(0, 30),
    st.integers(0, 8),
    st.sampled_from([None, 0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([None, 0.0, 0.4]),
    st.integers(0, 1),
    st.sampled_from([10, 11]),
    st.integers(0, 99),
)
def test_non_max_suppression(
    batch: int,
    classes: int,
    count: int,
    most: int,
    iou: float | None,
    least: float | None,
    center: int,
    opset: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    boxes = random.integers(0, 8, (batch, count, 4)).astype(np.float32)
    boxes[..., 2:] += 0 if not center else 1
    scores = random.permuted(
        np.linspace(0.05, 0.99, batch * classes * count, dtype=np.float32)
    ).reshape(batch, classes, count)
    check_node(
        "NonMaxSuppression",
        [
            boxes,
            scores,
            scalar(most, np.int64),
            None if iou is None else scalar(iou),
            None if least is None else scalar(least),
        ],
        opset=opset,
        center_point_box=center,
    )


def test_non_max_suppression_by_hand() -> None:
    # Two boxes of 10 x 10 that share 5 x 10: the overlap is 50 / 150, a third.
    boxes = np.float32([[[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]]])
    scores = np.float32([[[0.9, 0.8, 0.7]]])
    three = scalar(3, np.int64)

    def chosen(*more: Any, scores: Any = scores) -> list[int]:
        return kernels.non_max_suppression(boxes, scores, three, *more)[:, 2].tolist()

    assert chosen(scalar(0.3)) == [0, 2]
    assert chosen(scalar(0.34)) == [0, 1, 2]
    assert chosen(scalar(0.3), scalar(0.8)) == [0]
    # Boxes "with score less than score_threshold are removed": an equal one stays
    # (onnxruntime removes it too).
    assert chosen(scalar(0.34), scalar(np.float32(0.8))) == [0, 1]
    # Of equal scores the first box goes first.
    assert chosen(scalar(0.3), scores=np.float32([[[0.5, 0.5, 0.5]]])) == [0, 2]
    # Without a number of boxes there are none.
    assert kernels.non_max_suppression(boxes, scores).shape == (0, 3)
    with pytest.raises(ValueError, match="from 0 to 1"):
        chosen(scalar(1.5))
    with pytest.raises(ValueError, match="differ in batch or count"):
        kernels.non_max_suppression(boxes, scores[..., :2])


@given(
    st.integers(0, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(["avg", "max"]),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from(
        [
            ("half_pixel", 16),
            ("output_half_pixel", 16),
            (None, 10),
        ]
    ),
    st.integers(0, 99),
)
def test_roi_align(
    regions: int,
    height: int,
    width: int,
    ratio: int,
    mode: str,
    scale: float,
    coordinates: tuple[str | None, int],
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    x = fill((2, 3, 6, 7), seed=seed)
    low = random.uniform(-3, 8, (regions, 2))
    rois = np.concatenate([low, low + random.uniform(0.1, 9, (regions, 2))], 1).astype(np.float32)
    attributes: dict[str, Any] = (
        {} if coordinates[0] is None else {"coordinate_transformation_mode": coordinates[0]}
    )
    check_node(
        "RoiAlign",
        [x, rois, random.integers(0, 2, regions)],
        opset=coordinates[1],
        rtol=1e-4,
        atol=1e-4,
        mode=mode,
        output_height=height,
        output_width=width,
        sampling_ratio=ratio,
        spatial_scale=scale,
        **attributes,
    )


def test_roi_align_by_hand() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    whole = np.float32([[0, 0, 4, 4]])
    first = np.array([0])
    # The mean of a plane is its middle.
    assert kernels.roi_align(x, whole, first).item() == pytest.approx(7.5)
    quarters = kernels.roi_align(x, whole, first, output_height=2, output_width=2)
    assert quarters.tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    far = kernels.roi_align(x + 1, whole + 100, first)
    assert far.item() == 0
    with pytest.raises(ValueError, match="from 0 to 0"):
        kernels.roi_align(x, whole, np.array([1]))
    with pytest.raises(ValueError, match="mode 'sum'"):
        kernels.roi_align(x, whole, first, mode="sum")
    with pytest.raises(ValueError, match="neither half_pixel"):
        kernels.roi_align(x, whole, first, coordinate_transformation_mode="asymmetric")
