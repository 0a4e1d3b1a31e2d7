"""Support vector machines."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ...registry import op
from ...types import Array
from ._scores import DOMAIN, as_rows, class_labels, two_scores
from ._scores import post_transform as transform

Floats = tuple[float, ...]


def _kernel(x: Array, vectors: Array, kind: str, params: Floats | None) -> Array:
    """The kernel of each row with each support vector, (N, vectors): LINEAR x·v, POLY
    (gamma·x·v + coef0)^degree, RBF exp(-gamma·|x - v|²), SIGMOID tanh(gamma·x·v + coef0)."""
    gamma, coef0, degree = (*(params or ()), 0.0, 0.0, 0.0)[:3]
    product = x @ vectors.T
    if kind == "LINEAR":
        return product
    if kind == "POLY":
        return (gamma * product + coef0) ** degree
    if kind == "RBF":
        squares = (x * x).sum(axis=1)[:, None] - 2 * product + (vectors * vectors).sum(axis=1)
        return np.exp(-gamma * np.maximum(squares, 0))
    if kind == "SIGMOID":
        return np.tanh(gamma * product + coef0)
    raise ValueError(f"kernel_type must be LINEAR, POLY, RBF or SIGMOID, and is {kind!r}")


def _matrix(values: Floats | None, rows: int, name: str) -> Array:
    numbers = np.array(values or (), np.float64)
    if not rows or not numbers.size or numbers.size % rows:
        raise ValueError(f"{name} must be {rows} rows of numbers, and has {numbers.size} numbers")
    return numbers.reshape(rows, -1)


@op("SVMRegressor", since=1, domain=DOMAIN)
def svm_regressor(
    X: Array,
    *,
    coefficients: Floats | None = None,
    kernel_params: Floats | None = None,
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: Floats | None = None,
    support_vectors: Floats | None = None,
) -> Array:
    """X (N, F) → Σ coefficientᵢ·K(x, vectorᵢ) + rho, (N, 1) float32; its sign for ``one_class``.

    Without support vectors the coefficients are the features' own.
    """
    x = as_rows(X)
    weights = np.array(coefficients or (), np.float64)
    if n_supports:
        vectors = _matrix(support_vectors, n_supports, "support_vectors")
        x = _kernel(x, vectors, kernel_type, kernel_params)
    if x.shape[1] != len(weights):
        raise ValueError(f"there must be {x.shape[1]} coefficients, and there are {len(weights)}")
    score = (x @ weights + (rho or (0.0,))[0])[:, None]
    if one_class:
        score = np.where(score > 0, 1.0, -1.0)
    return transform(score, post_transform).astype(np.float32)


@op("SVMClassifier", since=1, domain=DOMAIN)
def svm_classifier(
    X: Array,
    *,
    classlabels_ints: tuple[int, ...] | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
    coefficients: Floats | None = None,
    kernel_params: Floats | None = None,
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Floats | None = None,
    prob_b: Floats | None = None,
    rho: Floats | None = None,
    support_vectors: Floats | None = None,
    vectors_per_class: tuple[int, ...] | None = None,
) -> tuple[Array, Array]:
    """X (N, F) → the class with the most votes (N) and scores, float32.

    Each pair of classes i < j has a score; above 0 it is a vote for i, else for j. The scores
    (LIBSVM's order of pairs) go out as they are; for two classes as (-score, score); with
    ``prob_a`` and ``prob_b`` as a probability for each class. Without support vectors the model
    is linear, with a row of coefficients and a score for each class.
    """
    labels = class_labels(classlabels_strings, classlabels_ints)
    count = len(labels)
    x = as_rows(X)
    if not vectors_per_class or not sum(vectors_per_class):
        scores = x @ _matrix(coefficients, count, "coefficients").T + (rho or (0.0,))[0]
        return labels[scores.argmax(axis=1)], transform(scores, post_transform).astype(np.float32)
    if len(vectors_per_class) != count:
        raise ValueError(
            f"vectors_per_class must have {count} numbers, and has {len(vectors_per_class)}"
        )
    vectors = _matrix(support_vectors, sum(vectors_per_class), "support_vectors")
    kernel = _kernel(x, vectors, kernel_type, kernel_params)
    pairs = list(combinations(range(count), 2))
    scores = _pair_scores(kernel, coefficients, vectors_per_class, pairs, rho)
    votes = np.zeros((len(x), count), np.intp)
    for number, (i, j) in enumerate(pairs):
        wins = scores[:, number] > 0
        votes[:, i] += wins
        votes[:, j] += ~wins
    Y = labels[votes.argmax(axis=1)]
    if prob_a:
        if not prob_b or not len(prob_a) == len(prob_b) == len(pairs):
            raise ValueError(f"prob_a and prob_b must have {len(pairs)} numbers, one a pair")
        certain = scores * np.array(prob_a) + np.array(prob_b)
        pairwise = np.clip(0.5 - 0.5 * np.tanh(0.5 * certain), 1e-7, 1 - 1e-7)
        Z = transform(_couple(pairwise, pairs, count), post_transform)
    elif len(pairs) == 1:
        Z = two_scores(scores[:, 0], post_transform, complement=post_transform != "NONE")
    else:
        Z = transform(scores, post_transform)
    return Y, Z.astype(np.float32)


def _pair_scores(
    kernel: Array,
    coefficients: Floats | None,
    vectors_per_class: tuple[int, ...],
    pairs: list[tuple[int, int]],
    rho: Floats | None,
) -> Array:
    """The score of each pair of classes, (N, pairs).

    Each vector has a coefficient against each other class: for a vector of class i, row j of
    ``coefficients`` is that against class j, counted without i itself.
    """
    if len(rho or ()) < len(pairs):
        raise ValueError(f"rho must have {len(pairs)} numbers, and has {len(rho or ())}")
    weights = _matrix(coefficients, len(vectors_per_class) - 1, "coefficients")
    ends = np.cumsum(vectors_per_class)
    own = [slice(end - size, end) for end, size in zip(ends, vectors_per_class, strict=True)]
    scores = [
        kernel[:, own[i]] @ weights[j - 1, own[i]] + kernel[:, own[j]] @ weights[i, own[j]]
        for i, j in pairs
    ]
    return np.stack(scores, axis=1) + np.array((rho or ())[: len(pairs)])


def _couple(pairwise: Array, pairs: list[tuple[int, int]], count: int) -> Array:
    """Class probabilities (N, classes) from those of the pairs (N, pairs).

    Source: T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability Estimates for Multi-class
    Classification by Pairwise Coupling", JMLR 5 (2004), algorithm 2; LIBSVM's stopping rule.
    """
    size = len(pairwise)
    r = np.zeros((size, count, count))
    for number, (i, j) in enumerate(pairs):
        r[:, i, j] = pairwise[:, number]
        r[:, j, i] = 1 - pairwise[:, number]
    Q = -r * r.swapaxes(1, 2)
    diagonal = (r * r).sum(axis=1)
    Q[:, range(count), range(count)] = diagonal
    p = np.full((size, count), 1 / count)
    for _ in range(max(100, count)):
        Qp = (Q @ p[:, :, None])[:, :, 0]
        pQp = (p * Qp).sum(axis=1)
        going = np.abs(Qp - pQp[:, None]).max(axis=1) >= 0.005 / count
        if not going.any():
            break
        before = p.copy()
        for t in range(count):
            step = (pQp - Qp[:, t]) / diagonal[:, t]
            p[:, t] += step
            pQp = (pQp + step * (step * diagonal[:, t] + 2 * Qp[:, t])) / (1 + step) ** 2
            Qp = (Qp + step[:, None] * Q[:, t]) / (1 + step)[:, None]
            p /= (1 + step)[:, None]
        p = np.where(going[:, None], p, before)
    return p
