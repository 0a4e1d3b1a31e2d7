"""Nodes whose inputs are all constants are computed once, when the model is loaded."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import ScratchOnnxError
from ..graph import Graph, Node, Value
from ..plan import compile_graph
from ..support import operator_of
from ..types import Array
from ._index import Index

MAX_BYTES = 64 * 2**20
"""A constant larger than this is computed at run time: it would only bloat the session."""


def fold_constants(graph: Graph) -> Graph:
    """Replace every pure node of constants by its value, and shapes that are known by numbers."""
    index = Index(graph)
    constants: dict[str, Array] = dict(index.constants)
    kept: list[Node] = []
    for node in graph.nodes:
        values = _compute(node, constants, index)
        if values is None:
            kept.append(node)
        else:
            constants.update(values)
    outer = {k: v for k, v in graph.initializers.items() if k not in index.constants}
    return replace(graph, nodes=tuple(kept), initializers={**outer, **constants})


def _compute(node: Node, constants: dict[str, Array], index: Index) -> dict[str, Array] | None:
    if node.op_type == "Shape" and not node.domain:
        known = index.tensor(node.inputs[0])
        if known is None or known.shape is None or known.sparse:
            return None
        wanted = known.shape[node.attributes.get("start", 0) : node.attributes.get("end")]
        if any(not isinstance(dim, int) for dim in wanted):
            return None
        return {node.outputs[0]: np.array(wanted, np.int64)}
    if any(name and name not in constants for name in node.inputs):
        return None
    if any(True for _ in node.subgraphs) or not operator_of(node).pure:
        return None
    names = [name for name in node.outputs if name]
    if any(_inferred_bytes(name, index) > MAX_BYTES for name in names):
        return None  # before it is made: a few bytes of a file can ask for gigabytes
    single = Graph(
        name="constant",
        nodes=(node,),
        inputs=(),
        outputs=tuple(Value(name) for name in names),
        initializers={name: constants[name] for name in node.inputs if name},
    )
    try:
        with np.errstate(all="ignore"):
            values = compile_graph(single).execute([])
    except ScratchOnnxError:
        return None  # it fails when it runs, with a message that names the node
    if not all(isinstance(value, np.ndarray) for value in values):
        return None
    if sum(value.nbytes for value in values) > MAX_BYTES:
        return None
    for value in values:
        value.flags.writeable = False
    return dict(zip(names, values, strict=True))


def _inferred_bytes(name: str, index: Index) -> int:
    """The size of a value by its inferred type; 0 where that is not known."""
    known = index.tensor(name)
    if known is None or known.shape is None or known.dtype is None:
        return 0
    dims = [dim for dim in known.shape if isinstance(dim, int)]
    return math.prod(dims) * known.dtype.itemsize if len(dims) == len(known.shape) else 0
