"""Ensembles of decision trees, in both of the standard's forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...registry import op
from ...types import Array
from ._forest import AGGREGATES, LEAF, MODES, Forest, sorted_votes
from ._scores import DOMAIN, as_rows, class_labels, post_transform, two_scores

_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

Ints = tuple[int, ...]
Floats = tuple[float, ...]


@op("TreeEnsemble", since=5, domain=DOMAIN)
def tree_ensemble(
    X: Array,
    *,
    aggregate_function: int = 1,
    leaf_targetids: Ints,
    leaf_weights: Array,
    membership_values: Array | None = None,
    n_targets: int | None = None,
    nodes_falseleafs: Ints,
    nodes_falsenodeids: Ints,
    nodes_featureids: Ints,
    nodes_hitrates: Array | None = None,
    nodes_missing_value_tracks_true: Ints | None = None,
    nodes_modes: Array,
    nodes_splits: Array,
    nodes_trueleafs: Ints,
    nodes_truenodeids: Ints,
    post_transform: int = 0,
    tree_roots: Ints,
) -> Array:
    """X (N, F) → (N, targets): inner nodes and leaves in lists of their own.

    The ids of a node's children are positions among the nodes, or among the leaves where
    ``nodes_trueleafs`` (``nodes_falseleafs``) is 1. Hit rates are a hint.
    """
    del nodes_hitrates
    if not 0 <= aggregate_function < len(AGGREGATES) or not 0 <= post_transform < len(_TRANSFORMS):
        raise ValueError(
            f"aggregate_function must be 0 to 3 and post_transform 0 to 4; they are "
            f"{aggregate_function} and {post_transform}"
        )
    forest = _remembered(
        _forest_of_lists,
        nodes_modes,
        nodes_featureids,
        nodes_splits,
        nodes_truenodeids,
        nodes_trueleafs,
        nodes_falsenodeids,
        nodes_falseleafs,
        nodes_missing_value_tracks_true,
        membership_values,
        tree_roots,
        leaf_targetids,
        leaf_weights,
        num_targets=n_targets or max(leaf_targetids, default=0) + 1,
    )
    scores = forest.scores(as_rows(X), AGGREGATES[aggregate_function])
    return _transform(scores, _TRANSFORMS[post_transform]).astype(X.dtype)


def _forest_of_lists(
    modes: Array,
    featureids: Ints,
    splits: Array,
    truenodeids: Ints,
    trueleafs: Ints,
    falsenodeids: Ints,
    falseleafs: Ints,
    missing_tracks_true: Ints | None,
    membership_values: Array | None,
    roots: Ints,
    leaf_targetids: Ints,
    leaf_weights: Array,
    *,
    num_targets: int,
) -> Forest:
    """The newer form: the leaves are put behind the nodes."""
    nodes, leaves = len(modes), len(leaf_weights)
    mode = np.concatenate([modes.astype(np.intp), np.full(leaves, LEAF)])
    threshold = np.concatenate([splits.astype(np.float64), np.zeros(leaves)])
    member = mode == MODES.index("BRANCH_MEMBER")
    threshold[member] = np.arange(member.sum())
    itself = np.arange(nodes, nodes + leaves)
    false, true = (
        np.concatenate([np.array(ids, np.intp) + nodes * np.array(is_leaf, np.intp), itself])
        for ids, is_leaf in ((falsenodeids, falseleafs), (truenodeids, trueleafs))
    )
    for ids, end in ((false, nodes + leaves), (true, nodes + leaves), (roots, nodes)):
        if len(ids) and not 0 <= min(ids) <= max(ids) < end:
            raise ValueError(
                f"the trees name a node or leaf that is not among the {nodes} nodes and {leaves} "
                f"leaves"
            )
    missing = np.zeros(nodes + leaves, np.bool_)
    missing[:nodes] = missing_tracks_true or 0
    targets = np.array(leaf_targetids, np.intp)
    return Forest(
        roots=np.array(roots, np.intp),
        mode=mode,
        feature=np.concatenate([np.array(featureids, np.intp), np.zeros(leaves, np.intp)]),
        threshold=threshold,
        children=np.stack([false, true], axis=1),
        missing_is_true=missing,
        members=_member_sets(membership_values),
        votes=sorted_votes(itself, targets, leaf_weights.astype(np.float64), num_targets),
        num_targets=num_targets,
    )


def _transform(scores: Array, name: str) -> Array:
    """``post_transform``, where an attribute has its name."""
    return post_transform(scores, name)


def _member_sets(values: Array | None) -> Array:
    """The sets that NaN separates, as rows filled up with NaN."""
    if values is None or not values.size:
        return np.full((1, 1), np.nan)
    values = values.astype(np.float64).reshape(-1)
    ends = np.flatnonzero(np.isnan(values)).tolist()
    if not ends or ends[-1] != len(values) - 1:
        ends.append(len(values))
    starts = [0, *(end + 1 for end in ends[:-1])]
    longest = max(end - start for start, end in zip(starts, ends, strict=True))
    sets = np.full((len(ends), max(longest, 1)), np.nan)
    for row, start, end in zip(sets, starts, ends, strict=True):
        row[: end - start] = values[start:end]
    return sets


# A forest is made once from the attributes of a node, which are the same objects at each run. (To
# compare the attributes would take longer than to walk the trees.)
_MADE: dict[tuple[int, ...], tuple[tuple[Any, ...], Forest]] = {}
_MOST_MADE = 64


def _remembered(make: Callable[..., Forest], *attributes: Any, num_targets: int) -> Forest:
    """The forest that ``make`` makes of the attributes."""
    key = (*map(id, attributes), num_targets)
    made = _MADE.get(key)
    if made is None:
        while len(_MADE) >= _MOST_MADE:
            _MADE.pop(next(iter(_MADE)), None)
        # The attributes are kept beside it, so that no other object can have their ids.
        made = _MADE[key] = attributes, make(*attributes, num_targets=num_targets)
    return made[1]


def _forest_of_names(
    treeids: Ints,
    nodeids: Ints,
    featureids: Ints | None,
    modes: tuple[str, ...],
    values: Floats | Array | None,
    truenodeids: Ints | None,
    falsenodeids: Ints | None,
    missing_tracks_true: Ints | None,
    vote_treeids: Ints,
    vote_nodeids: Ints,
    vote_targets: Ints,
    vote_weights: Floats | Array | None,
    *,
    num_targets: int,
) -> Forest:
    """The older form: nodes and leaves in one list, named by tree and number."""
    count = len(modes)
    unknown = sorted(set(modes) - {*MODES, "LEAF"})
    if unknown:
        raise ValueError(f"a node's mode must be one of {', '.join(MODES)}, LEAF; not {unknown[0]}")
    if not len(treeids) == len(nodeids) == count:
        raise ValueError(
            f"nodes_treeids, nodes_nodeids and nodes_modes must have one length, and have "
            f"{len(treeids)}, {len(nodeids)} and {count}"
        )
    place = {key: number for number, key in enumerate(zip(treeids, nodeids, strict=True))}

    def places(trees: Sequence[int], nodes: Sequence[int]) -> Array:
        try:
            return np.array([place[key] for key in zip(trees, nodes, strict=True)], np.intp)
        except KeyError as error:
            raise ValueError(f"no node has the tree and number {error.args[0]}") from None

    mode = np.array([LEAF if name == "LEAF" else MODES.index(name) for name in modes], np.intp)
    inner = np.flatnonzero(mode != LEAF)
    children = np.repeat(np.arange(count)[:, None], 2, axis=1)
    inner_trees = [treeids[number] for number in inner]
    for column, ids in enumerate((falsenodeids, truenodeids)):
        children[inner, column] = places(inner_trees, [(ids or ())[number] for number in inner])
    first_of_tree: dict[int, int] = {}
    is_child = np.zeros(count, np.bool_)
    is_child[children[inner].reshape(-1)] = True
    for number in np.flatnonzero(~is_child).tolist():
        first_of_tree.setdefault(treeids[number], number)
    for tree in treeids:
        if tree not in first_of_tree:
            raise ValueError(f"tree {tree} has no root: each of its nodes is another's child")

    def column_of(numbers: Sequence[float] | Array | None, dtype: type) -> Array:
        given: Array = np.array(() if numbers is None else numbers, dtype)
        return given if given.size else np.zeros(count, dtype)

    return Forest(
        roots=np.array(list(first_of_tree.values()), np.intp),
        mode=mode,
        feature=column_of(featureids, np.intp),
        threshold=column_of(values, np.float64),
        children=children,
        missing_is_true=column_of(missing_tracks_true, np.bool_),
        members=_member_sets(None),
        votes=sorted_votes(
            places(vote_treeids, vote_nodeids),
            np.array(vote_targets, np.intp),
            _numbers(vote_weights, None),
            num_targets,
        ),
        num_targets=num_targets,
    )


def _numbers(floats: Floats | Array | None, tensor: Array | None) -> Array:
    """An attribute that is there as floats, or as a tensor of doubles."""
    given = tensor if tensor is not None else () if floats is None else floats
    return np.array(given, np.float64).reshape(-1)


@op("TreeEnsembleRegressor", since=(1, 3, 5), domain=DOMAIN)
def tree_ensemble_regressor(
    X: Array,
    *,
    aggregate_function: str = "SUM",
    base_values: Floats | None = None,
    base_values_as_tensor: Array | None = None,
    n_targets: int | None = None,
    nodes_falsenodeids: Ints | None = None,
    nodes_featureids: Ints | None = None,
    nodes_hitrates: Floats | None = None,
    nodes_hitrates_as_tensor: Array | None = None,
    nodes_missing_value_tracks_true: Ints | None = None,
    nodes_modes: tuple[str, ...] = (),
    nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (),
    nodes_truenodeids: Ints | None = None,
    nodes_values: Floats | None = None,
    nodes_values_as_tensor: Array | None = None,
    post_transform: str = "NONE",
    target_ids: Ints = (),
    target_nodeids: Ints = (),
    target_treeids: Ints = (),
    target_weights: Floats | None = None,
    target_weights_as_tensor: Array | None = None,
) -> Array:
    """X (N, F) → (N, n_targets) float32: the leaves' weights aggregated over the trees, and the
    base values added. Hit rates are a hint."""
    del nodes_hitrates, nodes_hitrates_as_tensor
    num_targets = n_targets or max(target_ids, default=0) + 1
    forest = _remembered(
        _forest_of_names,
        nodes_treeids,
        nodes_nodeids,
        nodes_featureids,
        nodes_modes,
        nodes_values if nodes_values_as_tensor is None else nodes_values_as_tensor,
        nodes_truenodeids,
        nodes_falsenodeids,
        nodes_missing_value_tracks_true,
        target_treeids,
        target_nodeids,
        target_ids,
        target_weights if target_weights_as_tensor is None else target_weights_as_tensor,
        num_targets=num_targets,
    )
    scores = forest.scores(as_rows(X), aggregate_function)
    base = _numbers(base_values, base_values_as_tensor)
    if len(base):
        if len(base) != num_targets:
            raise ValueError(f"there must be {num_targets} base_values, and there are {len(base)}")
        scores = scores + base
    return _transform(scores, post_transform).astype(np.float32)


@op("TreeEnsembleClassifier", since=(1, 3, 5), domain=DOMAIN)
def tree_ensemble_classifier(
    X: Array,
    *,
    base_values: Floats | None = None,
    base_values_as_tensor: Array | None = None,
    class_ids: Ints = (),
    class_nodeids: Ints = (),
    class_treeids: Ints = (),
    class_weights: Floats | None = None,
    class_weights_as_tensor: Array | None = None,
    classlabels_int64s: Ints | None = None,
    classlabels_strings: tuple[str, ...] | None = None,
    nodes_falsenodeids: Ints | None = None,
    nodes_featureids: Ints | None = None,
    nodes_hitrates: Floats | None = None,
    nodes_hitrates_as_tensor: Array | None = None,
    nodes_missing_value_tracks_true: Ints | None = None,
    nodes_modes: tuple[str, ...] = (),
    nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (),
    nodes_truenodeids: Ints | None = None,
    nodes_values: Floats | None = None,
    nodes_values_as_tensor: Array | None = None,
    post_transform: str = "NONE",
) -> tuple[Array, Array]:
    """X (N, F) → the top class (N) and the scores (N, classes) float32: the sums of the leaves'
    weights over the trees, and the base values.

    Where there are two classes and all weights are for one of them, they are the score of the
    second class: it is on top above 0.5 where no weight is negative (probabilities), else above 0.
    """
    del nodes_hitrates, nodes_hitrates_as_tensor
    labels = class_labels(classlabels_strings, classlabels_int64s)
    forest = _remembered(
        _forest_of_names,
        nodes_treeids,
        nodes_nodeids,
        nodes_featureids,
        nodes_modes,
        nodes_values if nodes_values_as_tensor is None else nodes_values_as_tensor,
        nodes_truenodeids,
        nodes_falsenodeids,
        nodes_missing_value_tracks_true,
        class_treeids,
        class_nodeids,
        class_ids,
        class_weights if class_weights_as_tensor is None else class_weights_as_tensor,
        num_targets=len(labels),
    )
    scores = forest.scores(as_rows(X), "SUM")
    base = _numbers(base_values, base_values_as_tensor)
    if len(labels) == 2 and len(set(class_ids)) == 1 and len(base) < 2:
        only = class_ids[0]
        scores[:, only] += base.sum()
        score = scores[:, only]
        positive = bool((forest.votes[2] >= 0).all())
        Y = labels[(score > (0.5 if positive else 0)).astype(np.intp)]
        if only == 0:
            Z = two_scores(score, post_transform, complement=positive)
        else:
            Z = _transform(scores, post_transform)
        return Y, Z.astype(np.float32)
    if len(base):
        if len(base) != len(labels):
            raise ValueError(f"there must be {len(labels)} base_values, and there are {len(base)}")
        scores = scores + base
    return labels[scores.argmax(axis=1)], _transform(scores, post_transform).astype(np.float32)
