"""Linear models."""

from __future__ import annotations

import numpy as np

from ...registry import op
from ...types import Array
from ._scores import DOMAIN, as_rows, class_labels, two_scores
from ._scores import post_transform as transform


@op("LinearClassifier", since=1, domain=DOMAIN)
def linear_classifier(
    X: Array,
    *,
    classlabels_ints: tuple[int, ...] | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
    coefficients: tuple[float, ...],
    intercepts: tuple[float, ...] | None = None,
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> tuple[Array, Array]:
    """X (N, F) → the top class (N) and the scores X·coefficientsᵀ + intercepts (N, classes).

    One row of coefficients for two classes is the score of the second class, which is on top above
    0. ``multi_class`` says how the model was trained, and changes nothing here.
    """
    del multi_class
    labels = class_labels(classlabels_strings, classlabels_ints)
    scores = _scores(X, coefficients, intercepts)
    if scores.shape[1] == 1 and len(labels) == 2:
        top = (scores[:, 0] > 0).astype(np.intp)
        return labels[top], two_scores(scores[:, 0], post_transform, True).astype(np.float32)
    if scores.shape[1] != len(labels):
        raise ValueError(
            f"there are {len(labels)} labels, and coefficients for {scores.shape[1]} classes"
        )
    return labels[scores.argmax(axis=1)], transform(scores, post_transform).astype(np.float32)


@op("LinearRegressor", since=1, domain=DOMAIN)
def linear_regressor(
    X: Array,
    *,
    coefficients: tuple[float, ...] | None = None,
    intercepts: tuple[float, ...] | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> Array:
    """X (N, F) → X·coefficientsᵀ + intercepts (N, targets) float32."""
    scores = _scores(X, coefficients or (), intercepts)
    if scores.shape[1] != targets:
        raise ValueError(f"targets is {targets}, and there are {scores.shape[1]} coefficient rows")
    return transform(scores, post_transform).astype(np.float32)


def _scores(
    X: Array, coefficients: tuple[float, ...], intercepts: tuple[float, ...] | None
) -> Array:
    rows = as_rows(X)
    features = rows.shape[1]
    if not features or len(coefficients) % features or not coefficients:
        raise ValueError(
            f"there must be {features} coefficients (one a feature) for each score, and there are "
            f"{len(coefficients)} in all"
        )
    weights = np.array(coefficients).reshape(-1, features)
    if intercepts and len(intercepts) != len(weights):
        raise ValueError(
            f"there must be {len(weights)} intercepts, and there are {len(intercepts)}"
        )
    return rows @ weights.T + np.array(intercepts or 0.0)
