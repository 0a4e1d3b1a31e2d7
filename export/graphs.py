"""Walking an ONNX graph and the bodies inside it."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

__all__ = ["captured", "nodes_below", "rename_input", "subgraphs"]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of a Loop, an If or a Scan."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def nodes_below(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of the bodies inside it."""
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from nodes_below(body)


def captured(body: onnx.GraphProto) -> set[str]:
    """The names that a body reads from the graphs around it."""
    own = {value.name for value in (*body.input, *body.initializer)}
    own |= {name for node in body.node for name in node.output}
    read = {name for node in body.node for name in node.input}
    read |= {name for node in body.node for inner in subgraphs(node) for name in captured(inner)}
    read |= {value.name for value in body.output}
    return read - own


def rename_input(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let every node, in bodies too, read ``new`` where it read ``old``."""
    for node in nodes_below(graph):
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
