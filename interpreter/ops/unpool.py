"""MaxUnpool and MaxRoiPool: the inverse of MaxPool, and MaxPool over regions of interest."""

from __future__ import annotations

from math import prod

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32, single
from ._windows import per_axis

Ints = tuple[int, ...]


@op("MaxUnpool", since=(9, 11, 22))
def max_unpool(
    x: Array,
    i: Array,
    output_shape: Array | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Zeros, with each element of x where its index in ``i`` says.

    The indices count in a flattened [N, C, s1, ..., sn] with
    ``s = (d - 1) * stride + kernel - pads``. A larger ``output_shape`` [N, C, o1, ..., on]
    adds zeros at the ends, as the standard's case for it has it.

    Shapes: x and i [N, C, d1, ..., dn].
    """
    rank = x.ndim - 2
    strides = per_axis("strides", strides, rank, least=1)
    kernel = per_axis("kernel_shape", kernel_shape, rank, least=1)
    pads = per_axis("pads", pads, 2 * rank, least=0)
    size = [
        (d - 1) * stride + k - begin - end
        for d, stride, k, begin, end in zip(
            x.shape[2:], strides, kernel, pads[:rank], pads[rank:], strict=True
        )
    ]
    if x.shape != i.shape:
        raise ValueError(f"X {list(x.shape)} and I {list(i.shape)} must have one shape")
    shape = (*x.shape[:2], *size)
    if i.size and not 0 <= i.min() <= i.max() < prod(shape):
        raise ValueError(f"indices must be in [0, {prod(shape)}), the size of {list(shape)}")
    y = np.zeros(shape, dtype=x.dtype)
    y.reshape(-1)[i.reshape(-1)] = x.reshape(-1)
    if output_shape is None or tuple(output_shape.tolist()) == shape:
        return y
    wanted = tuple(output_shape.tolist())
    if len(wanted) != len(shape) or any(w < n for w, n in zip(wanted, shape, strict=True)):
        raise ValueError(f"output_shape {list(wanted)} is smaller than {list(shape)}")
    if wanted[:2] != shape[:2]:
        raise ValueError(f"output_shape {list(wanted)} must begin as X, with {list(shape[:2])}")
    larger = np.zeros(wanted, dtype=x.dtype)
    larger[tuple(slice(n) for n in shape)] = y
    return larger


@op("MaxRoiPool", since=(1, 22))
@in_float32
def max_roi_pool(
    x: Array, rois: Array, *, pooled_shape: Ints, spatial_scale: float = single(1.0)
) -> Array:
    """The largest element in each bin of a grid of ``pooled_shape`` over each region.

    A region (image, x1, y1, x2, y2) is scaled, rounded to whole pixels, and holds both its
    corners; a bin spans ``[floor(p * size), ceil((p + 1) * size))`` pixels, and an empty one
    gives 0. Shapes: x [N, C, H, W], rois [R, 5] give [R, C, *pooled_shape]. Source: Girshick,
    https://arxiv.org/abs/1504.08083.
    """
    rows, columns = per_axis("pooled_shape", pooled_shape, 2, least=1)
    y = np.empty((rois.shape[0], x.shape[1], rows, columns), dtype=x.dtype)
    images = rois[:, 0].astype(np.int64)
    if images.size and not 0 <= images.min() <= images.max() < x.shape[0]:
        raise ValueError(f"a region names an image outside the batch of {x.shape[0]}")
    corners = _round(rois[:, 1:] * spatial_scale)
    for region, (image, (left, top, right, bottom)) in enumerate(zip(images, corners, strict=True)):
        strips, no_rows = _bins_of_axis(x[image], 1, top, bottom, rows)
        bins, no_columns = _bins_of_axis(strips, 2, left, right, columns)
        y[region] = np.where(no_rows[:, None] | no_columns, 0, bins)
    return y


def _round(values: Array) -> Array:
    """To the nearest whole number, a half away from zero, as C's round."""
    return np.copysign(np.floor(np.abs(values) + 0.5), values).astype(np.int64)


def _bins_of_axis(x: Array, axis: int, first: int, last: int, bins: int) -> tuple[Array, Array]:
    """The maxima over ``bins`` parts of the elements from ``first`` to ``last`` along an axis,
    and which parts are empty, so that their maxima mean nothing."""
    # In float32 as other implementations do: the edges of the bins are rounded from it.
    size = np.float32(max(last - first + 1, 1)) / np.float32(bins)
    steps = np.arange(bins + 1, dtype=np.float32) * size
    starts = np.clip(np.floor(steps[:-1]).astype(np.int64) + first, 0, x.shape[axis])
    stops = np.clip(np.ceil(steps[1:]).astype(np.int64) + first, 0, x.shape[axis])
    # One more element, so that a start at the very end is an index.
    shape = list(x.shape)
    shape[axis] = 1
    x = np.concatenate([x, np.zeros(shape, dtype=x.dtype)], axis=axis)
    # reduceat gives the maximum of each [start, stop) and, at the odd places, what is between.
    edges = np.stack([starts, stops], axis=1).reshape(-1)
    maxima = np.maximum.reduceat(x, edges, axis=axis)
    return maxima[(slice(None),) * axis + (slice(0, None, 2),)], starts >= stops
