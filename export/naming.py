"""Names that a reader knows: the Keras layers' for nodes, Keras's own for inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from .graphs import subgraphs
from .layers import layer_of
from .tracing import Traced

__all__ = ["apply_names"]


def apply_names(traced: Traced) -> None:
    """Rename every node, value and initializer of ``traced.proto``, in place.

    A node is ``layer/OpType`` (``block_1/conv2d/Conv``), its output has the
    node's name, and an initializer has its first reader's with the input's
    name in the ONNX specification (``conv2d/Conv.W``). A number is added
    where a name is taken.
    """
    graph = traced.proto.graph
    nodes, values = _Names(), _Names()  # node names and value names are separate spaces in ONNX
    scope = {"": ""}
    for value, spec in zip(graph.input, traced.inputs, strict=True):
        scope[value.name] = values.new(spec.name)
    for value, name in zip(graph.output, traced.outputs, strict=True):
        scope[value.name] = values.new(name)
    _name_graph(graph, traced.paths, nodes, values, scope, default=None)
    graph.name = "model"


class _Names:
    """Hands out names, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, wanted: str) -> str:
        name, count = wanted, 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


def _name_graph(
    graph: onnx.GraphProto,
    paths: dict[str, str],
    nodes: _Names,
    values: _Names,
    scope: dict[str, str],
    default: str | None,
) -> None:
    """Rename what ``graph`` defines; ``scope`` holds the new names of what it can read."""
    initializers = {value.name for value in graph.initializer}
    for node, layer in zip(graph.node, _layers(graph, paths, default), strict=True):
        node.name = nodes.new(f"{layer}/{node.op_type}" if layer else node.op_type)
        formals = onnx.defs.get_schema(node.op_type).inputs
        for index, value in enumerate(node.input):
            if value in initializers and value not in scope:
                formal = formals[min(index, len(formals) - 1)].name
                scope[value] = values.new(f"{node.name}.{formal}")
        for index, value in enumerate(node.output):
            if value not in scope:
                scope[value] = values.new(f"{node.name}:{index}" if index else node.name)
        for body in subgraphs(node):
            own = {v.name for v in (*body.input, *body.initializer)}
            own |= {name for inner in body.node for name in inner.output}
            inner_scope = {old: new for old, new in scope.items() if not old or old not in own}
            for argument in body.input:
                inner_scope[argument.name] = values.new(f"{node.name}.{argument.name}")
            _name_graph(body, paths, nodes, values, inner_scope, layer)
        node.input[:] = [scope[name] for name in node.input]
        node.output[:] = [scope[name] for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = scope[value.name] if value.name in scope else values.new("constant")


def _layers(
    graph: onnx.GraphProto, paths: dict[str, str], default: str | None
) -> Iterator[str | None]:
    """The layer of each node: its own mark, else that of what reads it, else what it reads."""
    found = [layer_of(node.name, paths) for node in graph.node]
    reader: dict[str, str] = {}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        found[index] = found[index] or next(
            (reader[name] for name in node.output if name in reader), None
        )
        layer = found[index]
        if layer is not None:
            for name in node.input:
                reader[name] = layer
    writer: dict[str, str] = {}
    for node, layer in zip(graph.node, found, strict=True):
        layer = layer or next((writer[name] for name in node.input if name in writer), default)
        if layer is not None:
            for name in node.output:
                writer[name] = layer
        yield layer
