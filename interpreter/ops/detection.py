"""What detectors need: boxes that overlap are thinned out, regions are pooled to one size."""

from __future__ import annotations

import math

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32


@op("NonMaxSuppression", since=(10, 11))
def non_max_suppression(
    boxes: Array,
    scores: Array,
    max_output_boxes_per_class: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int = 0,
) -> Array:
    """The best boxes of each class, int64 [selected, 3] of (batch, class, box).

    From ``boxes`` ([batch, count, 4]) by falling ``scores`` ([batch, classes,
    count]): each whose overlap (intersection over union) with no better one is
    above ``iou_threshold``, and whose score is not below ``score_threshold``.
    """
    batch, count = boxes.shape[:2]
    if boxes.ndim != 3 or boxes.shape[2] != 4 or scores.ndim != 3:
        raise ValueError(
            f"boxes must be [batch, count, 4] and scores [batch, classes, count]; they are "
            f"{list(boxes.shape)} and {list(scores.shape)}"
        )
    if scores.shape[0] != batch or scores.shape[2] != count:
        raise ValueError(
            f"boxes {list(boxes.shape)} and scores {list(scores.shape)} differ in batch or count"
        )
    for name, limit in (
        ("max_output_boxes_per_class", max_output_boxes_per_class),
        ("iou_threshold", iou_threshold),
        ("score_threshold", score_threshold),
    ):
        if limit is not None and limit.size != 1:
            raise ValueError(f"{name} must be one number, and has the shape {list(limit.shape)}")
    most = 0 if max_output_boxes_per_class is None else int(max_output_boxes_per_class.item())
    overlap = np.float32(0 if iou_threshold is None else iou_threshold.item())
    if not 0 <= overlap <= 1:
        raise ValueError(f"iou_threshold must be from 0 to 1, and is {overlap}")
    corners = _corners(boxes, bool(center_point_box))
    selected = []
    for item in range(batch):
        for label in range(scores.shape[1]):
            score = scores[item, label]
            order = np.argsort(-score, kind="stable")  # of equal scores, the first box first
            if score_threshold is not None:
                order = order[score[order] >= score_threshold.item()]
            selected += [
                (item, label, box) for box in _suppress(corners[item], order, most, overlap)
            ]
    return np.array(selected, np.int64).reshape(-1, 3)


def _corners(boxes: Array, centred: bool) -> Array:
    """(low, low, high, high) of each box, from two corners or from centre and size."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if centred:
        half = second / 2
        first, second = first - half, first + half
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], -1)


def _suppress(boxes: Array, order: Array, most: int, overlap: np.float32) -> list[int]:
    """The boxes of one class that stay, best first."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.size and len(kept) < most:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = (high - low).clip(0).prod(1)
        union = areas[best] + areas[rest] - common
        # Boxes without an area overlap nothing.
        same = (common > 0) & (common / np.where(union > 0, union, 1) > overlap)
        order = rest[~same]
    return kept


