"""Tensors joined, split and repeated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..registry import Context, op
from ..types import Array
from ._shared import normalise_axis


@op("Concat", since=(4, 11, 13))
def concat(*inputs: Array, axis: int) -> Array:
    """The inputs one after the other along ``axis``; their other dimensions are equal."""
    first = inputs[0]
    axis = normalise_axis(axis, first.ndim)
    rest = first.shape[:axis] + first.shape[axis + 1 :]
    for x in inputs[1:]:
        if x.ndim != first.ndim or x.shape[:axis] + x.shape[axis + 1 :] != rest:
            raise ValueError(
                f"shapes {list(first.shape)} and {list(x.shape)} differ in more than axis {axis}"
            )
    return np.concatenate(inputs, axis)


@op("Concat", since=1)
def concat_1(*inputs: Array, axis: int = 1) -> Array:
    """Concat when ``axis`` had a default."""
    return concat(*inputs, axis=axis)


@op("Split", since=18)
def split(
    input: Array,
    split: Array | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    context: Context = Context(),  # noqa: B008
) -> tuple[Array, ...]:
    """Parts along ``axis``: of the lengths ``split``, or ``num_outputs`` equal ones of which the
    last may be smaller."""
    if split is not None:
        if num_outputs is not None:
            raise ValueError("both the input split and the attribute num_outputs are given")
        return _parts(input, split.tolist(), axis)
    count = context.num_outputs if num_outputs is None else num_outputs
    if count < 1:
        raise ValueError(f"num_outputs must be 1 or more, and is {count}")
    length = input.shape[normalise_axis(axis, input.ndim)]
    size = -(-length // count)
    if size * (count - 1) > length:
        raise ValueError(
            f"axis {axis} of {length} cannot be split into {count} parts "
            f"of which only the last is smaller"
        )
    return _parts(input, [size] * (count - 1) + [length - size * (count - 1)], axis)


@op("Split", since=13)
def split_13(
    input: Array,
    split: Array | None = None,
    *,
    axis: int = 0,
    context: Context = Context(),  # noqa: B008
) -> tuple[Array, ...]:
    """Split before ``num_outputs``: without ``split`` all parts are equal."""
    return _split_evenly(input, None if split is None else split.tolist(), axis, context)


@op("Split", since=(2, 11))
def split_2(
    input: Array,
    *,
    axis: int = 0,
    split: Sequence[int] | None = None,
    context: Context = Context(),  # noqa: B008
) -> tuple[Array, ...]:
    """Split whose lengths were an attribute."""
    return _split_evenly(input, split, axis, context)


@op("Split", since=1)
def split_1(
    input: Array,
    lengths: Array | None = None,
    *,
    axis: int | None = None,
    split: Sequence[int] | None = None,
    context: Context = Context(),  # noqa: B008
) -> tuple[Array, ...]:
    """Split whose lengths were an attribute, or an input of the data's own type."""
    if lengths is not None:
        if split is not None:
            raise ValueError("both the input split and the attribute split are given")
        split = lengths.astype(np.int64).tolist()
    return _split_evenly(input, split, axis or 0, context)


def _split_evenly(
    x: Array, lengths: Sequence[int] | None, axis: int, context: Context
) -> tuple[Array, ...]:
    if lengths is not None:
        return _parts(x, lengths, axis)
    count, length = context.num_outputs, x.shape[normalise_axis(axis, x.ndim)]
    if length % count:
        raise ValueError(f"axis {axis} of {length} cannot be split into {count} equal parts")
    return _parts(x, [length // count] * count, axis)


def _parts(x: Array, lengths: Sequence[int], axis: int) -> tuple[Array, ...]:
    axis = normalise_axis(axis, x.ndim)
    if min(lengths, default=0) < 0 or sum(lengths) != x.shape[axis]:
        raise ValueError(
            f"the lengths {list(lengths)} must be 0 or more and sum to "
            f"{x.shape[axis]}, the size of axis {axis}"
        )
    ends = np.cumsum(lengths)
    before = (slice(None),) * axis
    return tuple(
        x[(*before, slice(end - length, end))] for length, end in zip(lengths, ends, strict=True)
    )


@op("Tile", since=(6, 13))
def tile(input: Array, repeats: Array) -> Array:
    """The input ``repeats[i]`` times along each axis i."""
    counts = repeats.tolist()
    if len(counts) != input.ndim or min(counts, default=0) < 0:
        raise ValueError(
            f"repeats {counts} must hold one number, 0 or more, for each of the {input.ndim} axes"
        )
    return np.tile(input, counts)


@op("Tile", since=1)
def tile_1(input: Array, tiles: Array, axis: Array) -> Array:
    """The input ``tiles`` times along ``axis``, both one number of the data's own type."""
    counts = [1] * input.ndim
    counts[normalise_axis(int(axis.item()), input.ndim)] = int(tiles.item())
    return tile(input, np.array(counts))
