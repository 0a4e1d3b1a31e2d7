"""A mean of windows is taken before a 1×1 convolution instead of after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..fast import FAST
from ..graph import Graph, Node
from ..types import TensorType, Type
from ._index import Index, is_pointwise, rebuild


def pool_first(graph: Graph) -> Graph:
    """Both are linear and each does its own half of the work, so either may be the first; the
    convolution then has a pixel a window to do instead of all of them."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    types: dict[str, Type] = {}
    for position, node in enumerate(graph.nodes):
        if not is_pointwise(node, inputs=1) or node.attributes.get("activation"):
            continue
        after = index.only_reader(node.outputs[0])
        if after is None:
            continue
        pool = graph.nodes[after]
        known, pooled = index.tensor(node.inputs[0]), index.tensor(pool.outputs[0])
        if pool.domain != FAST or pool.op_type != "AveragePool" or any(pool.attributes["pads"]):
            continue
        if known is None or known.shape is None or pooled is None or pooled.shape is None:
            continue
        between = f"{node.outputs[0]}/pooled"
        types[between] = TensorType(known.dtype, (*pooled.shape[:3], known.shape[3]))
        changes[position] = ()
        changes[after] = (
            replace(pool, inputs=node.inputs[:1], outputs=(between,)),
            replace(node, inputs=(between,), outputs=pool.outputs),
        )
    return rebuild(graph, changes, types=types) if changes else graph