@op("RoiAlign", since=(16, 22))
@in_float32
def roi_align(
    X: Array,
    rois: Array,
    batch_indices: Array,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """Regions ``rois`` ([R, 4] of x1, y1, x2, y2) of the images ``X`` ([N, C, H, W]) at the
    ``batch_indices`` ([R]), pooled to [R, C, output_height, output_width].

    Each bin is the average (or maximum) of ``sampling_ratio``² samples between
    the pixels; 0 takes as many as the bin has pixels. A sample more than a
    pixel outside the image is 0. (Mask R-CNN, https://arxiv.org/abs/1703.06870)
    """
    return _roi_align(
        X,
        rois,
        batch_indices,
        half_pixel=_half_pixel(coordinate_transformation_mode),
        mode=mode,
        size=(output_height, output_width),
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


@op("RoiAlign", since=10)
@in_float32
def roi_align_10(
    X: Array,
    rois: Array,
    batch_indices: Array,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """RoiAlign when coordinates were not moved by half a pixel."""
    return _roi_align(
        X,
        rois,
        batch_indices,
        half_pixel=False,
        mode=mode,
        size=(output_height, output_width),
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


def _half_pixel(mode: str) -> bool:
    if mode not in ("half_pixel", "output_half_pixel"):
        raise ValueError(
            f"coordinate_transformation_mode '{mode}' is neither half_pixel nor output_half_pixel"
        )
    return mode == "half_pixel"


def _roi_align(
    x: Array,
    rois: Array,
    batch_indices: Array,
    *,
    half_pixel: bool,
    mode: str,
    size: tuple[int, int],
    sampling_ratio: int,
    spatial_scale: float,
) -> Array:
    count = len(rois)
    if x.ndim != 4 or rois.shape != (count, 4) or batch_indices.shape != (count,):
        raise ValueError(
            f"X must be [N, C, H, W], rois [R, 4] and batch_indices [R]; they are "
            f"{list(x.shape)}, {list(rois.shape)} and {list(batch_indices.shape)}"
        )
    if mode not in ("avg", "max"):
        raise ValueError(f"mode '{mode}' is neither avg nor max")
    if count and not 0 <= batch_indices.min() <= batch_indices.max() < len(x):
        raise ValueError(f"batch_indices must be from 0 to {len(x) - 1}")
    if count and 0 in x.shape[2:]:
        raise ValueError(f"there is nothing to sample in images of {list(x.shape[2:])} pixels")
    result = np.zeros((count, x.shape[1], *size), x.dtype)
    shift = rois.dtype.type(0.5 if half_pixel else 0)
    edges = rois * rois.dtype.type(spatial_scale) - shift
    for region, (edge, image) in enumerate(zip(edges, batch_indices, strict=True)):
        along = [
            _samples(edge[start], edge[start + 2], bins, length, sampling_ratio, half_pixel)
            for start, bins, length in zip((1, 0), size, x.shape[2:], strict=True)
        ]
        pool = _average if mode == "avg" else _maximum
        result[region] = pool(x[image], *along)
    return result


# Of each sample along one axis ([bins, samples]): the two pixels beside it and their weights.
_Samples = tuple[Array, Array, Array, Array]


def _samples(
    start: float, end: float, bins: int, length: int, ratio: int, half_pixel: bool
) -> _Samples:
    """Where the samples of a region lie along an axis of ``length`` pixels."""
    extent = end - start
    if not half_pixel:
        extent = max(extent, type(extent)(1))  # a region is one pixel at least
    bin_size = extent / type(extent)(bins)
    count = ratio if ratio > 0 else max(math.ceil(extent / bins), 0)
    steps = (np.arange(count, dtype=type(extent)) + type(extent)(0.5)) / type(extent)(max(count, 1))
    place = start + (np.arange(bins, dtype=type(extent))[:, np.newaxis] + steps) * bin_size
    inside = (place >= -1) & (place <= length)
    place = place.clip(0, max(length - 1, 0))
    low = np.floor(place)
    high = np.minimum(low + 1, max(length - 1, 0))
    upper = np.where(inside, place - low, 0)
    lower = np.where(inside, 1 - (place - low), 0)
    return low.astype(np.int64), high.astype(np.int64), lower, upper


def _average(image: Array, rows: _Samples, columns: _Samples) -> Array:
    """The mean of each bin: interpolation is linear, so two small matrices do it all."""
    return _weights(rows, image.shape[1]) @ image @ _weights(columns, image.shape[2]).T


def _weights(samples: _Samples, length: int) -> Array:
    """[bins, length]: how much of each pixel is in a bin's mean along one axis."""
    low, high, lower, upper = samples
    bins, count = low.shape
    weights = np.zeros((bins, length), lower.dtype)
    row = np.arange(bins)[:, np.newaxis]
    np.add.at(weights, (row, low), lower)
    np.add.at(weights, (row, high), upper)
    return weights / max(count, 1)


def _maximum(image: Array, rows: _Samples, columns: _Samples) -> Array:
    """The largest term of each bin."""
    corners = []
    for at_y, by_y in ((rows[0], rows[2]), (rows[1], rows[3])):
        for at_x, by_x in ((columns[0], columns[2]), (columns[1], columns[3])):
            pixels = image[:, at_y[:, :, np.newaxis, np.newaxis], at_x]
            corners.append(pixels * (by_y[:, :, np.newaxis, np.newaxis] * by_x))
    if corners[0].size == 0:
        return np.zeros((len(image), len(rows[0]), len(columns[0])), image.dtype)
    # As in the standard's case (and onnxruntime), the maximum is over the weighted pixels.
    return np.maximum.reduce(corners).max((2, 4))
