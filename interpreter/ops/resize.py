"""Resize and Upsample: every axis by itself, as a sum over a few taps of its input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..registry import Context, op
from ..types import STRING, Array
from ._shared import normalise_axes


@dataclass(frozen=True, slots=True)
class Rule:
    """Resize's attributes of one call, under their own names."""

    mode: str = "nearest"
    coordinate_transformation_mode: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    extrapolation_value: float = 0.0
    antialias: bool = False
    nearest_by_scale: bool = False
    """Ceil where an axis shrinks, floor where it grows, instead of ``nearest_mode``."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis to resize: ``scale`` may differ from ``target / size``, which is rounded, and
    ``length`` is the target as align_corners sees it."""

    axis: int
    size: int
    target: int
    scale: float
    length: float
    start: float = 0.0
    end: float = 1.0


@op("Resize", since=(18, 19))
def resize(
    X: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    keep_aspect_ratio_policy: str = "stretch",
    context: Context = Context(),  # noqa: B008
) -> Array:
    """``X`` at another size, given by ``scales`` or ``sizes`` of ``axes`` (all, where left out).

    Each coordinate of the output is taken to one of the input by the
    ``coordinate_transformation_mode``; the value there is the ``nearest``
    element, or interpolated by a ``linear`` or ``cubic`` filter, which
    ``antialias`` widens where the output is smaller.
    """
    chosen = tuple(range(X.ndim)) if axes is None else normalise_axes(axes, X.ndim)
    # Empty tensors stand for what is left out, as opset 11 had to write it.
    scales = None if scales is None or scales.size == 0 else scales
    sizes = None if sizes is None or sizes.size == 0 else sizes
    if (scales is None) == (sizes is None):
        raise ValueError("one of scales and sizes must be given, and not both")
    given = scales if scales is not None else sizes
    assert given is not None
    if given.shape != (len(chosen),):
        raise ValueError(
            f"scales or sizes must be one for each of {len(chosen)} axes, and have "
            f"the shape {list(given.shape)}"
        )
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    if crop and (roi is None or roi.size != 2 * len(chosen)):
        raise ValueError(f"tf_crop_and_resize needs a roi of {2 * len(chosen)} numbers")
    bounds = roi.astype(np.float32).reshape(2, -1).T if crop and roi is not None else None
    if scales is not None:
        resized = [
            _by_scale(X, axis, scale, None if bounds is None else bounds[place])
            for place, (axis, scale) in enumerate(zip(chosen, scales, strict=True))
        ]
        if context.opset >= 19:
            # Opset 19 speaks of a target length that may be fractional, and the standard's cases
            # align corners by it; the older texts know the rounded length alone.
            resized = [replace(a, length=float(a.scale) * a.size) for a in resized]
    else:
        assert sizes is not None
        resized = _by_sizes(X, chosen, sizes.tolist(), bounds, keep_aspect_ratio_policy)
    rule = Rule(
        mode,
        coordinate_transformation_mode,
        nearest_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        extrapolation_value,
        bool(antialias),
    )
    return _resize(X, resized, rule)


@op("Resize", since=(11, 13))
def resize_11(
    X: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    mode: str = "nearest",
    coordinate_transformation_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
) -> Array:
    """Resize before antialiasing and the choice of axes."""
    return resize(
        X,
        roi,
        scales,
        sizes,
        mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode,
        nearest_mode=nearest_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
    )


@op("Resize", since=10)
@op("Upsample", since=9)
def resize_10(X: Array, scales: Array, *, mode: str = "nearest") -> Array:
    """Resize before it had coordinate modes: ``x_original = x_resized / scale``.

    The specification did not say what nearest means; as in onnxruntime it is
    the element before when the axis grows, and the one behind when it shrinks.
    """
    if scales.shape != (X.ndim,):
        raise ValueError(f"scales must be one for each of {X.ndim} axes, and are {scales.size}")
    axes = [_by_scale(X, axis, scale) for axis, scale in enumerate(scales)]
    return _resize(X, axes, Rule(mode, "asymmetric", nearest_by_scale=True))


