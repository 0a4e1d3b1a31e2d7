"""Random numbers. A node with a ``seed`` gives the same numbers in every run; without one, others
each time. No two implementations of ONNX agree on the numbers themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx.onnx_pb import TensorProto

from ..registry import op
from ..types import Array, Dtype, dtype_of_enum


def _generator(seed: float | None) -> np.random.Generator:
    if seed is None:
        return np.random.default_rng()
    return np.random.default_rng(int(np.float64(seed).view(np.uint64)))


def _normal(
    shape: Sequence[int], dtype: Dtype, mean: float, scale: float, seed: float | None
) -> Array:
    return (mean + scale * _generator(seed).standard_normal(shape)).astype(dtype)


def _uniform(
    shape: Sequence[int], dtype: Dtype, low: float, high: float, seed: float | None
) -> Array:
    values = _generator(seed).uniform(low, high, shape).astype(dtype)
    # Rounding to fewer bits must not reach the bound that is excluded.
    bound = np.array(high).astype(dtype)
    below = np.nextafter(bound, np.array(low).astype(dtype))
    return np.where(values == bound, below, values)


def _dtype(dtype: int | None, like: Array) -> Dtype:
    return like.dtype if dtype is None else dtype_of_enum(dtype)


@op("RandomNormal", since=(1, 22), pure=False)
def random_normal(
    *,
    shape: Sequence[int],
    dtype: int = TensorProto.FLOAT,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """Normal numbers of the mean and standard deviation ``scale``."""
    return _normal(shape, dtype_of_enum(dtype), mean, scale, seed)


@op("RandomNormalLike", since=(1, 22), pure=False)
def random_normal_like(
    input: Array,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """RandomNormal of the input's shape, and of its dtype where none is given."""
    return _normal(input.shape, _dtype(dtype, input), mean, scale, seed)


@op("RandomUniform", since=(1, 22), pure=False)
def random_uniform(
    *,
    shape: Sequence[int],
    dtype: int = TensorProto.FLOAT,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
) -> Array:
    """Numbers spread evenly over [low, high)."""
    return _uniform(shape, dtype_of_enum(dtype), low, high, seed)


@op("RandomUniformLike", since=(1, 22), pure=False)
def random_uniform_like(
    input: Array,
    *,
    dtype: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
) -> Array:
    """RandomUniform of the input's shape, and of its dtype where none is given."""
    return _uniform(input.shape, _dtype(dtype, input), low, high, seed)


@op("Bernoulli", since=(15, 22), pure=False)
def bernoulli(input: Array, *, dtype: int | None = None, seed: float | None = None) -> Array:
    """1 with the probability that the input says ([0, 1], element by element), else 0."""
    drawn = _generator(seed).random(input.shape) < input.astype(np.float64)
    return drawn.astype(_dtype(dtype, input))


@op("Multinomial", since=(7, 22), pure=False)
def multinomial(
    input: Array,
    *,
    dtype: int = TensorProto.INT32,
    sample_size: int = 1,
    seed: float | None = None,
) -> Array:
    """``sample_size`` classes for each row of unnormalised log-probabilities ([batch, classes]):
    [batch, sample_size]."""
    if input.ndim != 2 or input.shape[1] == 0:
        raise ValueError(f"the input must be [batch, classes], and is {list(input.shape)}")
    logits = input.astype(np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    upto = np.cumsum(weights, 1)
    # A draw falls on the class whose share of the sum it lies in.
    draws = _generator(seed).random((len(input), sample_size)) * upto[:, -1:]
    classes = (draws[:, :, np.newaxis] >= upto[:, np.newaxis, :]).sum(2)
    return classes.clip(max=input.shape[1] - 1).astype(dtype_of_enum(dtype))
