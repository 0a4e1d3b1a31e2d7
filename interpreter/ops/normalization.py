"""Normalizations: a mean taken off, a division by a deviation or a norm, a scale and a shift."""

from __future__ import annotations

from math import prod

import numpy as np

from ..registry import Context, op
from ..types import HALF, Array, Dtype, dtype_of_enum, enum_of_dtype
from ._shared import in_float32, normalise_axes, normalise_axis, single
from ._windows import place_windows

EPSILON = single(1e-5)
MOMENTUM = single(0.9)


def _wide(x: Array) -> Array:
    """Half precision as float32; other dtypes as they are."""
    return x.astype(np.float32) if x.dtype in HALF else x


@op("BatchNormalization", since=(14, 15))
def batch_normalization(
    x: Array,
    scale: Array,
    b: Array,
    input_mean: Array,
    input_var: Array,
    *,
    epsilon: float = EPSILON,
    momentum: float = MOMENTUM,
    training_mode: int = 0,
) -> Array | tuple[Array, ...]:
    """``(x - mean) / sqrt(var + epsilon) * scale + b``, channel by channel.

    Mean and (population) variance are the given ones, or when training those of x
    itself over all axes but the channels; then the running ones are outputs too:
    ``running = input * momentum + current * (1 - momentum)``.

    Shapes: x [N, C, ...], or [N] for a single channel; all else [C]. Source: Ioffe
    and Szegedy, https://arxiv.org/abs/1502.03167.
    """
    if not training_mode:
        return _normalise_batch(x, scale, b, input_mean, input_var, epsilon)
    y, running, _ = _train(x, scale, b, (input_mean, input_var), epsilon, momentum)
    return y, *running


@op("BatchNormalization", since=9)
def batch_normalization_9(
    x: Array,
    scale: Array,
    b: Array,
    mean: Array,
    var: Array,
    *,
    epsilon: float = EPSILON,
    momentum: float = MOMENTUM,
    context: Context = Context(),  # noqa: B008
) -> Array | tuple[Array, ...]:
    """BatchNormalization whose number of outputs tells the mode: with more than one it trains.

    The last two are the batch's own mean and variance.
    """
    return batch_normalization_7(
        x, scale, b, mean, var, epsilon=epsilon, momentum=momentum, context=context
    )


@op("BatchNormalization", since=7)
def batch_normalization_7(
    x: Array,
    scale: Array,
    b: Array,
    mean: Array,
    var: Array,
    *,
    epsilon: float = EPSILON,
    momentum: float = MOMENTUM,
    spatial: int = 1,
    context: Context = Context(),  # noqa: B008
) -> Array | tuple[Array, ...]:
    """The same with ``spatial``: where it is 0, all but x are [C, D1, ..., Dn] and each element
    of an image has statistics of its own."""
    return batch_normalization_1(
        x,
        scale,
        b,
        mean,
        var,
        epsilon=epsilon,
        is_test=int(context.num_outputs == 1),
        momentum=momentum,
        spatial=spatial,
    )


@op("BatchNormalization", since=(1, 6))
def batch_normalization_1(
    x: Array,
    scale: Array,
    b: Array,
    mean: Array,
    var: Array,
    *,
    epsilon: float = EPSILON,
    is_test: int = 0,
    momentum: float = MOMENTUM,
    spatial: int = 1,
) -> Array | tuple[Array, ...]:
    """The same with ``is_test`` to tell the mode."""
    if is_test:
        return _normalise_batch(x, scale, b, mean, var, epsilon, spatial)
    y, running, saved = _train(x, scale, b, (mean, var), epsilon, momentum, spatial)
    return y, *running, *saved


def _normalise_batch(
    x: Array, scale: Array, b: Array, mean: Array, var: Array, epsilon: float, spatial: int = 1
) -> Array:
    scale, b, mean, var = (
        _along_channels(_wide(parameter), x, spatial) for parameter in (scale, b, mean, var)
    )
    y = _wide(x) - mean
    y = y * (scale / np.sqrt(var + epsilon))
    return (y + b).astype(x.dtype, copy=False)


