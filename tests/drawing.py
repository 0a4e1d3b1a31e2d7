"""What hypothesis draws for operators: shapes with empty and size-1 dimensions, arrays of every
memory layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

DIMS = st.integers(0, 4)


def shapes(min_rank: int = 0, max_rank: int = 4, dims: st.SearchStrategy[int] = DIMS) -> Any:
    """Shapes, scalars and empty ones included."""
    return st.lists(dims, min_size=min_rank, max_size=max_rank).map(tuple)


def fill(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Any:
    """An array of a shape: small values, of which some repeat; strings for ``object``."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        values = random.integers(0, 2, shape)
    elif dtype.kind == "O":
        values = np.asarray(random.integers(0, 100, shape)).astype(str)
    elif dtype.kind == "u":
        values = random.integers(0, 100, shape)
    elif dtype.kind == "i":
        values = random.integers(-50, 50, shape)
    else:
        values = random.integers(-40, 40, shape) / 8
    return np.asarray(values).astype(dtype)


@st.composite
def arrays(draw: Any, shape: Any = None, dtypes: Any = (np.float32,), layouts: bool = True) -> Any:
    """Arrays of a shape (or of any), in one of the dtypes, contiguous or not."""
    if shape is None:
        shape = draw(shapes())
    array = fill(shape, draw(st.sampled_from(list(dtypes))), draw(st.integers(0, 100)))
    layout = draw(st.sampled_from(["C", "F", "strided", "reversed"])) if layouts else "C"
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided" and array.ndim:
        wide = np.repeat(array, 2, axis=-1)
        return wide[..., ::2]
    if layout == "reversed" and array.ndim:
        return array[::-1]
    return array


def axis_of(draw: Any, rank: int) -> int:
    """An axis of a tensor of that rank, counted from either end."""
    return int(draw(st.integers(-rank, rank - 1)))