@op("Upsample", since=7)
def upsample_7(X: Array, *, scales: Sequence[float], mode: str = "nearest") -> Array:
    """Upsample whose scales were an attribute."""
    return resize_10(X, np.array(scales, np.float32), mode=mode)


@op("Upsample", since=1)
def upsample_1(
    X: Array, *, height_scale: float, width_scale: float, mode: str = "nearest"
) -> Array:
    """Upsample of images ([N, C, H, W]); its other mode was called bilinear."""
    if X.ndim != 4:
        raise ValueError(f"the input must be [N, C, H, W], and has rank {X.ndim}")
    mode = "linear" if mode == "bilinear" else mode
    return upsample_7(X, scales=(1.0, 1.0, height_scale, width_scale), mode=mode)


def _by_scale(x: Array, axis: int, scale: float, bounds: Array | None = None) -> Axis:
    """An axis whose scale is given: the size is rounded down, in float32 as scales are."""
    if not scale > 0:
        raise ValueError(f"scales must be above 0, and one is {scale}")
    start, end = (0.0, 1.0) if bounds is None else bounds
    size = x.shape[axis]
    extent = np.float32(size) * (np.float32(end) - np.float32(start))
    target = math.floor(extent * np.float32(scale))
    return Axis(axis, size, target, scale, target, start, end)


def _by_sizes(
    x: Array, axes: Sequence[int], sizes: Sequence[int], bounds: Array | None, policy: str
) -> list[Axis]:
    """Axes whose sizes are given, or bounded where the aspect ratio is kept."""
    now = [x.shape[axis] for axis in axes]
    if policy not in ("stretch", "not_larger", "not_smaller"):
        raise ValueError(
            f"keep_aspect_ratio_policy '{policy}' is none of stretch, not_larger, not_smaller"
        )
    if min(sizes, default=0) < 0 or any(
        size == 0 and target for size, target in zip(now, sizes, strict=True)
    ):
        raise ValueError(f"dimensions of {now} cannot be resized to {list(sizes)}")
    ratios = [target / size if size else 1.0 for size, target in zip(now, sizes, strict=True)]
    if policy != "stretch":
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [ratio] * len(axes)
        sizes = [math.floor(ratio * size + 0.5) for size in now]
    spans = [(0.0, 1.0)] * len(axes) if bounds is None else bounds
    return [
        Axis(axis, size, target, float(np.float32(ratio)), target, *span)
        for axis, size, target, ratio, span in zip(axes, now, sizes, ratios, spans, strict=True)
    ]


def _resize(x: Array, axes: Sequence[Axis], rule: Rule) -> Array:
    if rule.mode not in ("nearest", "linear", "cubic"):
        raise ValueError(f"mode '{rule.mode}' is none of nearest, linear and cubic")
    crop = rule.coordinate_transformation_mode == "tf_crop_and_resize"
    moves = crop or rule.coordinate_transformation_mode == "tf_half_pixel_for_nn"
    if not crop and all(axis.target == axis.size for axis in axes):
        return x  # whatever the scales were before they were rounded
    result = x
    if rule.mode != "nearest":
        if x.dtype == STRING:
            raise ValueError(f"strings cannot be interpolated: mode '{rule.mode}' wants numbers")
        exact = x.dtype.itemsize <= 2 or x.dtype == np.float32
        if x.dtype.kind != "c":
            result = x.astype(np.float32 if exact else np.float64)
    outside: list[tuple[int, Array]] = []
    for axis in axes:
        if axis.target == axis.size and axis.scale == 1 and not moves:
            continue
        place = _coordinates(axis, rule.coordinate_transformation_mode)
        if crop:
            outside.append((axis.axis, (place < 0) | (place > axis.size - 1)))
        if rule.mode == "nearest":
            nearest = rule.nearest_mode
            if rule.nearest_by_scale:
                nearest = "ceil" if axis.scale < 1 else "floor"
            index = _nearest(place, nearest).clip(0, axis.size - 1).astype(np.int64)
            result = np.take(result, index, axis.axis)
        else:
            result = _interpolate(result, axis, place, rule)
    result = _cast(result, x)
    for number, mask in outside:
        shape = [1] * x.ndim
        shape[number] = len(mask)
        value = np.array(rule.extrapolation_value).astype(x.dtype)
        result = np.where(mask.reshape(shape), value, result)
    return result


