"""Tensors made from attributes and shapes rather than from data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx.onnx_pb import TensorProto

from ..registry import op
from ..types import HALF, STRING, Array, dtype_of_enum


@op("Constant", since=(1, 9, 11, 12, 13, 19, 21, 23, 24, 25))
def constant(
    *,
    value: Array | None = None,
    sparse_value: Array | None = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Sequence[int] | None = None,
    value_string: str | None = None,
    value_strings: Sequence[str] | None = None,
) -> Array:
    """The tensor that one attribute holds; numbers are float32 and int64."""
    given = [
        np.asarray(attribute, dtype)
        for attribute, dtype in (
            (value, None),
            (sparse_value, None),  # made dense when the model was loaded
            (value_float, np.float32),
            (value_floats, np.float32),
            (value_int, np.int64),
            (value_ints, np.int64),
            (value_string, STRING),
            (value_strings, STRING),
        )
        if attribute is not None
    ]
    if len(given) != 1:
        raise ValueError(f"a constant has one of its value attributes; {len(given)} are given")
    return given[0]


@op("ConstantOfShape", since=(9, 20, 21, 23, 24, 25))
def constant_of_shape(input: Array, *, value: Array | None = None) -> Array:
    """A tensor of the shape ``input`` ([rank]) filled with ``value`` (one element, float32 0)."""
    shape = input.tolist()
    if input.ndim != 1 or min(shape, default=0) < 0:
        raise ValueError(f"the shape {shape} must be a list of dimensions, each 0 or more")
    if value is None:
        return np.zeros(shape, np.float32)
    if value.size != 1:
        raise ValueError(f"value must hold one element, and holds {value.size}")
    return np.full(shape, value.reshape(()), value.dtype)


@op("EyeLike", since=(9, 22))
def eye_like(input: Array, *, dtype: int | None = None, k: int = 0) -> Array:
    """A matrix of the input's shape ([rows, columns]) with ones on the ``k``-th diagonal."""
    if input.ndim != 2:
        raise ValueError(f"the input must be a matrix, and has rank {input.ndim}")
    rows, columns = input.shape
    result = np.eye(rows, columns, k, dtype=np.bool_)
    return result.astype(input.dtype if dtype is None else dtype_of_enum(dtype))


@op("Range", since=(11, 27))
def range_(
    start: Array, limit: Array, delta: Array, *, stash_type: int = TensorProto.FLOAT
) -> Array:
    """``start + i * delta`` for i below ceil((limit - start) / delta).

    float16 and bfloat16 are computed in ``stash_type`` (float32) and rounded once.
    """
    dtype = start.dtype
    if dtype in HALF:
        start, limit, delta = (x.astype(dtype_of_enum(stash_type)) for x in (start, limit, delta))
    first, last, step = start.item(), limit.item(), delta.item()
    if step == 0:
        raise ValueError("delta is 0: the range would never end")
    if isinstance(step, int):
        count = max(-((first - last) // step), 0)
    else:
        steps = float(limit.reshape(()) - start.reshape(())) / step
        if not math.isfinite(steps):
            raise ValueError(f"a range from {first} to {last} by {step} has no finite length")
        count = max(math.ceil(steps), 0)
    places = np.arange(count).astype(start.dtype)
    return (places * delta.reshape(()) + start.reshape(())).astype(dtype)


@op("OneHot", since=(11, 28))
def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """``values`` ([off, on]): on where the new dimension ``axis`` of ``depth`` places stands at
    the index, which counts from the end where negative; an index out of range is nowhere on."""
    return _one_hot(indices, depth, values, axis, from_end=True)


@op("OneHot", since=9)
def one_hot_9(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """OneHot when an index below 0 was out of range."""
    return _one_hot(indices, depth, values, axis, from_end=False)


def _one_hot(indices: Array, depth: Array, values: Array, axis: int, *, from_end: bool) -> Array:
    rank = indices.ndim + 1
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is out of range for an output of rank {rank}")
    if values.shape != (2,) or depth.size != 1:
        raise ValueError(
            f"depth must be one number and values two, and have the shapes {list(depth.shape)} "
            f"and {list(values.shape)}"
        )
    places = int(depth.item())
    if places < 0:
        raise ValueError(f"depth must be 0 or more, and is {places}")
    position = np.expand_dims(indices.astype(np.int64), axis)
    if from_end:
        position = np.where(position < 0, position + places, position)
    along = [1] * rank
    along[axis] = places
    hot = position == np.arange(places).reshape(along)
    off, on = values
    return np.where(hot, on, off).astype(values.dtype, copy=False)
