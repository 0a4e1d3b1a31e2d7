"""What a pass asks of a graph: who makes a value, who reads it, what is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from ..checking import reads
from ..fast import FAST
from ..graph import Graph, Node
from ..types import Array, TensorType, Type


class Index:
    """Producers, readers, constants and types of a graph's values, read once.

    Nodes are found by their position; a pass collects its changes in a dict
    from position to the nodes that take its place, and hands it to ``rebuild``.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        inputs = {value.name for value in graph.inputs}
        # An initialiser that is an input too can be overridden: not a constant.
        self.constants: Mapping[str, Array] = {
            name: array for name, array in graph.initializers.items() if name not in inputs
        }
        self.outputs = {value.name for value in graph.outputs}
        self.producer: dict[str, int] = {}
        self.readers: dict[str, list[int]] = {}
        for position, node in enumerate(graph.nodes):
            for name in node.outputs:
                if name:
                    self.producer[name] = position
            for name in reads(node):
                self.readers.setdefault(name, []).append(position)

    def maker(self, name: str) -> Node | None:
        """The node that produces a value, None for inputs and constants."""
        position = self.producer.get(name)
        return None if position is None else self.graph.nodes[position]

    def is_read(self, name: str) -> bool:
        """Whether a node reads a value, or it is an output of the graph."""
        return name in self.readers or name in self.outputs

    def only_reader(self, name: str) -> int | None:
        """The position of the one node that reads a value, None where it has several readers, or
        none, or is an output of the graph."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def tensor(self, name: str) -> TensorType | None:
        """The inferred tensor type of a value."""
        known: Type | None = self.graph.types.get(name)
        if known is None and name in self.constants:
            array = self.constants[name]
            return TensorType(array.dtype, array.shape)
        return known if isinstance(known, TensorType) else None

    def is_float32(self, name: str) -> bool:
        """Whether a value is known to be a float32 tensor."""
        known = self.tensor(name)
        return known is not None and known.dtype == np.float32

    def rank(self, name: str) -> int | None:
        """The rank of a value, None where it is not known."""
        known = self.tensor(name)
        return None if known is None or known.shape is None else len(known.shape)


def is_pointwise(node: Node, inputs: int) -> bool:
    """Whether a node is a fast 1×1 convolution that reads every pixel once and pools none, with so
    many inputs at most."""
    if node.domain != FAST or node.op_type != "Conv" or len(node.inputs) > inputs:
        return False
    attributes = node.attributes
    return (
        attributes["weight"].shape[:2] == (1, 1)
        and attributes["strides"] == (1, 1)
        and not any(attributes["pads"])
        and not attributes.get("pool")
    )


def rebuild(
    graph: Graph,
    changes: Mapping[int, Iterable[Node]],
    initializers: Mapping[str, Array] | None = None,
    types: Mapping[str, Type] | None = None,
) -> Graph:
    """The graph with some nodes replaced (by none: removed), and constants and types added."""
    nodes: list[Node] = []
    for position, node in enumerate(graph.nodes):
        nodes.extend(changes.get(position, (node,)))
    return replace(
        graph,
        nodes=tuple(nodes),
        initializers={**graph.initializers, **(initializers or {})},
        types={**graph.types, **(types or {})},
    )


_MOVES = frozenset("Concat Expand Identity Reshape Slice Squeeze Transpose Unsqueeze".split())
"""Operators whose output holds elements of their first input, or, of Concat, of all."""


def is_zero(name: str, index: Index) -> bool:
    """Whether a value is seen to be 0 everywhere, whatever its shape."""
    value = index.constants.get(name)
    if value is not None:
        return value.dtype.kind in "fiub" and not value.any()
    node = index.maker(name)
    if node is None or node.domain or node.op_type not in _MOVES:
        return False
    moved = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    return all(is_zero(each, index) for each in moved)


def rename_inputs(nodes: Iterable[Node], names: Mapping[str, str]) -> list[Node]:
    """The nodes reading the new names in place of the old, in their subgraphs too."""
    return [_renamed(node, names) for node in nodes]


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    attributes = dict(node.attributes)
    for key, value in attributes.items():
        if isinstance(value, Graph):
            attributes[key] = _renamed_graph(value, names)
    return replace(
        node, inputs=tuple(names.get(name, name) for name in node.inputs), attributes=attributes
    )


def _renamed_graph(graph: Graph, names: Mapping[str, str]) -> Graph:
    own = {value.name for value in graph.inputs} | graph.initializers.keys()
    own |= {name for node in graph.nodes for name in node.outputs}
    outer = {old: new for old, new in names.items() if old not in own}
    return replace(
        graph,
        nodes=tuple(_renamed(node, outer) for node in graph.nodes),
        outputs=tuple(
            replace(value, name=outer.get(value.name, value.name)) for value in graph.outputs
        ),
    )
