"""Tensors with a border put around them, or taken off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..registry import op
from ..types import STRING, Array
from ._shared import normalise_axes


@op("Pad", since=(18, 19, 21, 23, 24, 25))
def pad(
    data: Array,
    pads: Array,
    constant_value: Array | None = None,
    axes: Array | None = None,
    *,
    mode: str = "constant",
) -> Array:
    """``pads`` ([2n]: all begins, then all ends) more elements on each of the n ``axes``.

    A negative number takes elements away, before anything is put on. ``mode``
    says what is put there: the ``constant_value``, the data mirrored without
    its edge (reflect), its edge, or the data over again (wrap).
    """
    value = _zero(data) if constant_value is None else constant_value.reshape(())
    chosen = range(data.ndim) if axes is None else normalise_axes(axes.tolist(), data.ndim)
    return _pad(data, pads.ravel().tolist(), chosen, mode, value)


@op("Pad", since=(11, 13))
def pad_11(
    data: Array, pads: Array, constant_value: Array | None = None, *, mode: str = "constant"
) -> Array:
    """Pad when all axes were padded."""
    return pad(data, pads, constant_value, mode=mode)


@op("Pad", since=2)
def pad_2(data: Array, *, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> Array:
    """Pad when ``pads`` and ``value`` were attributes."""
    return _pad(data, pads, range(data.ndim), mode, np.asarray(value).astype(data.dtype))


@op("Pad", since=1)
def pad_1(
    data: Array, *, paddings: Sequence[int], mode: str = "constant", value: float = 0.0
) -> Array:
    """Pad when ``pads`` was called ``paddings``."""
    return pad_2(data, pads=paddings, mode=mode, value=value)


def _zero(data: Array) -> Array:
    return np.array("" if data.dtype == STRING else 0).astype(data.dtype)


def _pad(data: Array, pads: Sequence[int], axes: Sequence[int], mode: str, value: Array) -> Array:
    if len(pads) != 2 * len(axes):
        raise ValueError(
            f"pads {list(pads)} must hold a begin and an end for each of {len(axes)} axes"
        )
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise ValueError(f"mode '{mode}' is none of constant, reflect, edge and wrap")
    before, after = [0] * data.ndim, [0] * data.ndim
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[axis], after[axis] = begin, end
    kept = data[tuple(map(_crop, data.shape, before, after))]
    before = [max(begin, 0) for begin in before]
    after = [max(end, 0) for end in after]
    if mode != "constant":
        for axis, (begin, end) in enumerate(zip(before, after, strict=True)):
            if begin or end:
                kept = np.take(kept, _source(kept.shape[axis], begin, end, mode), axis)
        return kept
    sizes = zip(before, kept.shape, after, strict=True)
    result = np.full([begin + size + end for begin, size, end in sizes], value, data.dtype)
    inside = tuple(
        slice(begin, begin + size) for begin, size in zip(before, kept.shape, strict=True)
    )
    result[inside] = kept
    return result


def _crop(size: int, begin: int, end: int) -> slice:
    """What negative pads leave of a dimension."""
    start, stop = max(-begin, 0), size - max(-end, 0)
    if start > stop:
        raise ValueError(f"pads {begin} and {end} take more than there is of a dimension of {size}")
    return slice(start, stop)


def _source(size: int, begin: int, end: int, mode: str) -> Array:
    """Where each element of a padded dimension comes from, [begin + size + end]."""
    if size == 0:
        raise ValueError(f"mode '{mode}' cannot pad a dimension of 0: there is nothing to repeat")
    place = np.arange(-begin, size + end)
    if mode == "edge":
        return place.clip(0, size - 1)
    if mode == "wrap":
        return place % size
    period = max(2 * (size - 1), 1)  # there and back, each edge once
    place %= period
    return np.minimum(place, period - place) if size > 1 else np.zeros_like(place)
