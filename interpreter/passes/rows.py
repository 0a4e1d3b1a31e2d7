"""Nodes that treat every row by itself become one node, which runs on some rows at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..checking import order_nodes, reads
from ..fast import FAST
from ..graph import Graph, Node
from ._index import Index, rebuild

_FAST = ("Dense", "LayerNormalization", "Activation", "Softmax")
_PLAIN = ("Add", "Sub", "Mul", "Div", "Relu", "Sigmoid", "Tanh")


class _Group(NamedTuple):
    """Nodes that become one. ``after`` are the groups whose results it needs, of all that it reads
    directly or through nodes outside."""

    rows: tuple[int | str, ...]
    members: list[int]
    read: set[str]
    after: set[int]


def join_rows(graph: Graph) -> Graph:
    """Join products with constant matrices with what stands between them along the last axis:
    sums, activations, normalisations.

    A node goes to the group that made one of its inputs, or that reads one of them too, unless
    that group would then wait for itself through a node outside it.
    """
    index = Index(graph)
    groups: list[_Group] = []
    home: dict[str, int] = {}  # the group that makes a value
    needs: dict[str, set[int]] = {}  # the groups that must have run before a value outside is there
    for position, node in enumerate(graph.nodes):
        rows = _rows(node, index)
        data = [name for name in node.inputs if name not in index.constants]
        chosen = None if rows is None else _choose(data, rows, groups, home, needs)
        if rows is None:
            before: set[int] = set()
            for name in reads(node):
                before |= {home[name]} if name in home else needs.get(name, set())
            needs.update(dict.fromkeys(node.outputs, before))
            continue
        if chosen is None:
            chosen = len(groups)
            groups.append(_Group(rows, [], set(), set()))
        group = groups[chosen]
        group.members.append(position)
        for name in data:
            if home.get(name) != chosen:
                group.read.add(name)
                group.after.update({home[name]} if name in home else needs.get(name, set()))
        home[node.outputs[0]] = chosen
    changes: dict[int, Sequence[Node]] = {}
    for group in groups:
        joined = _joined(group, index)
        if joined is not None:
            changes.update(dict.fromkeys(group.members, ()))
            changes[group.members[-1]] = (joined,)
    return order_nodes(rebuild(graph, changes)) if changes else graph


def _rows(node: Node, index: Index) -> tuple[int | str, ...] | None:
    """All dimensions but the last of what the node reads and writes, where it works along the last
    axis only; else None."""
    if node.op_type not in (_FAST if node.domain == FAST else () if node.domain else _PLAIN):
        return None
    if node.op_type == "Softmax" and node.attributes.get("axis", -1) != -1:
        return None
    shapes = []
    for name in (*node.inputs, *node.outputs):
        known = index.tensor(name)
        if known is None or known.shape is None or not index.is_float32(name):
            return None
        if name not in index.constants:
            shapes.append(known.shape)
        elif len(known.shape) > 1:
            return None
    first = shapes[0]
    rows = tuple(dim for dim in first[:-1] if dim is not None)
    if len(first) < 2 or len(rows) < len(first) - 1 or not isinstance(shapes[-1][-1], int):
        return None
    return rows if all(shape[:-1] == rows for shape in shapes) else None


def _choose(
    data: Sequence[str],
    rows: tuple[int | str, ...],
    groups: Sequence[_Group],
    home: Mapping[str, int],
    needs: Mapping[str, set[int]],
) -> int | None:
    """The last group that a node that reads ``data`` can join."""
    makers = {home[name] for name in data if name in home}
    readers = {place for place, group in enumerate(groups) if group.read & set(data)}
    for place in sorted(makers | readers, reverse=True):
        before = makers - {place}
        before = before.union(*(needs.get(name, set()) for name in data))
        if groups[place].rows == rows and place not in _all_before(before, groups):
            return place
    return None


def _all_before(start: set[int], groups: Sequence[_Group]) -> set[int]:
    """The groups of ``start``, and all that those need."""
    found: set[int] = set()
    waiting = list(start)
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            waiting += groups[place].after
    return found


def _joined(group: _Group, index: Index) -> Node | None:
    """The one node, None where there are not two products, or a product and another node."""
    nodes = [index.graph.nodes[position] for position in group.members]
    if len(nodes) < 2 or not any(node.op_type == "Dense" for node in nodes):
        return None
    inside = set(group.members)
    outputs = [
        node.outputs[0]
        for node in nodes
        if node.outputs[0] in index.outputs or set(index.readers.get(node.outputs[0], ())) - inside
    ]
    made = {node.outputs[0] for node in nodes}
    names = dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)
    inputs = [name for name in names if name not in index.constants]
    widths = {
        name: known.shape[-1]
        for name in made
        if (known := index.tensor(name)) is not None and known.shape is not None
    }
    return replace(
        nodes[-1],
        op_type="Rows",
        domain=FAST,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        attributes={
            "nodes": tuple(nodes),
            "inputs": tuple(inputs),
            "outputs": tuple(outputs),
            "widths": widths,
            "constants": {n: index.constants[n] for n in names if n in index.constants},
        },
    )
