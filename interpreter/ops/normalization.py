"""Normalizations: a mean taken off, a division by a deviation or a norm, a scale and a shift."""

from __future__ import annotations

import numpy as np

from ..registry import Context, op
from ..types import Array
from ._shared import HALF, single

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
