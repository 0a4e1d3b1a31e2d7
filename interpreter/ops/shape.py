"""A tensor under another shape, and what its shape is: nothing is computed, little copied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import normalise_axes


@op("Reshape", since=(5, 13, 14, 19, 21, 23, 24, 25))
def reshape(data: Array, shape: Array, *, allowzero: int = 0) -> Array:
    """The same elements under ``shape`` ([rank]): 0 keeps the input's dimension (unless
    ``allowzero``), one -1 takes what is left."""
    return _reshape(data, shape.tolist(), bool(allowzero))


@op("Reshape", since=1)
def reshape_1(data: Array, *, shape: Sequence[int] | None = None) -> Array:
    """Reshape whose shape was an attribute."""
    if shape is None:
        raise ValueError("the attribute shape is left out: it says which shape to give")
    return _reshape(data, shape, False)


def _reshape(data: Array, shape: Sequence[int], allowzero: bool) -> Array:
    if min(shape, default=0) < -1 or shape.count(-1) > 1:
        raise ValueError(f"the shape {list(shape)} may hold one -1, and else no negative dimension")
    if 0 not in shape:
        with suppress(ValueError):  # which is said in our words below
            return data.reshape(shape)
    if allowzero:
        if 0 in shape and -1 in shape:
            raise ValueError(f"with allowzero the shape {list(shape)} may not hold both 0 and -1")
        target = tuple(shape)
    else:
        if any(dim == 0 for dim in shape[data.ndim :]):
            raise ValueError(
                f"the shape {list(shape)} copies a dimension with 0 that the input {data.shape} "
                f"does not have"
            )
        target = tuple(dim or data.shape[axis] for axis, dim in enumerate(shape))
    known = math.prod(dim for dim in target if dim != -1)
    fits = known and data.size % known == 0 if -1 in target else data.size == known
    if not fits:
        raise ValueError(
            f"the {data.size} elements of shape {list(data.shape)} do not fit the shape "
            f"{list(target)}"
        )
    return data.reshape(target)


@op("Flatten", since=(1, 9, 11, 13, 21, 23, 24, 25))
def flatten(input: Array, *, axis: int = 1) -> Array:
    """A matrix: the dimensions before ``axis`` make the rows, the others the columns."""
    rank = input.ndim
    if not -rank <= axis <= rank:
        raise ValueError(f"axis {axis} is out of range for a tensor of rank {rank}")
    if axis < 0:
        axis += rank
    return input.reshape(math.prod(input.shape[:axis]), math.prod(input.shape[axis:]))


@op("Transpose", since=(1, 13, 21, 23, 24, 25))
def transpose(data: Array, *, perm: Sequence[int] | None = None) -> Array:
    """Output dimension i is input dimension ``perm[i]``; without ``perm`` all are reversed."""
    if perm is not None and sorted(perm) != list(range(data.ndim)):
        raise ValueError(f"perm {list(perm)} is no permutation of the axes 0 to {data.ndim - 1}")
    return data.transpose(perm)


@op("Squeeze", since=(13, 21, 23, 24, 25))
def squeeze(data: Array, axes: Array | None = None) -> Array:
    """Without the dimensions ``axes``, which are 1; without ``axes``, without all that are 1."""
    return _squeeze(data, None if axes is None else axes.ravel().tolist())


@op("Squeeze", since=(1, 11))
def squeeze_1(data: Array, *, axes: Sequence[int] | None = None) -> Array:
    """Squeeze whose axes were an attribute."""
    return _squeeze(data, axes)


def _squeeze(data: Array, axes: Sequence[int] | None) -> Array:
    if axes is None:
        return data.squeeze()
    chosen = normalise_axes(axes, data.ndim)
    wide = [axis for axis in chosen if data.shape[axis] != 1]
    if wide:
        raise ValueError(f"axis {wide[0]} of shape {list(data.shape)} is not 1: it cannot go")
    return data.squeeze(chosen)


@op("Unsqueeze", since=(13, 21, 23, 24, 25))
def unsqueeze(data: Array, axes: Array) -> Array:
    """With dimensions of 1 put in, so that they stand at ``axes`` of the output."""
    return _unsqueeze(data, axes.ravel().tolist())


@op("Unsqueeze", since=(1, 11))
def unsqueeze_1(data: Array, *, axes: Sequence[int]) -> Array:
    """Unsqueeze whose axes were an attribute."""
    return _unsqueeze(data, axes)


def _unsqueeze(data: Array, axes: Sequence[int]) -> Array:
    rank = data.ndim + len(axes)
    new = set(normalise_axes(axes, rank))
    dims = iter(data.shape)
    return data.reshape([1 if axis in new else next(dims) for axis in range(rank)])


@op("Shape", since=(15, 19, 21, 23, 24, 25))
def shape(data: Array, *, start: int = 0, end: int | None = None) -> Array:
    """The dimensions from ``start`` to ``end`` as int64 [end - start], both clamped to the rank."""
    return np.array(data.shape[start:end], np.int64)


@op("Shape", since=(1, 13))
def shape_1(data: Array) -> Array:
    """All dimensions as int64 [rank]."""
    return np.array(data.shape, np.int64)


@op("Size", since=(1, 13, 19, 21, 23, 24, 25))
def size(data: Array) -> Array:
    """The number of elements, an int64 scalar."""
    return np.array(data.size, np.int64)


@op("Expand", since=(8, 13))
def expand(input: Array, shape: Array) -> Array:
    """The input broadcast together with ``shape`` ([rank]), whose 1s keep the input's dimension."""
    wanted = tuple(shape.tolist())
    if min(wanted, default=0) < 0:
        raise ValueError(f"the shape {list(wanted)} holds a negative dimension")
    try:
        target = np.broadcast_shapes(input.shape, wanted)
    except ValueError:
        raise ValueError(
            f"the shape {list(input.shape)} does not broadcast with {list(wanted)}"
        ) from None
    return np.broadcast_to(input, target)


@op("Identity", since=(1, 13, 14, 16, 19, 21, 23, 24, 25))
def identity(input: Any) -> Any:
    """The input itself: a tensor, a sequence or an optional."""
    return input
