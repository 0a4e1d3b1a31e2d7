"""Elements put into other places by a fixed rule: blocks, reversed sequences, caches, centres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import normalise_axes, normalise_axis
from .pad import pad


def _check_blocks(x: Array, blocksize: int) -> None:
    if x.ndim != 4 or blocksize < 1:
        raise ValueError(
            f"the input must be [N, C, H, W] and blocksize 1 or more; they are "
            f"{list(x.shape)} and {blocksize}"
        )


def _check_mode(mode: str) -> None:
    if mode not in ("DCR", "CRD"):
        raise ValueError(f"mode '{mode}' is neither DCR nor CRD")


@op("DepthToSpace", since=(11, 13, 28))
def depth_to_space(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """[N, C, H, W] to [N, C / b², H·b, W·b]: channels become blocks of pixels. A channel's number
    counts (row, column, depth) in mode DCR, and (depth, row, column) in mode CRD."""
    _check_blocks(input, blocksize)
    _check_mode(mode)
    n, c, h, w = input.shape
    b = blocksize
    depth = c // b**2
    if c % b**2:
        raise ValueError(f"{c} channels cannot be put into blocks of {b} x {b}")
    if mode == "DCR":
        blocks = input.reshape(n, b, b, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        blocks = input.reshape(n, depth, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(n, depth, h * b, w * b)


@op("DepthToSpace", since=1)
def depth_to_space_1(input: Array, *, blocksize: int) -> Array:
    """DepthToSpace when there was no mode but DCR."""
    return depth_to_space(input, blocksize=blocksize)


@op("SpaceToDepth", since=28)
def space_to_depth(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """[N, C, H, W] to [N, C·b², H / b, W / b]: the opposite of DepthToSpace."""
    _check_blocks(input, blocksize)
    _check_mode(mode)
    n, c, h, w = input.shape
    b = blocksize
    if h % b or w % b:
        raise ValueError(f"an image of {h} x {w} cannot be cut into blocks of {b} x {b}")
    blocks = input.reshape(n, c, h // b, b, w // b, b)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return blocks.transpose(order).reshape(n, c * b**2, h // b, w // b)


@op("SpaceToDepth", since=(1, 13))
def space_to_depth_1(input: Array, *, blocksize: int) -> Array:
    """SpaceToDepth when there was no mode but DCR."""
    return space_to_depth(input, blocksize=blocksize)


@op("ReverseSequence", since=(10, 28))
def reverse_sequence(
    input: Array, sequence_lens: Array, *, batch_axis: int = 1, time_axis: int = 0
) -> Array:
    """Each batch item's first ``sequence_lens[item]`` steps in reversed order, the rest as it is.
    The batch and the time are the first two axes, either way round."""
    if {batch_axis, time_axis} != {0, 1} or input.ndim < 2:
        raise ValueError(
            f"batch_axis and time_axis must be 0 and 1 of a rank of 2 or more; they are "
            f"{batch_axis} and {time_axis} of rank {input.ndim}"
        )
    batch, steps = input.shape[batch_axis], input.shape[time_axis]
    if sequence_lens.shape != (batch,) or not np.all(
        (sequence_lens >= 0) & (sequence_lens <= steps)
    ):
        raise ValueError(
            f"sequence_lens must be {batch} lengths from 0 to {steps}, and are "
            f"{sequence_lens.tolist()}"
        )
    time = np.arange(steps)
    lengths = sequence_lens[:, np.newaxis]
    source = np.where(time < lengths, lengths - 1 - time, time)  # [batch, steps]
    items = np.arange(batch)[:, np.newaxis]
    if batch_axis == 0:
        return input[items, source]
    return input[source.T, items.T]


@op("TensorScatter", since=24)
def tensor_scatter(
    past_cache: Array,
    update: Array,
    write_indices: Array | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Array:
    """``past_cache`` ([batch, ..., length, ...]) with ``update`` ([batch, ..., steps, ...]) written
    along ``axis`` from ``write_indices`` ([batch]) on; mode circular goes on at the front."""
    axis = normalise_axis(axis, past_cache.ndim)
    length, batch = past_cache.shape[axis], past_cache.shape[0]
    steps = update.shape[axis] if update.ndim == past_cache.ndim else -1
    expected = (*past_cache.shape[:axis], steps, *past_cache.shape[axis + 1 :])
    if axis == 0 or update.shape != expected or steps > length:
        raise ValueError(
            f"the update of {list(update.shape)} must have the shape of the cache "
            f"{list(past_cache.shape)}, but for being no longer along axis {axis}, "
            f"which cannot be 0, the batch"
        )
    if mode not in ("linear", "circular"):
        raise ValueError(f"mode '{mode}' is neither linear nor circular")
    starts = np.zeros(batch, np.int64) if write_indices is None else write_indices
    if starts.shape != (batch,):
        raise ValueError(f"write_indices must be {batch}, and have the shape {list(starts.shape)}")
    places = starts[:, np.newaxis] + np.arange(steps)
    if mode == "circular":
        places %= max(length, 1)
    elif starts.size and (starts.min() < 0 or starts.max() + steps > length):
        raise ValueError(
            f"{steps} steps written at {starts.tolist()} leave the cache's {length} places"
        )
    present = past_cache.copy()
    np.moveaxis(present, axis, 1)[np.arange(batch)[:, np.newaxis], places] = np.moveaxis(
        update, axis, 1
    )
    return present


@op("CenterCropPad", since=18)
def center_crop_pad(input_data: Array, shape: Array, *, axes: Sequence[int] | None = None) -> Array:
    """The middle of the input, cut or padded with zeros to ``shape`` along ``axes``. Of an odd
    number of elements to cut or to add, the one more is at the end."""
    rank = input_data.ndim
    chosen = tuple(range(rank)) if axes is None else normalise_axes(axes, rank)
    targets = shape.tolist()
    if len(targets) != len(chosen) or min(targets, default=0) < 0:
        raise ValueError(f"shape {targets} must hold a size for each of {len(chosen)} axes")
    grow = [target - input_data.shape[axis] for target, axis in zip(targets, chosen, strict=True)]
    # Half toward zero at the begin, so that the end gets the odd one.
    begins = [abs(more) // 2 * (1 if more > 0 else -1) for more in grow]
    ends = [more - begin for more, begin in zip(grow, begins, strict=True)]
    return pad(input_data, np.array([*begins, *ends], np.int64), axes=np.array(chosen))
