"""Linear models and support vector machines against onnxruntime.

Where onnxruntime 1.32 and the specification part ways:

- Regressors of one score: onnxruntime applies no LOGISTIC and no SOFTMAX, and to an SVMRegressor no
  post_transform at all; the specification applies it
  (``test_transform_of_one_score``).
- PROBIT: onnxruntime approximates it, and leaves the second of a binary model's scores unset.
- LinearClassifier without intercepts: onnxruntime refuses it; they are optional.
- SVMs without ``kernel_params``: onnxruntime refuses them; the attribute is optional.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import check_node, run_ours

import scratch_onnx.interpreter as so

ML = {"opset": 1, "domain": "ai.onnx.ml"}
TRANSFORMS = st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
DTYPES = st.sampled_from([np.float32, np.float64, np.int32, np.int64])
SEEDS = st.integers(0, 1000)


def numbers(rng: np.random.Generator, count: int) -> list[float]:
    return rng.normal(size=count).astype(np.float32).tolist()


def rows(rng: np.random.Generator, features: int, dtype: Any) -> Any:
    return (rng.normal(size=(5, features)) * 3).astype(dtype)


def labels(count: int, strings: bool) -> dict[str, Any]:
    if strings:
        return {"classlabels_strings": [f"class {k}" for k in range(count)]}
    return {"classlabels_ints": [10 * k + 1 for k in range(count)]}


@given(SEEDS, st.integers(1, 4), st.integers(1, 4), TRANSFORMS, DTYPES, st.booleans())
def test_linear_classifier(
    seed: int, features: int, scores: int, transform: str, dtype: Any, strings: bool
) -> None:
    rng = np.random.default_rng(seed)
    check_node(
        "LinearClassifier",
        [rows(rng, features, dtype)],
        outputs=2,
        coefficients=numbers(rng, scores * features),
        intercepts=numbers(rng, scores),
        post_transform=transform,
        rtol=1e-4,
        atol=1e-5,
        **labels(max(scores, 2), strings),
        **ML,
    )


def test_linear_classifier_without_intercepts() -> None:
    Y, Z = run_ours(
        "LinearClassifier",
        [np.array([[1.0, 2.0]], np.float32)],
        outputs=2,
        coefficients=[1.0, 0.0, 0.0, 1.0],
        **labels(2, False),
        **ML,
    )
    assert Y.tolist() == [11]
    assert Z.tolist() == [[1, 2]]


@given(SEEDS, st.integers(1, 4), st.integers(1, 3), TRANSFORMS)
def test_linear_regressor(seed: int, features: int, targets: int, transform: str) -> None:
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"coefficients": numbers(rng, targets * features)}
    if seed % 2:
        options["intercepts"] = numbers(rng, targets)
    if targets > 1:
        options["post_transform"] = transform
    X = rows(rng, features, np.float32)
    check_node("LinearRegressor", [X], targets=targets, rtol=1e-4, atol=1e-5, **options, **ML)


@pytest.mark.parametrize("op_type", ["LinearRegressor", "SVMRegressor"])
@pytest.mark.parametrize("transform", ["LOGISTIC", "PROBIT"])
def test_transform_of_one_score(op_type: str, transform: str) -> None:
    X = np.array([[0.25], [0.875]], np.float32)
    options = {"coefficients": [1.0], "post_transform": transform}
    (Y,) = run_ours(op_type, [X], **options, **ML)
    expected = [1 / (1 + np.exp(-x)) for x in (0.25, 0.875)]
    if transform == "PROBIT":
        expected = [statistics.NormalDist().inv_cdf(x) for x in (0.25, 0.875)]
    np.testing.assert_allclose(Y.ravel(), expected, rtol=1e-6)


def kernel(rng: np.random.Generator, kind: str) -> dict[str, Any]:
    degree = float(rng.integers(1, 4))
    return {"kernel_type": kind, "kernel_params": [float(rng.integers(1, 8)) / 8, 0.5, degree]}


KERNELS = st.sampled_from(["LINEAR", "POLY", "RBF", "SIGMOID"])


@given(SEEDS, st.integers(1, 4), st.integers(1, 5), KERNELS, st.integers(0, 1))
def test_svm_regressor(seed: int, features: int, supports: int, kind: str, one_class: int) -> None:
    rng = np.random.default_rng(seed)
    check_node(
        "SVMRegressor",
        [rows(rng, features, np.float32)],
        coefficients=numbers(rng, supports),
        support_vectors=numbers(rng, supports * features),
        n_supports=supports,
        rho=numbers(rng, 1),
        one_class=one_class,
        rtol=1e-3,  # float32 there, float64 here: powers and cancellation
        atol=1e-4,
        **kernel(rng, kind),
        **ML,
    )


def test_linear_svm_regressor() -> None:
    rng = np.random.default_rng(0)
    check_node(
        "SVMRegressor",
        [rows(rng, 3, np.float32)],
        coefficients=numbers(rng, 3),
        rho=numbers(rng, 1),
        kernel_params=[0.0, 0.0, 0.0],
        **ML,
    )


@given(
    SEEDS,
    st.integers(1, 3),
    st.lists(st.integers(1, 3), min_size=2, max_size=4),
    KERNELS,
    TRANSFORMS,
    st.booleans(),
    st.booleans(),
)
def test_svm_classifier(
    seed: int,
    features: int,
    per_class: list[int],
    kind: str,
    transform: str,
    probability: bool,
    strings: bool,
) -> None:
    rng = np.random.default_rng(seed)
    count, vectors = len(per_class), sum(per_class)
    pairs = count * (count - 1) // 2
    options: dict[str, Any] = {}
    if probability:
        options = {"prob_a": (-np.abs(numbers(rng, pairs))).tolist(), "prob_b": numbers(rng, pairs)}
    check_node(
        "SVMClassifier",
        [rows(rng, features, np.float32)],
        outputs=2,
        coefficients=numbers(rng, (count - 1) * vectors),
        support_vectors=numbers(rng, vectors * features),
        vectors_per_class=per_class,
        rho=numbers(rng, pairs),
        post_transform=transform,
        rtol=2e-3,  # float32 there, float64 here
        atol=1e-3,
        **labels(count, strings),
        **kernel(rng, kind),
        **options,
        **ML,
    )


def test_linear_svm_classifier() -> None:
    rng = np.random.default_rng(1)
    check_node(
        "SVMClassifier",
        [rows(rng, 2, np.float32)],
        outputs=2,
        coefficients=numbers(rng, 6),
        rho=numbers(rng, 1),
        kernel_params=[0.0, 0.0, 0.0],
        **labels(3, True),
        **ML,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coefficients": [1.0, 2.0, 3.0]}, "there must be 2 coefficients"),
        ({"coefficients": [1.0, 2.0], "intercepts": [1.0, 2.0]}, "must be 1 intercepts"),
        ({"coefficients": [1.0] * 4}, "targets is 1"),
        ({"coefficients": [1.0] * 2, "post_transform": "SQRT"}, "post_transform must be"),
    ],
)
def test_bad_linear_models(options: dict[str, Any], message: str) -> None:
    with pytest.raises(so.RunError, match=message):
        run_ours("LinearRegressor", [np.ones((1, 2), np.float32)], **options, **ML)


def test_labels_of_two_kinds() -> None:
    with pytest.raises(so.RunError, match="class labels of one kind"):
        run_ours(
            "LinearClassifier",
            [np.ones((1, 1), np.float32)],
            outputs=2,
            coefficients=[1.0],
            **labels(2, True),
            **labels(2, False),
            **ML,
        )
