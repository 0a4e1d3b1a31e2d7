"""Values between pixels: GridSample, and the grids of AffineGrid. Any number of dimensions."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from ..registry import op
from ..types import HALF, STRING, Array
from ._shared import in_float32

_CUBIC_A = -0.75


@op("GridSample", since=(20, 22))
def grid_sample(
    X: Array,
    grid: Array,
    *,
    mode: str = "linear",
    padding_mode: str = "zeros",
    align_corners: int = 0,
) -> Array:
    """``X`` ([N, C, D1..Dr]) at the places of ``grid`` ([N, O1..Or, r]): [N, C, O1..Or].

    A place names the innermost dimension first, from -1 to 1: the centres of the
    outermost pixels with ``align_corners``, their outer edges without. Outside
    lie zeros, the border's pixels, or reflections.
    """
    rank = X.ndim - 2
    if rank < 1 or grid.shape[0] != X.shape[0] or grid.shape[-1] != rank or grid.ndim != rank + 2:
        raise ValueError(
            f"X [N, C, D1..Dr] and grid [N, O1..Or, r] do not fit: they are {list(X.shape)} "
            f"and {list(grid.shape)}"
        )
    if mode not in ("linear", "nearest", "cubic"):
        raise ValueError(f"mode '{mode}' is none of linear, nearest and cubic")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"padding_mode '{padding_mode}' is none of zeros, border and reflection")
    if X.dtype == STRING and mode != "nearest":
        raise ValueError(f"strings cannot be interpolated: mode '{mode}' wants numbers")
    if grid.dtype in HALF:
        grid = grid.astype(np.float32)
    n, channels = X.shape[:2]
    sizes = X.shape[2:]
    places = grid.reshape(n, prod(grid.shape[1:-1]), rank)[..., ::-1]  # outermost dimension first
    # For each dimension, the taps of every place: (index, whether it is inside, weight).
    taps = [
        _taps(places[..., axis], size, mode, padding_mode, bool(align_corners))
        for axis, size in enumerate(sizes)
    ]
    pixels = _with_zero(X.reshape(n, channels, prod(sizes)))
    outside = pixels.shape[-1] - 1
    total: Array | None = None
    for combination in product(*taps):
        index, inside, weight = np.zeros((), np.int64), np.ones((), bool), np.ones((), grid.dtype)
        for size, (at, valid, part) in zip(sizes, combination, strict=True):
            index, inside, weight = index * size + at, inside & valid, weight * part
        index = np.where(inside, index, outside)
        value = np.take_along_axis(pixels, index[:, np.newaxis], 2)
        if mode != "nearest":
            value = value * weight[:, np.newaxis]
        total = value if total is None else total + value
    assert total is not None
    return total.reshape(n, channels, *grid.shape[1:-1]).astype(X.dtype, copy=False)


@op("GridSample", since=16)
def grid_sample_16(
    X: Array,
    grid: Array,
    *,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: int = 0,
) -> Array:
    """GridSample of images alone, whose modes were called bilinear and bicubic."""
    if X.ndim != 4:
        raise ValueError(f"X must be [N, C, H, W], and has rank {X.ndim}")
    names = {"bilinear": "linear", "bicubic": "cubic"}
    return grid_sample(
        X,
        grid,
        mode=names.get(mode, mode),
        padding_mode=padding_mode,
        align_corners=align_corners,
    )


def _with_zero(pixels: Array) -> Array:
    """The pixels ([N, C, S]) with one more behind them, a zero: what lies outside."""
    zero = np.array("" if pixels.dtype == STRING else 0).astype(pixels.dtype)
    return np.concatenate([pixels, np.broadcast_to(zero, (*pixels.shape[:2], 1))], 2)


def _taps(
    place: Array, size: int, mode: str, padding: str, align_corners: bool
) -> list[tuple[Array, Array, Array]]:
    """The pixels of one dimension that each place ([N, P]) is made of."""
    if align_corners:
        low, high = 0.0, size - 1.0
        x = (place + 1) / 2 * (size - 1)
    else:
        low, high = -0.5, size - 0.5
        x = ((place + 1) * size - 1) / 2
    if mode == "nearest":
        positions = [(np.rint(x), np.ones_like(x))]
    elif mode == "linear":
        if padding != "zeros":
            x = _inside(x, size, padding, low, high)
        first = np.floor(x)
        positions = [(first, first + 1 - x), (first + 1, x - first)]
    else:
        first = np.floor(x)
        positions = [(first + k, _cubic(np.abs(x - first - k))) for k in (-1, 0, 1, 2)]
    result = []
    for position, weight in positions:
        if padding != "zeros":
            position = np.rint(_inside(position, size, padding, low, high))
        valid = (position >= 0) & (position <= size - 1)
        result.append((np.where(valid, position, 0).astype(np.int64), valid, weight))
    return result


def _inside(x: Array, size: int, padding: str, low: float, high: float) -> Array:
    """The coordinate moved to the border, or reflected between ``low`` and ``high``."""
    if padding == "reflection":
        span = high - low
        if span == 0:
            return np.zeros_like(x)
        x = np.mod(x - low, 2 * span)
        x = low + np.minimum(x, 2 * span - x)
    return x.clip(0, size - 1)


def _cubic(distance: Array) -> Array:
    """Keys' filter with a = -0.75, as in torch.nn.functional.grid_sample."""
    a = _CUBIC_A
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * a * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


@op("AffineGrid", since=20)
@in_float32
def affine_grid(theta: Array, size: Array, *, align_corners: int = 0) -> Array:
    """The grid of places that the matrices ``theta`` ([N, r, r + 1]) map an output of ``size``
    ([N, C, D1..Dr]) to: [N, D1..Dr, r], for r = 2 or 3."""
    sizes = size.tolist()
    rank = len(sizes) - 2
    if rank not in (2, 3) or theta.shape != (sizes[0], rank, rank + 1):
        raise ValueError(
            f"theta must be [N, r, r + 1] for a size of r + 2 = 4 or 5 numbers; they are "
            f"{list(theta.shape)} and {sizes}"
        )
    lines = []
    for length in sizes[2:]:
        if align_corners:
            line = np.linspace(-1, 1, length) if length != 1 else np.zeros(1)
        else:
            line = (2 * np.arange(length) + 1) / max(length, 1) - 1
        lines.append(line.astype(theta.dtype))
    # Homogeneous coordinates, the innermost dimension first.
    axes = np.meshgrid(*lines, indexing="ij")
    points = np.stack([*axes[::-1], np.ones_like(axes[0])], -1).reshape(-1, rank + 1)
    return (points @ theta.transpose(0, 2, 1)).reshape(sizes[0], *sizes[2:], rank)
