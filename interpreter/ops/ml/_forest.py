"""Decision trees as arrays, walked for all rows and all trees at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...types import Array

MODES = (
    "BRANCH_LEQ",
    "BRANCH_LT",
    "BRANCH_GTE",
    "BRANCH_GT",
    "BRANCH_EQ",
    "BRANCH_NEQ",
    "BRANCH_MEMBER",
)
LEAF = len(MODES)
_COMPARE: tuple[Callable[[Array, Array], Array], ...] = (
    np.less_equal,
    np.less,
    np.greater_equal,
    np.greater,
    np.equal,
    np.not_equal,
)
_MEMBER = MODES.index("BRANCH_MEMBER")

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


@dataclass(frozen=True, slots=True)
class Forest:
    """All trees' nodes in one list; a leaf's children are itself."""

    roots: Array
    mode: Array
    feature: Array
    threshold: Array
    children: Array
    """(nodes, 2): where to go if the comparison is false, and if it is true."""
    missing_is_true: Array
    """Whether NaN counts as true."""
    members: Array
    """(member sets, longest), filled up with NaN; ``threshold`` is the set of a BRANCH_MEMBER."""
    votes: tuple[Array, Array, Array]
    """Of each vote: its leaf, its target, its weight; sorted by leaf."""
    num_targets: int

    def leaves(self, X: Array) -> Array:
        """The leaf that each row (N, F) comes to in each tree: (N, trees)."""
        used = self.feature[self.mode != LEAF]
        if used.size and not 0 <= used.min() <= used.max() < X.shape[1]:
            raise ValueError(
                f"the trees use the features {used.min()} to {used.max()}, and X has {X.shape[1]}"
            )
        at = np.broadcast_to(self.roots, (len(X), len(self.roots))).copy()
        rows = np.arange(len(X))[:, None]
        present = [mode for mode in range(LEAF) if (self.mode == mode).any()]
        for _ in range(len(self.mode) + 1):
            mode = self.mode[at]
            if (mode == LEAF).all():
                return at
            x = X[rows, self.feature[at]]
            value = self.threshold[at]
            goes = np.isnan(x) & self.missing_is_true[at]
            for one in present:
                result = self._is_member(x, value) if one == _MEMBER else _COMPARE[one](x, value)
                goes |= result if len(present) == 1 else result & (mode == one)
            at = self.children[at, goes.astype(np.intp)]
        raise ValueError("a tree leads back to a node that leads to it, and has no end")

    def _is_member(self, x: Array, value: Array) -> Array:
        sets = np.clip(np.nan_to_num(value), 0, len(self.members) - 1).astype(np.intp)
        return (self.members[sets] == x[..., None]).any(axis=-1)

    def scores(self, X: Array, aggregate: str) -> Array:
        """The leaves' weights over all trees, aggregated target by target: (N, targets); 0 where
        no leaf votes for a target."""
        if aggregate not in AGGREGATES:
            raise ValueError(f"aggregate_function must be one of {AGGREGATES}, not {aggregate!r}")
        leaf, target, weight = self.votes
        at = self.leaves(X)
        # Each (row, tree) takes all votes of its leaf: counts[leaf] of them from first[leaf] on.
        first = np.searchsorted(leaf, at.reshape(-1), "left")
        counts = np.searchsorted(leaf, at.reshape(-1), "right") - first
        row = np.repeat(np.repeat(np.arange(len(X)), at.shape[1]), counts)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        vote = np.repeat(first, counts) + offset
        place = row * self.num_targets + target[vote]
        size = len(X) * self.num_targets
        if aggregate in ("SUM", "AVERAGE"):
            scores = np.bincount(place, weight[vote], size).astype(np.float64)
            if aggregate == "AVERAGE":
                scores /= len(self.roots)
        else:
            extreme = np.minimum if aggregate == "MIN" else np.maximum
            scores = np.full(size, np.inf if aggregate == "MIN" else -np.inf)
            extreme.at(scores, place, weight[vote])
            scores[np.bincount(place, minlength=size) == 0] = 0
        return scores.reshape(len(X), self.num_targets)


def sorted_votes(
    leaf: Array, target: Array, weight: Array, num_targets: int
) -> tuple[Array, Array, Array]:
    """The votes in the order of their leaves."""
    if target.size and not 0 <= target.min() <= target.max() < num_targets:
        raise ValueError(
            f"the leaves vote for the targets {target.min()} to {target.max()}, and there are "
            f"{num_targets}"
        )
    order = np.argsort(leaf, kind="stable")
    return leaf[order], target[order], weight[order]
