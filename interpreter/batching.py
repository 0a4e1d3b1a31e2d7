"""Can a model's batch be split, and along which axis of each value?

Where every sample of a batch is computed by itself, the batch may be cut into
parts: each part's values stay in the cache, parts run in several threads, and
the memory of a run does not grow with the batch. It is only done where each node
is known to keep samples apart: one rule an operator, and an operator without a
rule means no.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from .batch_rules import RECURRENT, rule_of
from .batch_view import NotSplitError, View
from .graph import Graph
from .types import TensorType


class Split(NamedTuple):
    """Along which axis each input and output holds the samples; None for an input without."""

    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    sample_bytes: int
    """The largest value of one sample, in bytes, as far as shapes are known."""
    recurrent: bool
    """Whether a node steps through time: its products want many samples at once."""


def find_split(graph: Graph) -> Split | None:
    """How the graph's batch may be split, None where it may not."""
    symbol = next(
        (
            value.type.shape[0]
            for value in graph.inputs
            if isinstance(value.type, TensorType) and value.type.shape
        ),
        None,
    )
    if not isinstance(symbol, str):
        return None
    axes: dict[str, int | None] = {}
    inputs: list[int | None] = []
    for value in graph.inputs:
        shape = value.type.shape if isinstance(value.type, TensorType) else None
        if shape is None or (symbol in shape and (shape[0] != symbol or shape.count(symbol) > 1)):
            return None
        axes[value.name] = 0 if symbol in shape else None
        inputs.append(axes[value.name])
    view = View(graph, axes)
    try:
        for node in graph.nodes:
            view.visit(node, rule_of(node))
    except NotSplitError:
        return None
    outputs = [axes.get(value.name) for value in graph.outputs]
    if any(axis is None for axis in outputs):
        return None
    return Split(
        inputs=tuple(inputs),
        outputs=tuple(axis for axis in outputs if axis is not None),
        sample_bytes=view.sample_bytes(),
        recurrent=any(node.op_type in RECURRENT for node in graph.nodes),
    )


def parts_of(samples: int, count: int) -> Sequence[tuple[int, int]]:
    """The samples cut into ``count`` parts, none larger than another by more than one."""
    return list(pairwise(samples * index // count for index in range(count + 1)))
