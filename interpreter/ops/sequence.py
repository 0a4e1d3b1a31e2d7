"""Sequences, which are Python lists of arrays: each operator returns a new list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import normalise_axis


@op("SequenceConstruct", since=11)
def sequence_construct(*inputs: Array) -> tuple[list[Array]]:
    """The inputs, which must have one dtype, as a sequence."""
    _one_dtype(inputs)
    return (list(inputs),)


@op("SequenceEmpty", since=11)
def sequence_empty(*, dtype: int = 1) -> tuple[list[Array]]:
    """A sequence without elements; ``dtype`` is its type only."""
    del dtype
    return ([],)


@op("SequenceAt", since=11)
def sequence_at(input_sequence: list[Any], position: Array) -> Any:
    """The element at ``position`` in [-n, n - 1]."""
    return input_sequence[_index(position, len(input_sequence), len(input_sequence) - 1)]


@op("SequenceInsert", since=11)
def sequence_insert(
    input_sequence: list[Array], tensor: Array, position: Array | None = None
) -> tuple[list[Array]]:
    """The sequence with ``tensor`` before ``position`` in [-n, n]; by default at the end."""
    _one_dtype([*input_sequence[:1], tensor])
    count = len(input_sequence)
    at = count if position is None else _index(position, count, count)
    return ([*input_sequence[:at], tensor, *input_sequence[at:]],)


@op("SequenceErase", since=11)
def sequence_erase(
    input_sequence: list[Array], position: Array | None = None
) -> tuple[list[Array]]:
    """The sequence without the element at ``position`` in [-n, n - 1]; by default the last."""
    position = np.array(-1) if position is None else position
    at = _index(position, len(input_sequence), len(input_sequence) - 1)
    return (input_sequence[:at] + input_sequence[at + 1 :],)


@op("SequenceLength", since=11)
def sequence_length(input_sequence: list[Any]) -> Array:
    """The number of elements, an int64 scalar."""
    return np.array(len(input_sequence), np.int64)


@op("SplitToSequence", since=(11, 24))
def split_to_sequence(
    input: Array, split: Array | None = None, *, axis: int = 0, keepdims: int = 1
) -> tuple[list[Array]]:
    """The input cut along ``axis``.

    A scalar ``split`` is the length of each part (the last may be shorter), a
    list has one length a part. Without it the parts have length 1, and with
    ``keepdims`` 0 they lose the axis.
    """
    axis = normalise_axis(axis, input.ndim)
    size = input.shape[axis]
    if split is None:
        if not keepdims:
            rows = np.moveaxis(input, axis, 0)
            return ([rows[i, ...] for i in range(size)],)
        split = np.array(1)
    if split.ndim == 0:
        length = int(split)
        if length < 1:
            raise ValueError(f"a scalar split must be positive, and is {length}")
        ends = [*range(length, size, length), size][: -(-size // length)]
    else:
        ends = np.cumsum(split).tolist()
        if (split < 0).any() or sum(split.tolist()) != size:
            raise ValueError(
                f"split must be lengths that add up to {size}, the size of axis {axis}, and is "
                f"{split.tolist()}"
            )
    starts = [0, *ends][: len(ends)]
    before = (slice(None),) * axis
    return ([input[(*before, slice(a, b))] for a, b in zip(starts, ends, strict=True)],)


@op("ConcatFromSequence", since=11)
def concat_from_sequence(input_sequence: list[Array], *, axis: int, new_axis: int = 0) -> Array:
    """The elements joined along ``axis``, or stacked along a new one where ``new_axis`` is 1."""
    if not input_sequence:
        raise ValueError("an empty sequence cannot be concatenated: nothing says its shape")
    if new_axis not in (0, 1):
        raise ValueError(f"new_axis must be 0 or 1, and is {new_axis}")
    _one_dtype(input_sequence)
    axis = normalise_axis(axis, input_sequence[0].ndim + new_axis)
    return (np.stack if new_axis else np.concatenate)(input_sequence, axis)


def _one_dtype(elements: Sequence[Array]) -> None:
    dtypes = {element.dtype for element in elements}
    if len(dtypes) > 1:
        raise TypeError(
            f"the elements of a sequence must have one dtype, and have "
            f"{', '.join(sorted(map(str, dtypes)))}"
        )


def _index(position: Array, count: int, last: int) -> int:
    """The position counted from the front."""
    if position.size != 1:
        raise ValueError(f"position must be a scalar, and has the shape {list(position.shape)}")
    index = int(position.reshape(-1)[0])
    if not -count <= index <= last:
        raise ValueError(
            f"position {index} is out of range: a sequence of {count} takes {-count} to {last}"
        )
    return index + count if index < 0 else index
