"""The limited broadcasting of binary operators before opset 7: ``axis`` and ``broadcast``."""

from __future__ import annotations

from ..types import Array
from ._shared import normalise_axis


def align(a: Array, b: Array, axis: int | None, broadcast: int) -> Array:
    """``b`` in a shape that NumPy broadcasts to ``a``'s as opset 6 and before meant it.

    Without ``broadcast`` the shapes must be equal. With it, ``b`` holds one
    element, or its dimensions are those of ``a`` from ``axis`` on (the last
    ones where ``axis`` is None). Dimensions of 1 within ``b`` stretch too:
    the specification did not have that yet, but files that rely on it exist.
    """
    if not broadcast:
        if a.shape != b.shape:
            raise ValueError(
                f"without the attribute broadcast=1, the shapes {list(a.shape)} and "
                f"{list(b.shape)} must be equal before opset 7"
            )
        return b
    if b.size == 1:
        return b.reshape(())
    start = a.ndim - b.ndim if axis is None else normalise_axis(axis, a.ndim)
    covered = a.shape[max(start, 0) : max(start, 0) + b.ndim]
    if (
        start < 0
        or len(covered) < b.ndim
        or any(m not in (1, n) for m, n in zip(b.shape, covered, strict=True))
    ):
        raise ValueError(
            f"the shape {list(b.shape)} must be a contiguous part of {list(a.shape)} "
            f"beginning at axis {start} before opset 7"
        )
    return b.reshape(b.shape + (1,) * (a.ndim - start - b.ndim))
