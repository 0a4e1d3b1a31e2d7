"""Parts of a tensor by ranges and by indices, and their opposites, which write.

An index may count from the end, down to minus the dimension. One that is out of
range is an error; it never wraps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..registry import op
from ..types import STRING, Array
from ._shared import normalise_axes, normalise_axis


@op("Slice", since=(10, 11, 13))
def slice_(
    data: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    """From ``starts`` to before ``ends`` by ``steps`` along ``axes`` (all [n]).

    Starts and ends count from the end where negative, and are clamped to what
    the dimension has, so that ``-2**63`` with a negative step means "through 0".
    """
    return _slice(
        data,
        starts.tolist(),
        ends.tolist(),
        None if axes is None else axes.tolist(),
        None if steps is None else steps.tolist(),
    )


@op("Slice", since=1)
def slice_1(
    data: Array,
    *,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
) -> Array:
    """Slice by attributes, when there were no steps."""
    return _slice(data, starts, ends, axes, None)


def _slice(
    data: Array,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> Array:
    count = len(starts)
    axes = normalise_axes(range(count) if axes is None else axes, data.ndim)
    steps = [1] * count if steps is None else steps
    if not len(ends) == len(axes) == len(steps) == count:
        raise ValueError(
            f"starts, ends, axes and steps must be equally many, and are "
            f"{count}, {len(ends)}, {len(axes)} and {len(steps)}"
        )
    parts = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        parts[axis] = _range(start, end, step, data.shape[axis])
    return data[tuple(parts)]


def _range(start: int, end: int, step: int, size: int) -> slice:
    """The specification's clamping: unlike Python's, a start before 0 is 0 for every step."""
    if step == 0:
        raise ValueError("a step of 0 leads nowhere")
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    if start <= end:
        return slice(0, 0)
    return slice(start, None if end == -1 else end, step)


def check_indices(indices: Array, size: int, axis: int) -> None:
    """``ValueError`` where an index is not in [-size, size - 1]."""
    if indices.size == 0:
        return
    # Of one index minimum and maximum would cost more than what it is for.
    bounds = (indices, indices) if indices.size == 1 else (indices.min(), indices.max())
    low, high = (int(bound.item()) for bound in bounds)
    if low < -size or high >= size:
        worst = low if low < -size else high
        raise ValueError(
            f"index {worst} is out of range for axis {axis} of size {size}: "
            f"indices go from {-size} to {size - 1}"
        )


@op("Gather", since=(1, 11, 13))
def gather(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """``data``'s slices along ``axis`` at ``indices``, whose shape takes that axis's place."""
    axis = normalise_axis(axis, data.ndim)
    check_indices(indices, data.shape[axis], axis)
    if indices.ndim == 0:  # ``take`` would copy all of an array that is not contiguous
        return data[(slice(None),) * axis + (int(indices),)]
    return np.take(data, indices, axis)


@op("GatherElements", since=(11, 13))
def gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """``out[i][j][k] = data[indices[i][j][k]][j][k]`` for axis 0: the output has ``indices``'
    shape, whose other dimensions may be smaller than ``data``'s."""
    return data[_along(data, indices, axis)]


def _along(data: Array, indices: Array, axis: int) -> tuple[Array, ...]:
    """The index that replaces coordinate ``axis`` of every position by ``indices``."""
    axis = normalise_axis(axis, data.ndim)
    if indices.ndim != data.ndim or any(
        mine > theirs
        for place, (mine, theirs) in enumerate(zip(indices.shape, data.shape, strict=True))
        if place != axis
    ):
        raise ValueError(
            f"indices of shape {list(indices.shape)} must have the rank of the data "
            f"{list(data.shape)}, and be no larger except along axis {axis}"
        )
    check_indices(indices, data.shape[axis], axis)
    index: list[Array] = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    index[axis] = indices
    return tuple(index)


@op("GatherND", since=(11, 12, 13))
def gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    """Slices of ``data`` at the tuples in ``indices`` ([..., depth]), which index the dimensions
    after the ``batch_dims`` first: those the two share."""
    rank, depth = data.ndim, indices.shape[-1] if indices.ndim else 0
    if not 0 <= batch_dims < min(rank, indices.ndim):
        raise ValueError(
            f"batch_dims {batch_dims} must be 0 or more, and below the ranks "
            f"{rank} and {indices.ndim}"
        )
    batch = indices.shape[:batch_dims]
    if data.shape[:batch_dims] != batch:
        raise ValueError(
            f"the first {batch_dims} dimensions of {list(data.shape)} and "
            f"{list(indices.shape)} differ"
        )
    tuples = _tuples(indices, data.shape[batch_dims:])
    grid = np.ogrid[tuple(slice(size) for size in indices.shape[:-1])][:batch_dims]
    if depth == 0:
        raise ValueError("the last dimension of indices is 0: it must be 1 or more")
    return data[(*grid, *tuples)]


def _tuples(indices: Array, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """The tuples along ``indices``' last dimension as an index into a tensor of that shape."""
    depth = indices.shape[-1]
    if not 1 <= depth <= len(shape):
        raise ValueError(
            f"the last dimension of indices is {depth}: it must be from 1 to {len(shape)}"
        )
    parts = tuple(np.moveaxis(indices, -1, 0))
    for axis, part in enumerate(parts):
        check_indices(part, shape[axis], axis)
    return parts


@op("ScatterElements", since=(11, 13, 16, 18))
def scatter_elements(
    data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none"
) -> Array:
    """``data`` with ``out[indices[i][j]][j] = updates[i][j]`` for axis 0: the opposite of
    GatherElements. ``reduction`` combines with what is there (add, mul, max, min)."""
    if indices.shape != updates.shape:
        raise ValueError(
            f"indices {list(indices.shape)} and updates {list(updates.shape)} must be of one shape"
        )
    return _write(data, _along(data, indices, axis), updates, reduction)


@op("Scatter", since=9)
def scatter(data: Array, indices: Array, updates: Array, *, axis: int = 0) -> Array:
    """The first name of ScatterElements."""
    return scatter_elements(data, indices, updates, axis=axis)


@op("ScatterND", since=(11, 13, 16, 18))
def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str = "none") -> Array:
    """``data`` with the slices at the tuples in ``indices`` ([..., depth]) replaced by ``updates``
    ([..., data.shape[depth:]]), or combined with them by ``reduction`` (add, mul, max, min)."""
    if indices.ndim < 1 or data.ndim < 1:
        raise ValueError("data and indices must be of rank 1 or more")
    tuples = _tuples(indices, data.shape)
    expected = indices.shape[:-1] + data.shape[len(tuples) :]
    if updates.shape != expected:
        raise ValueError(
            f"updates must have the shape {list(expected)}, and have {list(updates.shape)}"
        )
    return _write(data, tuples, updates, reduction)


_REDUCTIONS: dict[str, np.ufunc] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _write(data: Array, index: tuple[Any, ...], updates: Array, reduction: str) -> Array:
    result = data.copy()
    if data.dtype == STRING and reduction == "mul":
        raise ValueError("strings cannot be multiplied: reduction 'mul' wants numbers")
    if reduction == "none":
        result[index] = updates
    elif reduction in _REDUCTIONS:
        _REDUCTIONS[reduction].at(result, index, updates)
    else:
        raise ValueError(f"reduction '{reduction}' is none of none, add, mul, max and min")
    return result
