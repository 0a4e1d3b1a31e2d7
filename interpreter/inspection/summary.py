"""A value in a few numbers, computed piece by piece, so that no second copy of it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..types import STRING, Array

_PIECE = 1 << 16
"""How many elements are looked at together."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of a value.

    ``min``, ``max``, ``mean`` and ``std`` are of the finite elements (None
    where there are none, or where the value is no tensor of numbers); a
    complex number counts as its absolute value. ``std`` is the population's.
    """

    dtype: str
    shape: tuple[int, ...] | None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    nans: int = 0
    infs: int = 0
    zeros: int = 0

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape) if self.shape is not None else 0

    @property
    def finite(self) -> bool:
        """Whether no element is NaN or infinite."""
        return not self.nans and not self.infs


def summarise(value: Any) -> Summary:
    """The statistics of a value; of a sequence or an absent value only what it is."""
    if not isinstance(value, np.ndarray):
        kind = "nothing" if value is None else f"{type(value).__name__} of {len(value)}"
        return Summary(kind, None)
    if value.dtype == STRING or value.dtype.kind in "US":
        return Summary("string", value.shape)
    nans = infs = zeros = count = 0
    low, high, mean, squares = math.inf, -math.inf, 0.0, 0.0
    for piece in pieces(value):
        finite = piece[np.isfinite(piece)]
        missing = int(np.isnan(piece).sum())
        nans += missing
        infs += piece.size - finite.size - missing
        zeros += piece.size - int(np.count_nonzero(piece))
        if not finite.size:
            continue
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        # Chan, Golub and LeVeque 1979: means and squared deviations of two parts joined.
        piece_mean = float(finite.mean())
        delta, joined = piece_mean - mean, count + finite.size
        squares += float(((finite - piece_mean) ** 2).sum())
        squares += delta * delta * count * finite.size / joined
        mean += delta * finite.size / joined
        count = joined
    if not count:
        return Summary(value.dtype.name, value.shape, nans=nans, infs=infs, zeros=zeros)
    std = math.sqrt(squares / count)
    return Summary(value.dtype.name, value.shape, low, high, mean, std, nans, infs, zeros)


def pieces(array: Array) -> Iterator[Array]:
    """The elements as float64 (complex ones by absolute value), so many at a time."""
    if not array.size:
        return
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start in range(0, array.size, _PIECE):
        piece = flat[start : start + _PIECE]
        yield np.abs(piece) if piece.dtype.kind == "c" else piece.astype(np.float64)


def histogram(array: Array, summary: Summary, bins: int = 40) -> list[int]:
    """How many finite elements fall into each of ``bins`` equal parts of [min, max]."""
    counts = np.zeros(bins, np.int64)
    if summary.min is None or summary.max is None:
        return counts.tolist()
    limits = (summary.min, summary.max)
    if limits[0] == limits[1]:
        limits = (limits[0] - 0.5, limits[1] + 0.5)
    with np.errstate(all="ignore"):
        for piece in pieces(array):
            counts += np.histogram(piece[np.isfinite(piece)], bins, limits)[0]
    return counts.tolist()