def _cast(result: Array, x: Array) -> Array:
    """The input's dtype again; integers are cut off, and stay in their range."""
    if x.dtype.kind in "iu" and result.dtype.kind == "f":
        limits = np.iinfo(x.dtype)
        return result.clip(limits.min, limits.max).astype(x.dtype)
    return result.astype(x.dtype, copy=False)


def _coordinates(axis: Axis, mode: str) -> Array:
    """``x_original`` for every ``x_resized``, in float32 [target], by the specification's table."""
    x = np.arange(axis.target, dtype=np.float32)
    scale, last = np.float32(axis.scale), np.float32(axis.size - 1)
    half = np.float32(0.5)
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and axis.target > 1):
        return (x + half) / scale - half
    if mode == "pytorch_half_pixel":
        return np.zeros_like(x)
    if mode == "half_pixel_symmetric":
        # The rounded size is less than size * scale: the grid is moved to the middle.
        adjustment = np.float32(axis.target) / (scale * np.float32(axis.size))
        offset = np.float32(axis.size) / 2 * (1 - adjustment)
        return offset + (x + half) / scale - half
    if mode == "align_corners":
        return x * last / np.float32(axis.length - 1) if axis.target > 1 else np.zeros_like(x)
    if mode == "asymmetric":
        return x / scale
    if mode == "tf_half_pixel_for_nn":
        return (x + half) / scale
    if mode == "tf_crop_and_resize":
        start, end = np.float32(axis.start), np.float32(axis.end)
        if axis.target > 1:
            return start * last + x * (end - start) * last / np.float32(axis.target - 1)
        return np.full_like(x, half * (start + end) * last)
    raise ValueError(f"coordinate_transformation_mode '{mode}' is not known")


def _nearest(place: Array, mode: str) -> Array:
    if mode == "round_prefer_floor":
        return np.ceil(place - np.float32(0.5))
    if mode == "round_prefer_ceil":
        return np.floor(place + np.float32(0.5))
    if mode == "floor":
        return np.floor(place)
    if mode == "ceil":
        return np.ceil(place)
    raise ValueError(
        f"nearest_mode '{mode}' is none of round_prefer_floor, round_prefer_ceil, floor and ceil"
    )


def _interpolate(x: Array, axis: Axis, place: Array, rule: Rule) -> Array:
    """The sum over the taps around ``place`` ([target]) of an input element times its weight."""
    stretch = max(1.0, 1.0 / float(axis.scale)) if rule.antialias else 1.0
    reach = math.ceil((2 if rule.mode == "cubic" else 1) * stretch)
    taps = np.floor(place) + np.arange(1 - reach, reach + 1, dtype=np.float32)[:, np.newaxis]
    distance = np.abs(taps - place) / np.float32(stretch)  # [taps, target]
    weights = _cubic(distance, rule.cubic_coeff_a) if rule.mode == "cubic" else 1 - distance
    if rule.mode == "linear":
        weights = weights.clip(0)
    if rule.exclude_outside:
        weights = np.where((taps < 0) | (taps > axis.size - 1), 0, weights)
    if rule.antialias or rule.exclude_outside:
        weights = weights / weights.sum(0)
    indices = taps.clip(0, axis.size - 1).astype(np.int64)
    shape = [1] * x.ndim
    shape[axis.axis] = axis.target
    result = np.zeros(x.shape[: axis.axis] + (axis.target,) + x.shape[axis.axis + 1 :], x.dtype)
    for index, weight in zip(indices, weights.astype(x.dtype), strict=True):
        if weight.any():
            result += np.take(x, index, axis.axis) * weight.reshape(shape)
    return result


def _cubic(distance: Array, a: float) -> Array:
    """Keys' filter, equation (4) of https://ieeexplore.ieee.org/document/1163711."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * a * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))