def _along_channels(parameter: Array, x: Array, spatial: int) -> Array:
    """A parameter in a shape that broadcasts to x [N, C, ...] or [N]."""
    channels = x.shape[1:2] or (1,)
    expected = channels if spatial else x.shape[1:]
    if parameter.shape != expected:
        raise ValueError(
            f"scale, bias, mean and variance of {list(x.shape)} must have the shape "
            f"{list(expected)}, and one has {list(parameter.shape)}"
        )
    return parameter if not spatial else parameter.reshape(-1, *(1,) * (x.ndim - 2))


def _train(
    x: Array,
    scale: Array,
    b: Array,
    old: tuple[Array, Array],
    epsilon: float,
    momentum: float,
    spatial: int = 1,
) -> tuple[Array, list[Array], list[Array]]:
    """The output, the running mean and variance, and the batch's own."""
    axes = tuple(axis for axis in range(x.ndim) if axis != 1) if spatial else (0,)
    wide = _wide(x)
    mean, var = np.atleast_1d(wide.mean(axis=axes)), np.atleast_1d(wide.var(axis=axes))
    running = [
        (_wide(before) * momentum + now * (1 - momentum)).astype(before.dtype)
        for before, now in zip(old, (mean, var), strict=True)
    ]
    y = _normalise_batch(x, scale, b, mean, var, epsilon, spatial)
    saved = [now.astype(before.dtype) for before, now in zip(old, (mean, var), strict=True)]
    return y, running, saved


@op("InstanceNormalization", since=(1, 6, 22))
@in_float32
def instance_normalization(
    input: Array, scale: Array, b: Array, *, epsilon: float = EPSILON
) -> Array:
    """``(x - mean) / sqrt(var + epsilon) * scale + b``, each channel of each image by itself.

    Shapes: input [N, C, D1, ..., Dn], scale and b [C].
    """
    axes = tuple(range(2, input.ndim))
    y = _standardise(input, axes, epsilon)[0]
    return y * _along_channels(scale, input, 1) + _along_channels(b, input, 1)


