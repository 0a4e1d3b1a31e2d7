"""Losses of classification: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32
from .softmax import log_softmax


@op("NegativeLogLikelihoodLoss", since=(12, 13, 22))
@in_float32
def negative_log_likelihood_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Array:
    """``-input[n, target[n, d], d] * weight[target[n, d]]``, summed up as ``reduction`` says.

    ``mean`` divides the sum by the sum of the weights that took part; ``none`` leaves
    the losses alone; those of ``ignore_index`` are 0 and take no part.

    Shapes: input [N, C, D1, ..., Dk], target [N, D1, ..., Dk], weight [C].
    """
    classes = input.shape[1]
    if target.shape != input.shape[:1] + input.shape[2:]:
        raise ValueError(
            f"targets {list(target.shape)} must have the shape of the scores {list(input.shape)} "
            "without their second axis"
        )
    counted = np.ones(target.shape, dtype=np.bool_)
    if ignore_index is not None:
        counted = target != ignore_index
    chosen = np.where(counted, target, 0)
    if np.any((chosen < 0) | (chosen >= classes)):
        raise ValueError(f"a target is outside [0, {classes})")
    factors = np.ones(classes, dtype=input.dtype) if weight is None else weight
    weights = factors[chosen] * counted
    picked = np.take_along_axis(input, chosen[:, None], axis=1)[:, 0]
    # What is ignored may be infinite, and must not become NaN.
    loss = np.where(counted, -picked * weights, 0).astype(input.dtype, copy=False)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.sum() / weights.sum()
    raise ValueError(f"reduction must be none, sum or mean, and is {reduction!r}")


@op("SoftmaxCrossEntropyLoss", since=(12, 13))
@in_float32
def softmax_cross_entropy_loss(
    scores: Array,
    labels: Array,
    weights: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """The negative log likelihood of ``log_softmax(scores)`` over the classes, and that itself.

    Shapes: scores [N, C, D1, ..., Dk], labels [N, D1, ..., Dk], weights [C].
    """
    log_prob = log_softmax(scores, axis=1)
    loss = negative_log_likelihood_loss(
        log_prob, labels, weights, ignore_index=ignore_index, reduction=reduction
    )
    return loss, log_prob
