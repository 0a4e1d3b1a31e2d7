"""The rules that can be checked before anything runs: each break is one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush

from .errors import ModelError
from .graph import Graph, Node


def order_nodes(graph: Graph, outer: frozenset[str] = frozenset()) -> Graph:
    """The graph with its nodes, and those of its subgraphs, in an order that can run.

    The file's own order is kept wherever it can be: of the nodes that are
    ready, the one that stands first in the file goes first.

    Raises ``ModelError`` for a cycle, for a value that nothing produces, and
    for a name that two nodes produce.
    """
    own = {value.name for value in graph.inputs} | graph.initializers.keys()
    given = outer | own
    producers: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        for name in node.outputs:
            if name and (name in producers or name in own):
                raise ModelError(
                    f"{node} produces '{name}', which another node, an input or an initialiser "
                    f"of the same graph produces too: names must be unique"
                )
            if name:
                producers[name] = position
    inner = frozenset(given | producers.keys())
    nodes = [_order_subgraphs(node, inner) for node in graph.nodes]

    waits: list[set[int]] = []
    waiters: list[list[int]] = [[] for _ in nodes]
    for position, node in enumerate(nodes):
        before = set()
        for name in reads(node):
            if name in producers:
                before.add(producers[name])
            elif name not in given:
                raise ModelError(
                    f"{node} reads '{name}', which nothing produces: it is no input, "
                    f"no initialiser and no node's output"
                )
        waits.append(before)
        for producer in before:
            waiters[producer].append(position)
    ready = [position for position, before in enumerate(waits) if not before]
    heapify(ready)
    ordered: list[Node] = []
    while ready:
        position = heappop(ready)
        ordered.append(nodes[position])
        for waiter in waiters[position]:
            waits[waiter].discard(position)
            if not waits[waiter]:
                heappush(ready, waiter)
    if len(ordered) < len(nodes):
        raise ModelError(_cycle(nodes, waits))
    for value in graph.outputs:
        if value.name not in inner:
            raise ModelError(
                f"the output '{value.name}' of graph '{graph.name}' is produced by no node"
            )
    return replace(graph, nodes=tuple(ordered))


def _cycle(nodes: list[Node], waits: list[set[int]]) -> str:
    """The sentence of a cycle among nodes that wait for each other."""
    position = next(position for position, before in enumerate(waits) if before)
    path: list[int] = []
    while position not in path:  # backward from anything that waits, a cycle is met
        path.append(position)
        position = min(waits[position])
    around = path[path.index(position) :][::-1]
    first = around.index(min(around))
    ring = [nodes[place] for place in around[first:] + around[:first]]
    if len(ring) == 1:
        return f"{ring[0]} reads its own output"
    names = ", ".join(node.label for node in ring)
    return f"{ring[0]} is part of a cycle: each of the nodes {names} waits for the one before it"


def _order_subgraphs(node: Node, scope: frozenset[str]) -> Node:
    if not any(True for _ in node.subgraphs):
        return node
    attributes = dict(node.attributes)
    for name, value in attributes.items():
        if isinstance(value, Graph):
            attributes[name] = order_nodes(value, scope)
        elif isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
            attributes[name] = tuple(order_nodes(item, scope) for item in value)
    return replace(node, attributes=attributes)


def reads(node: Node) -> Iterable[str]:
    """All names that a node needs: its inputs, and what its subgraphs take from outside."""
    yield from (name for name in node.inputs if name)
    for graph in node.subgraphs:
        yield from captures(graph)


def value_names(graph: Graph) -> Iterator[str]:
    """All names that a graph and those inside it give to values."""
    yield from (value.name for value in graph.inputs)
    yield from graph.initializers
    for node in graph.nodes:
        yield from node.outputs
        for inner in node.subgraphs:
            yield from value_names(inner)


def captures(graph: Graph) -> list[str]:
    """The names that a subgraph takes from the graphs around it, in order of first use."""
    own = {value.name for value in graph.inputs} | graph.initializers.keys()
    own |= {name for node in graph.nodes for name in node.outputs}
    found: dict[str, None] = {}
    for node in graph.nodes:
        found.update(dict.fromkeys(name for name in reads(node) if name not in own))
    found.update(dict.fromkeys(v.name for v in graph.outputs if v.name not in own))
    return list(found)


def check_graph(graph: Graph) -> None:
    """Check what ``order_nodes`` does not, in subgraphs too: the names of inputs and outputs."""
    title = f"graph '{graph.name}'"
    names = [value.name for value in graph.inputs]
    for what, values in (("input", graph.inputs), ("output", graph.outputs)):
        if any(not value.name for value in values):
            raise ModelError(f"an {what} of {title} has no name")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ModelError(f"two inputs of {title} have the name '{twice}'")
    for node in graph.nodes:
        for inner in node.subgraphs:
            check_graph(inner)
