"""What the models have in common: class labels, and the transforms of their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...types import Array
from .._erf import erf

DOMAIN = "ai.onnx.ml"


def class_labels(strings: Sequence[str] | None, ints: Sequence[int] | None) -> Array:
    """The labels, of which the node must give one kind."""
    if bool(strings) == bool(ints):
        raise ValueError("the node must have class labels of one kind: strings or integers")
    return np.array(strings, object) if strings else np.array(ints, np.int64)


def as_rows(X: Array) -> Array:
    """The features as float64 rows: [F] is one row."""
    if X.ndim not in (1, 2):
        raise ValueError(f"X must have the shape [N, F] or [F], and has {list(X.shape)}")
    return np.atleast_2d(X).astype(np.float64)


def post_transform(scores: Array, name: str) -> Array:
    """The transform of the score rows (N, E): NONE, LOGISTIC, SOFTMAX, SOFTMAX_ZERO (in which a
    score of 0 stays 0) or PROBIT (the inverse of the normal distribution)."""
    if name == "NONE":
        return scores
    if name == "LOGISTIC":
        return 0.5 + 0.5 * np.tanh(0.5 * scores)
    if name in ("SOFTMAX", "SOFTMAX_ZERO"):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        if name == "SOFTMAX_ZERO":
            # onnxruntime's idea of 0 too
            powers = np.where(np.abs(scores) <= 1e-7, 0, powers)
        total = powers.sum(axis=1, keepdims=True)
        return powers / np.where(total == 0, 1, total)
    if name == "PROBIT":
        return _probit(scores)
    raise ValueError(
        f"post_transform must be NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, and is {name!r}"
    )


def two_scores(score: Array, name: str, complement: bool) -> Array:
    """The scores (N, 2) of a model that has one score, that of the second class.

    The first class has 1 - score, or without ``complement`` -score; with LOGISTIC both are
    logistic, and a softmax has nothing to do. The standard leaves this open: it is what
    onnxruntime does.
    """
    if name == "LOGISTIC":
        return post_transform(np.stack([-score, score], axis=1), name)
    pair = np.stack([1 - score if complement else -score, score], axis=1)
    return post_transform(pair, "NONE" if name.startswith("SOFTMAX") else name)


def _probit(p: Array) -> Array:
    """x with Φ(x) = p: an approximation (S. Winitzki, 2008), and Newton's steps from there."""
    with np.errstate(all="ignore"):
        logarithm = np.log(4 * p * (1 - p))
        half = 2 / (np.pi * 0.147) + 0.5 * logarithm
        x = np.sign(p - 0.5) * np.sqrt(2 * (np.sqrt(half * half - logarithm / 0.147) - half))
        for _ in range(3):
            density = np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
            step = (0.5 * (1 + erf(x / np.sqrt(2))) - p) / density
            x = np.where(np.isfinite(step), x - step, x)
    return x
