"""Tree ensembles against onnxruntime, on random trees.

Where onnxruntime 1.32 and the specification part ways:

- Two classes with votes for both: onnxruntime answers with the numbers 0 and 1 in place of the
  class labels, by whether the second score is above 0; here the top class is on top.
- Two classes with base values for both: onnxruntime's scores leave the first base value out; here
  each is added to its class, as the specification says.
- A regressor of one target: onnxruntime applies no LOGISTIC and no SOFTMAX.
- TreeEnsemble: onnxruntime takes post_transform 1 for LOGISTIC and 2 for SOFTMAX, the specification
  1 for SOFTMAX and 2 for LOGISTIC.
- PROBIT: onnxruntime approximates it to about 0.002.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_onnxruntime, run_ours

import scratch_onnx.interpreter as so

ML = "ai.onnx.ml"
BRANCHES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def random_trees(
    rng: np.random.Generator, trees: int, features: int, modes: list[str]
) -> tuple[dict[str, list[Any]], list[tuple[int, int]]]:
    """``nodes_*`` attributes of random trees, and (tree, number) of each leaf."""
    names = ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids")
    nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in names}
    nodes["nodes_values"] = []
    nodes["nodes_missing_value_tracks_true"] = []
    leaves = []

    def add(tree: int, depth: int, counter: list[int]) -> int:
        number = counter[0]
        counter[0] += 1
        place = len(nodes["nodes_treeids"])
        leaf = depth == 0 or (depth < 3 and rng.random() < 0.3)
        row = {
            "treeids": tree,
            "nodeids": number,
            "featureids": 0 if leaf else int(rng.integers(features)),
            "modes": "LEAF" if leaf else str(rng.choice(modes)),
            "truenodeids": 0,
            "falsenodeids": 0,
            "values": 0.0 if leaf else float(rng.integers(-2, 3)) / 2,
            "missing_value_tracks_true": int(rng.integers(2)),
        }
        for name, value in row.items():
            nodes[f"nodes_{name}"].append(value)
        if leaf:
            leaves.append((tree, number))
        else:
            nodes["nodes_truenodeids"][place] = add(tree, depth - 1, counter)
            nodes["nodes_falsenodeids"][place] = add(tree, depth - 1, counter)
        return number

    for tree in range(trees):
        add(tree, int(rng.integers(0, 4)), [0])
    return nodes, leaves


def votes(
    rng: np.random.Generator, leaves: list[tuple[int, int]], targets: list[int], prefix: str
) -> dict[str, list[Any]]:
    """Votes of each leaf for each target."""
    pairs = [(leaf, target) for leaf in leaves for target in targets]
    return {
        f"{prefix}_treeids": [tree for (tree, _), _ in pairs],
        f"{prefix}_nodeids": [number for (_, number), _ in pairs],
        f"{prefix}_ids": [target for _, target in pairs],
        f"{prefix}_weights": rng.normal(size=len(pairs)).astype(np.float32).tolist(),
    }


def rows(rng: np.random.Generator, features: int, dtype: Any) -> Any:
    """Values that often are thresholds, and some NaN."""
    X = rng.integers(-3, 4, (7, features)) / 2
    if np.dtype(dtype).kind == "f":
        X[rng.random(X.shape) < 0.1] = np.nan
    return X.astype(dtype)


seeds = st.integers(0, 10_000)
dtypes = st.sampled_from([np.float32, np.float64, np.int32, np.int64])


@given(
    seeds,
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["SUM", "AVERAGE", "MIN", "MAX"]),
    st.sampled_from([1, 3]),
    st.booleans(),
)
def test_regressor(
    seed: int, trees: int, targets: int, aggregate: str, opset: int, same: bool
) -> None:
    rng = np.random.default_rng(seed)
    nodes, leaves = random_trees(rng, trees, 3, BRANCHES[:1] if same else BRANCHES)
    attributes = nodes | votes(rng, leaves, list(range(targets)), "target")
    if seed % 2:
        attributes["base_values"] = rng.normal(size=targets).astype(np.float32).tolist()
    if targets > 1:
        attributes["post_transform"] = ["NONE", "LOGISTIC", "SOFTMAX"][seed % 3]  # type: ignore[assignment]
    check_node(
        "TreeEnsembleRegressor",
        [rows(rng, 3, np.float32 if opset == 1 or seed % 5 else np.float64)],
        opset=opset,
        domain=ML,
        n_targets=targets,
        aggregate_function=aggregate,
        **attributes,
    )


@given(seeds, st.integers(1, 4), st.integers(3, 4), st.sampled_from([1, 3]), dtypes)
def test_classifier_of_many_classes(
    seed: int, trees: int, classes: int, opset: int, dtype: Any
) -> None:
    rng = np.random.default_rng(seed)
    nodes, leaves = random_trees(rng, trees, 3, BRANCHES)
    attributes = nodes | votes(rng, leaves, list(range(classes)), "class")
    if seed % 2:
        attributes["base_values"] = rng.normal(size=classes).astype(np.float32).tolist()
    if seed % 3:
        attributes["classlabels_int64s"] = [10 * k for k in range(classes)]
    else:
        attributes["classlabels_strings"] = [f"class {k}" for k in range(classes)]
    transforms = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
    attributes["post_transform"] = transforms[seed % 4]  # type: ignore[assignment]
    check_node(
        "TreeEnsembleClassifier",
        [rows(rng, 3, dtype)],
        opset=opset,
        domain=ML,
        outputs=2,
        **attributes,
    )


@given(seeds, st.sampled_from([0, 1]), st.booleans(), st.sampled_from(["NONE", "LOGISTIC"]))
def test_classifier_of_two_classes(seed: int, only: int, positive: bool, transform: str) -> None:
    """With the weights of one class: those of probabilities, or of a decision function."""
    rng = np.random.default_rng(seed)
    nodes, leaves = random_trees(rng, 3, 3, BRANCHES)
    attributes = nodes | votes(rng, leaves, [only], "class")
    if positive:
        attributes["class_weights"] = [abs(x) / 4 for x in attributes["class_weights"]]
    if only == 0 and seed % 2:
        attributes["base_values"] = [0.125]
    check_node(
        "TreeEnsembleClassifier",
        [rows(rng, 3, np.float32)],
        opset=3,
        domain=ML,
        outputs=2,
        classlabels_strings=["no", "yes"],
        post_transform=transform,
        **attributes,
    )


STUMP: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
}
X = np.array([[0.0], [1.0]], np.float32)


def test_two_classes_that_both_have_votes() -> None:
    options = STUMP | {
        "class_treeids": [0] * 4,
        "class_nodeids": [1, 1, 2, 2],
        "class_ids": [0, 1, 0, 1],
        "class_weights": [0.75, 0.25, 0.5, 0.625],
        "classlabels_int64s": [10, 20],
    }
    Y, Z = run_ours("TreeEnsembleClassifier", [X], opset=3, domain=ML, outputs=2, **options)
    assert Y.tolist() == [10, 20]
    assert Z.tolist() == [[0.75, 0.25], [0.5, 0.625]]
    options["base_values"] = [0.0, 1.0]
    Y, Z = run_ours("TreeEnsembleClassifier", [X], opset=3, domain=ML, outputs=2, **options)
    assert Y.tolist() == [20, 20]
    assert Z.tolist() == [[0.75, 1.25], [0.5, 1.625]]


@pytest.mark.parametrize("transform", ["LOGISTIC", "PROBIT"])
def test_transform_of_one_target(transform: str) -> None:
    options = STUMP | {
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [0.25, 0.875],
        "n_targets": 1,
        "post_transform": transform,
    }
    (Y,) = run_ours("TreeEnsembleRegressor", [X], opset=3, domain=ML, **options)
    expected = [1 / (1 + np.exp(-x)) for x in (0.25, 0.875)]
    if transform == "PROBIT":
        expected = [statistics.NormalDist().inv_cdf(x) for x in (0.25, 0.875)]
    np.testing.assert_allclose(Y.ravel(), expected, rtol=1e-6)


def test_doubles_as_tensors() -> None:
    options = {name: value for name, value in STUMP.items() if name != "nodes_values"} | {
        "nodes_values_as_tensor": np.array([0.5, 0, 0]),
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights_as_tensor": np.array([0.25, 0.875]),
        "base_values_as_tensor": np.array([1.0]),
        "n_targets": 1,
    }
    options = {
        name: so_tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }
    check_node("TreeEnsembleRegressor", [X.astype(np.float64)], opset=3, domain=ML, **options)


def test_integers() -> None:
    """onnxruntime has no regressor for them."""
    options = STUMP | {
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [0.25, 0.875],
        "n_targets": 1,
    }
    for dtype in (np.int32, np.int64):
        (Y,) = run_ours("TreeEnsembleRegressor", [X.astype(dtype)], opset=1, domain=ML, **options)
        assert Y.tolist() == [[0.25], [0.875]]


def so_tensor(array: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes_modes": ["BRANCH", "LEAF", "LEAF"]}, "mode must be one of"),
        ({"nodes_truenodeids": [7, 0, 0]}, "no node has the tree and number"),
        ({"nodes_featureids": [1, 0, 0]}, "and X has 1"),
        ({"target_ids": [0, 3]}, "vote for the targets 0 to 3"),
        ({"base_values": [1.0, 2.0]}, "must be 1 base_values"),
        ({"aggregate_function": "MEAN"}, "aggregate_function must be"),
        ({"post_transform": "SQRT"}, "post_transform must be"),
    ],
)
def test_bad_trees(change: dict[str, Any], message: str) -> None:
    options = STUMP | {
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [0.25, 0.875],
        "n_targets": 1,
    }
    with pytest.raises(so.RunError, match=message):
        run_ours("TreeEnsembleRegressor", [X], opset=3, domain=ML, **(options | change))


def test_a_tree_that_has_no_end() -> None:
    options = STUMP | {
        "nodes_treeids": [0, 0],
        "nodes_nodeids": [0, 1],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ"],
        "nodes_featureids": [0, 0],
        "nodes_values": [5.0, 5.0],
        "nodes_truenodeids": [1, 1],
        "nodes_falsenodeids": [1, 1],
        "n_targets": 1,
    }
    with pytest.raises(so.RunError, match="has no end"):
        run_ours("TreeEnsembleRegressor", [X], opset=3, domain=ML, **options)


@given(seeds, st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_tree_ensemble_5(seed: int, trees: int, aggregate: int, double: bool) -> None:
    """The newer form, made from the same random trees."""
    rng = np.random.default_rng(seed)
    nodes, leaves = random_trees(rng, trees, 3, BRANCHES)
    dtype = np.float64 if double else np.float32
    inner: dict[tuple[int, int], int] = {}
    for key in zip(nodes["nodes_treeids"], nodes["nodes_nodeids"], strict=True):
        if key not in leaves:
            inner[key] = len(inner)
    roots = [inner[tree, 0] for tree in range(trees) if (tree, 0) in inner]
    if len(roots) < trees:  # a tree that is one leaf
        return
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("featureids", "truenodeids", "falsenodeids", "trueleafs", "falseleafs")
    }
    leaf_ids = {leaf: number for number, leaf in enumerate(leaves)}
    modes, splits, missing = [], [], []
    for place, tree in enumerate(nodes["nodes_treeids"]):
        if (tree, nodes["nodes_nodeids"][place]) not in inner:
            continue
        columns["featureids"].append(nodes["nodes_featureids"][place])
        for way in ("true", "false"):
            child = (tree, nodes[f"nodes_{way}nodeids"][place])
            columns[f"{way}leafs"].append(int(child not in inner))
            ids = inner if child in inner else leaf_ids
            columns[f"{way}nodeids"].append(ids[child])
        modes.append(BRANCHES.index(nodes["nodes_modes"][place]))
        splits.append(nodes["nodes_values"][place])
        missing.append(nodes["nodes_missing_value_tracks_true"][place])
    inputs = [rows(rng, 3, dtype)]
    options = {
        "opset": 5,
        "domain": ML,
        "ir_version": 10,
        "n_targets": 2,
        "aggregate_function": aggregate,
        "tree_roots": roots,
        "nodes_modes": so_tensor(np.array(modes, np.uint8)),
        "nodes_splits": so_tensor(np.array(splits, dtype)),
        "nodes_missing_value_tracks_true": missing,
        "leaf_targetids": [number % 2 for number in range(len(leaves))],
        "leaf_weights": so_tensor(rng.normal(size=len(leaves)).astype(dtype)),
        **{f"nodes_{name}": values for name, values in columns.items()},
    }
    transform = seed % 3
    swapped = (0, 2, 1)[transform]
    expected = run_onnxruntime("TreeEnsemble", inputs, post_transform=swapped, **options)
    actual = run_ours("TreeEnsemble", inputs, post_transform=transform, **options)
    # Its LOGISTIC and SOFTMAX are computed in float32.
    assert_same(actual, expected, rtol=1e-5, atol=1e-6)


MEMBERS: dict[str, Any] = {
    "opset": 5,
    "domain": ML,
    "ir_version": 10,
    "n_targets": 1,
    "tree_roots": [0],
    "nodes_modes": so_tensor(np.array([6, 6], np.uint8)),
    "nodes_splits": so_tensor(np.zeros(2, np.float32)),
    "nodes_featureids": [0, 0],
    "nodes_trueleafs": [1, 1],
    "nodes_truenodeids": [0, 1],
    "nodes_falseleafs": [0, 1],
    "nodes_falsenodeids": [1, 2],
    "leaf_targetids": [0, 0, 0],
    "leaf_weights": so_tensor(np.array([10, 20, 30], np.float32)),
    "membership_values": so_tensor(np.array([1, 3, np.nan, 2, np.nan], np.float32)),
}


def test_members() -> None:
    """x is in {1, 3}, or else in {2}: leaves 10, 20 and 30."""
    X = np.array([[1.0], [2.0], [3.0], [4.0], [np.nan]], np.float32)
    (Y,) = run_ours("TreeEnsemble", [X], **MEMBERS)
    assert Y.ravel().tolist() == [10, 20, 10, 30, 30]


@pytest.mark.parametrize("change", [{"tree_roots": [2]}, {"nodes_truenodeids": [0, 3]}])
def test_ids_that_do_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(so.RunError, match="a node or leaf that is not among"):
        run_ours("TreeEnsemble", [X], **(MEMBERS | change))
