"""What several families of operators need: axes, and half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from ..types import HALF

F = TypeVar("F", bound=Callable[..., Any])


def normalise_axis(axis: int, rank: int, name: str = "axis") -> int:
    """The axis counted from the front; ``ValueError`` where a tensor of that rank has none such."""
    if not -rank <= axis < rank:
        raise ValueError(f"{name} {axis} is out of range for a tensor of rank {rank}")
    return axis + rank if axis < 0 else axis


def normalise_axes(axes: Iterable[int], rank: int, name: str = "axes") -> tuple[int, ...]:
    """Each axis counted from the front; ``ValueError`` where one is out of range or named twice."""
    result = tuple(normalise_axis(int(axis), rank, name) for axis in axes)
    if len(set(result)) < len(result):
        raise ValueError(f"{name} {list(axes)} name an axis twice")
    return result


def in_float32(kernel: F) -> F:
    """Compute float16 and bfloat16 inputs in float32, and round the outputs once at the end.

    Outputs that the kernel gives as float32 take the dtype of the first half
    precision input. Other dtypes pass through untouched.
    """

    @wraps(kernel)
    def wrapped(*inputs: Any, **attributes: Any) -> Any:
        half = None
        for x in inputs:
            if isinstance(x, np.ndarray) and x.dtype in HALF:
                half = x.dtype
                break
        else:
            return kernel(*inputs, **attributes)
        widened = [
            x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype in HALF else x
            for x in inputs
        ]
        result = kernel(*widened, **attributes)
        if isinstance(result, tuple):
            return tuple(_narrow(value, half) for value in result)
        return _narrow(result, half)

    return wrapped  # type: ignore[return-value]


def _narrow(value: Any, dtype: np.dtype[Any]) -> Any:
    is_float32 = isinstance(value, (np.ndarray, np.generic)) and value.dtype == np.float32
    return np.asarray(value).astype(dtype) if is_float32 else value


def single(value: float) -> float:
    """The value as an attribute holds it, rounded to float32: so a default is the number that a
    file which writes it out would give, in float64 too."""
    return float(np.float32(value))