def _standardise(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """``(x - mean) / sqrt(var + epsilon)`` over the axes, the mean, and 1 over the root."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    var = np.square(centred).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(var + epsilon)
    return centred * inverse, mean, inverse


def _stash(x: Array, stash_type: int) -> Array:
    """``x`` in the dtype that the statistics are computed in; bfloat16 by way of float32."""
    dtype = dtype_of_enum(stash_type)
    return x.astype(np.float32 if dtype in HALF else dtype, copy=False)


def _scale_and_shift(y: Array, scale: Array, b: Array | None, dtype: Dtype) -> Array:
    """``y * scale + b``, in float32 at least, and rounded once."""
    result = y * _wide(scale)
    if b is not None:
        result = result + _wide(b)
    if result.shape != y.shape:
        shapes = [list(scale.shape)] + ([] if b is None else [list(b.shape)])
        raise ValueError(f"scale and bias {shapes} do not broadcast to x, {list(y.shape)}")
    return result.astype(dtype, copy=False)


@op("LayerNormalization", since=17)
def layer_normalization(
    x: Array,
    scale: Array,
    b: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = EPSILON,
    stash_type: int = 1,
) -> tuple[Array, Array, Array]:
    """``(x - mean) / sqrt(var + epsilon) * scale + b`` over all axes from ``axis`` on.

    Mean and 1 / sqrt(var + epsilon), the other two outputs, are computed and given in
    ``stash_type`` (1 is float32, for double too). Scale and bias broadcast to x. Source: Ba,
    Kiros and Hinton, https://arxiv.org/abs/1607.06450.
    """
    axes = tuple(range(normalise_axis(axis, x.ndim), x.ndim))
    y, mean, inverse = _standardise(_stash(x, stash_type), axes, epsilon)
    stash = dtype_of_enum(stash_type)
    return (
        _scale_and_shift(y, scale, b, x.dtype),
        mean.astype(stash, copy=False),
        inverse.astype(stash, copy=False),
    )


@op("RMSNormalization", since=23)
def rms_normalization(
    x: Array, scale: Array, *, axis: int = -1, epsilon: float = EPSILON, stash_type: int = 1
) -> Array:
    """``x / sqrt(mean(x^2) + epsilon) * scale`` over all axes from ``axis`` on.

    Computed in ``stash_type``; the output has the scale's dtype. Source: Zhang and
    Sennrich, https://arxiv.org/abs/1910.07467.
    """
    axes = tuple(range(normalise_axis(axis, x.ndim), x.ndim))
    wide = _stash(x, stash_type)
    root = np.sqrt(np.square(wide).mean(axis=axes, keepdims=True) + epsilon)
    return _scale_and_shift(wide / root, scale, None, scale.dtype)


@op("GroupNormalization", since=21)
def group_normalization(
    x: Array,
    scale: Array,
    bias: Array,
    *,
    num_groups: int,
    epsilon: float = EPSILON,
    stash_type: int = 1,
) -> Array:
    """``(x - mean) / sqrt(var + epsilon) * scale + bias``, each group of channels by itself.

    Shapes: x [N, C, D1, ..., Dn], scale and bias [C]. Source: Wu and He,
    https://arxiv.org/abs/1803.08494.
    """
    if num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"num_groups {num_groups} does not divide the {x.shape[1]} channels")
    groups = _stash(x, stash_type).reshape(
        x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:]
    )
    y = _standardise(groups, tuple(range(2, groups.ndim)), epsilon)[0].reshape(x.shape)
    scale, bias = _along_channels(scale, x, 1), _along_channels(bias, x, 1)
    return _scale_and_shift(y, scale, bias, x.dtype)


@op("GroupNormalization", since=18)
@in_float32
def group_normalization_18(
    x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = EPSILON
) -> Array:
    """GroupNormalization with a scale and a bias for each group: [num_groups]."""
    repeats = x.shape[1] // max(1, num_groups)
    return group_normalization(
        x,
        scale.repeat(repeats),
        bias.repeat(repeats),
        num_groups=num_groups,
        epsilon=epsilon,
        stash_type=enum_of_dtype(x.dtype),
    )


@op("MeanVarianceNormalization", since=(9, 13))
@in_float32
def mean_variance_normalization(x: Array, *, axes: tuple[int, ...] = (0, 2, 3)) -> Array:
    """``(x - mean) / (std + 1e-9)`` over the axes, as the standard's function body has it."""
    where = normalise_axes(axes, x.ndim)
    centred = x - x.mean(axis=where, keepdims=True)
    std = np.sqrt(np.square(centred).mean(axis=where, keepdims=True))
    return centred / (std + 1e-9)


@op("LpNormalization", since=(1, 22))
@in_float32
def lp_normalization(input: Array, *, axis: int = -1, p: int = 2) -> Array:
    """``x / norm`` along one axis: p is 1 or 2; where the norm is 0, so is the result."""
    axis = normalise_axis(axis, input.ndim)
    if p not in (1, 2):
        raise ValueError(f"p must be 1 or 2, and is {p}")
    norm = np.linalg.norm(input, ord=p, axis=axis, keepdims=True)
    return input / np.where(norm == 0, 1, norm)


@op("LRN", since=(1, 13))
@in_float32
def lrn(
    x: Array,
    *,
    size: int,
    alpha: float = single(1e-4),
    beta: float = 0.75,
    bias: float = 1.0,
) -> Array:
    """``x / (bias + alpha / size * s)^beta``, s the sum of squares over ``size`` channels around.

    Of an even number of neighbours one more comes from above. Shape: [N, C, D1, ..., Dn].
    Source: Krizhevsky, Sutskever and Hinton, NIPS 2012.
    """
    squares = np.square(x).reshape(*x.shape[:2], prod(x.shape[2:]))
    windows = place_windows(squares.shape[1:], (size, 1), pads=((size - 1) // 2, 0, size // 2, 0))
    sums = windows.reduce(squares, np.add, 0).reshape(x.shape)
    return x / (bias + alpha / size * sums) ** beta
