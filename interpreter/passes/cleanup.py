"""Nodes that compute nothing, and nodes whose results nobody reads, are dropped."""

from __future__ import annotations

from dataclasses import replace

from ..checking import reads
from ..graph import Graph, Node
from ._index import Index, rename_inputs


def drop_identities(graph: Graph) -> Graph:
    """Remove Identity, Dropout outside training, a Transpose or Cast that changes nothing, and the
    second of two Transposes that undo each other."""
    index = Index(graph)
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        source = _passes_through(node, index)
        if source is None or node.outputs[0] in index.outputs:
            kept.append(node)
        else:
            names[node.outputs[0]] = names.get(source, source)
    return replace(graph, nodes=tuple(rename_inputs(kept, names))) if names else graph


def _passes_through(node: Node, index: Index) -> str | None:
    """The input that the node's one output equals, None where it computes something."""
    if node.domain or not node.inputs or not node.inputs[0]:
        return None
    if any(name in index.readers or name in index.outputs for name in node.outputs[1:] if name):
        return None
    source = node.inputs[0]
    if node.op_type == "Identity":
        return source
    if node.op_type == "Dropout":
        if node.opset < 7:
            return source if node.attributes.get("is_test", 0) else None
        training = node.inputs[2] if len(node.inputs) > 2 else ""
        off = not training or (training in index.constants and not index.constants[training])
        return source if off else None
    if node.op_type == "Transpose":
        perm = node.attributes.get("perm")
        if perm is None:
            return None
        other = index.maker(source)
        if other is not None and other.op_type == "Transpose" and not other.domain:
            first = other.attributes.get("perm", ())
            if len(first) == len(perm) and all(first[p] == i for i, p in enumerate(perm)):
                return other.inputs[0]
        return source if perm == tuple(range(len(perm))) else None
    if node.op_type == "Cast":
        before, after = index.tensor(source), index.tensor(node.outputs[0])
        same = before is not None and after is not None and before.dtype == after.dtype
        return source if same and before is not None and before.dtype is not None else None
    return None


def drop_dead(graph: Graph) -> Graph:
    """Remove nodes whose outputs nobody reads, and initialisers likewise."""
    alive = {value.name for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(name in alive for name in node.outputs):
            kept.append(node)
            alive.update(reads(node))
    alive.update(value.name for value in graph.inputs)
    return replace(
        graph,
        nodes=tuple(reversed(kept)),
        initializers={k: v for k, v in graph.initializers.items() if k in alive},
    )
