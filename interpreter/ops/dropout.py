"""Dropout: the identity when a model is used, random zeros when it is trained."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array


@op("Dropout", since=(12, 13, 22), pure=False)
def dropout(
    data: Array,
    ratio: Array | None = None,
    training_mode: Array | None = None,
    *,
    seed: int | None = None,
) -> tuple[Array, Array]:
    """``mask * data / (1 - ratio)`` when training, else ``data``; and the mask, which keeps all
    where nothing is dropped.

    ``ratio`` is the share that is dropped, 0.5 where absent. With a ``seed`` every run
    draws the same mask: NumPy's legacy uniform stream of that seed, kept where
    ``uniform >= ratio``.
    """
    share = 0.5 if ratio is None else float(ratio.item())
    training = training_mode is not None and bool(training_mode.item())
    if not training:
        share = 0.0
    return _drop(data, share, seed)


@op("Dropout", since=10)
def dropout_10(data: Array, *, ratio: float = 0.5) -> tuple[Array, Array]:
    """Dropout without a training mode: the identity, with a mask that keeps all."""
    del ratio
    return data, np.ones(data.shape, dtype=np.bool_)


@op("Dropout", since=7)
def dropout_7(data: Array, *, ratio: float = 0.5) -> tuple[Array, Array]:
    """Dropout without a training mode; the mask has the data's dtype."""
    del ratio
    return data, np.ones_like(data)


@op("Dropout", since=(1, 6), pure=False)
def dropout_1(data: Array, *, is_test: int = 0, ratio: float = 0.5) -> tuple[Array, Array | None]:
    """Dropout that trains unless ``is_test`` is set, and then gives no mask."""
    if is_test:
        return data, None
    dropped, mask = _drop(data, ratio, None)
    return dropped, mask.astype(data.dtype)


def _drop(data: Array, share: float, seed: int | None) -> tuple[Array, Array]:
    if not 0 <= share < 1:
        raise ValueError(f"ratio must be in [0, 1), and is {share}")
    if share == 0:
        return data, np.ones(data.shape, dtype=np.bool_)
    stream = np.random.RandomState(None if seed is None else seed % 2**32)
    mask = stream.uniform(size=data.shape) >= share
    wide = data if data.dtype.itemsize > 2 else data.astype(np.float32)
    return (mask * wide / (1 - share)).astype(data.dtype), mask
