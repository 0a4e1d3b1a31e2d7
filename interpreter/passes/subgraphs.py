"""The passes that are safe inside the subgraphs of If, Loop and Scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..checking import captures
from ..graph import Graph, Node
from ..types import Array
from ._index import Index
from .cleanup import drop_dead, drop_identities
from .constants import fold_constants
from .loops import simplify_loops

INSIDE: tuple[Callable[[Graph], Graph], ...] = (
    fold_constants,
    drop_identities,
    simplify_loops,
    drop_dead,
)
"""In the order in which they run."""


def rewrite_subgraphs(graph: Graph) -> Graph:
    """Run the passes of ``INSIDE`` on all subgraphs, which know the constants around them."""
    constants = Index(graph).constants
    return replace(graph, nodes=tuple(_rewrite(node, constants) for node in graph.nodes))


def _rewrite(node: Node, constants: Mapping[str, Array]) -> Node:
    if not any(True for _ in node.subgraphs):
        return node
    attributes = dict(node.attributes)
    for name, value in attributes.items():
        if isinstance(value, Graph):
            attributes[name] = _inside(value, constants)
    return replace(node, attributes=attributes)


def _inside(body: Graph, constants: Mapping[str, Array]) -> Graph:
    taken = {name: constants[name] for name in captures(body) if name in constants}
    # What the file says of types inside is not checked by inference: nothing is folded by it.
    body = replace(body, initializers={**body.initializers, **taken}, types={})
    body = rewrite_subgraphs(body)
    for rewrite in INSIDE:
        body = rewrite(body)
    return body
