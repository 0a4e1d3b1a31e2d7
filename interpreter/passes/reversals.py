"""Sequences that are read from their end: reversals become views, cancel, and two recurrent nodes
of which one runs backward become a bidirectional one.

Notation: T steps, N samples, H units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..graph import Graph, Node
from ..types import Array, Dim, Type
from ._index import Index, rebuild

OPSET = 14
"""The version whose form the nodes that are made have: axes are inputs."""

END = np.iinfo(np.int32).max
"""An end from here on is that of any axis."""


@dataclass
class Change:
    """What takes the place of nodes, the constants that it reads, and the types that it makes."""

    nodes: dict[int, Sequence[Node]] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)

    def constant(self, value: Array | Sequence[int], *names: str) -> str:
        """The name of a constant; equal names must mean equal values."""
        name = "/".join(names)
        self.constants[name] = np.asarray(value)
        return name

    def reversal(self, x: str, y: str) -> Node:
        """y is x with its first axis from the end."""
        places = ("starts", [-1]), ("ends", [-(2**62)]), ("axes", [0]), ("steps", [-1])
        read = (self.constant(value, "scratch_onnx/reversal", name) for name, value in places)
        return Node("Slice", (x, *read), (y,), opset=OPSET)

    def apply(self, graph: Graph) -> Graph:
        return rebuild(graph, self.nodes, self.constants, self.types)


def reverse_by_slices(graph: Graph) -> Graph:
    """A ReverseSequence whose lengths are all the whole first axis becomes a Slice: a view."""
    index, change = Index(graph), Change()
    for position, node in enumerate(graph.nodes):
        if node.op_type == "ReverseSequence" and not node.domain and _is_whole(node, index):
            change.nodes[position] = (change.reversal(node.inputs[0], node.outputs[0]),)
    return change.apply(graph) if change.nodes else graph


def _is_whole(node: Node, index: Index) -> bool:
    """Whether each sample of a ReverseSequence (T, N, …) is reversed from end to end."""
    if node.attributes.get("time_axis", 0) != 0 or node.attributes.get("batch_axis", 1) != 1:
        return False
    x = shape_of(node.inputs[0], index)
    if x is None or len(x) < 2 or None in x[:2]:
        return False
    lengths = index.constants.get(node.inputs[1])
    if lengths is not None:
        return lengths.shape == x[1:2] and bool((lengths == x[0]).all())
    spread = index.maker(node.inputs[1])
    if spread is None or spread.domain or spread.op_type != "Expand":
        return False
    return [dim_of(name, index) for name in spread.inputs] == [x[0], x[1]]


def dim_of(name: str, index: Index) -> Dim:
    """The dimension that a value is, taken from the shape of another; None for other values."""
    value = index.constants.get(name)
    if value is not None:
        return int(value.reshape(-1)[0]) if value.size == 1 else None
    node = index.maker(name)
    if node is None or node.domain:
        return None
    if node.op_type in ("Cast", "Squeeze", "Identity"):
        return dim_of(node.inputs[0], index)
    place = slice_of(node, index)
    if place is not None and place[0] is not None and place[1:] == (place[0] + 1, 1):
        axis = place[0]
    elif node.op_type == "Gather" and not node.attributes.get("axis", 0):
        which = index.constants.get(node.inputs[1])
        if which is None or which.size != 1:
            return None
        axis = int(which.reshape(-1)[0])
    else:
        return None
    shape = index.maker(node.inputs[0])
    while shape is not None and shape.op_type == "Cast":
        shape = index.maker(shape.inputs[0])
    if shape is None or shape.domain or shape.op_type != "Shape" or shape.attributes:
        return None
    dims = shape_of(shape.inputs[0], index)
    return dims[axis] if dims is not None and -len(dims) <= axis < len(dims) else None


def shape_of(name: str, index: Index) -> tuple[Dim, ...] | None:
    known = index.tensor(name)
    return None if known is None or known.sparse else known.shape


def drop_reversals(graph: Graph) -> Graph:
    """The graph without the second of two reversals that undo each other."""
    index, change = Index(graph), Change()
    for position, node in enumerate(graph.nodes):
        before = index.maker(node.inputs[0]) if is_reversal(node, index) else None
        if before is not None and is_reversal(before, index):
            change.nodes[position] = (replace(node, op_type="Identity", inputs=before.inputs[:1]),)
    return change.apply(graph) if change.nodes else graph


def slice_of(node: Node, index: Index) -> tuple[int | None, int | None, int] | None:
    """Start, stop and step of a Slice of the first axis alone; None where it is another node."""
    if node.op_type != "Slice" or node.domain or node.opset < 10:
        return None
    values = [index.constants.get(name) for name in node.inputs[1:]]
    numbers = [
        int(value.reshape(-1)[0]) for value in values if value is not None and value.size == 1
    ]
    if len(numbers) < max(3, len(values)):
        return None
    start, stop, axis, step = (*numbers, 1)[:4]
    if axis != 0:
        return None
    if step < 0:
        return (None if start in (-1, END) else start, None if stop <= -END else stop, step)
    return start, None if stop >= END else stop, step


def is_reversal(node: Node, index: Index) -> bool:
    """Whether it is a Slice that takes the whole first axis from its end."""
    return slice_of(node, index) == (None, None, -1)


def join_directions(graph: Graph) -> Graph:
    """Two nodes that read one sequence, the second from its end, and whose outputs are only read
    side by side, become a bidirectional one."""
    while True:
        index = Index(graph)
        forward = {
            (node.op_type, node.inputs[0]): position
            for position, node in enumerate(graph.nodes)
            if _runs(node, "forward")
        }
        pairs = (
            (forward[node.op_type, node.inputs[0]], position)
            for position, node in enumerate(graph.nodes)
            if _runs(node, "reverse") and (node.op_type, node.inputs[0]) in forward
        )
        changes = (_both_directions(*pair, index) for pair in pairs)
        change = next((change for change in changes if change is not None), None)
        if change is None:
            return graph
        graph = change.apply(graph)


_KEPT = {"direction", "hidden_size", "activations", "linear_before_reset"}
"""The attributes that are the same, or twice the same, for two directions."""


def _runs(node: Node, direction: str) -> bool:
    """Whether it is an RNN or GRU of this direction that can be half of a bidirectional one."""
    known = node.op_type in ("RNN", "GRU") and not node.domain and node.opset == OPSET
    simple = len(node.inputs) == 4 and len(node.outputs) == 2 and set(node.attributes) <= _KEPT
    return known and simple and node.attributes.get("direction", "forward") == direction


def _both_directions(first: int, second: int, index: Index) -> Change | None:
    nodes = index.graph.nodes[first], index.graph.nodes[second]
    outputs = [node.outputs for node in nodes]
    rest = [{k: v for k, v in node.attributes.items() if k != "direction"} for node in nodes]
    if rest[0] != rest[1] or any(bool(a) != bool(b) for a, b in zip(*outputs, strict=True)):
        return None
    if any(name not in index.constants for node in nodes for name in node.inputs[1:]):
        return None
    parameters = [[index.constants[name] for name in node.inputs[1:]] for node in nodes]
    if any(a.shape != b.shape for a, b in zip(*parameters, strict=True)):
        return None
    change = Change()
    title = nodes[1].outputs[0] or nodes[1].outputs[1]
    for place, (name, other) in enumerate(zip(*outputs, strict=True)):
        if not name:
            continue
        concat = _side_by_side(name, other, 1 - place, index)
        known = index.tensor(name)
        if concat is None or known is None or known.shape is None:
            return None
        # (T, 1, N, H) each to (T, 2, N, H) to (T, N, 2, H) to (T, N, 2 H), or the same without T.
        *_, samples, hidden = known.shape
        outer = known.shape[: 1 - place]
        both, swapped = f"{name}/both", f"{name}/swapped"
        change.types[both] = replace(known, shape=(*outer, 2, samples, hidden))
        change.types[swapped] = replace(known, shape=(*outer, samples, 2, hidden))
        perm = (0, 2, 1, 3) if outer else (1, 0, 2)
        merged = 2 * parameters[0][1].shape[2]
        target = change.constant([*[0] * (len(outer) + 1), merged], swapped, "shape")
        change.nodes[concat] = (
            Node("Transpose", (both,), (swapped,), {"perm": perm}, opset=OPSET),
            Node("Reshape", (swapped, target), index.graph.nodes[concat].outputs, opset=OPSET),
        )
    stacked = [
        change.constant(np.concatenate([a, b]), title, "both", name)
        for a, b, name in zip(*parameters, "WRB", strict=True)
    ]
    change.nodes[first] = ()
    change.nodes[second] = (
        replace(
            nodes[1],
            inputs=(nodes[1].inputs[0], *stacked),
            outputs=tuple(name and f"{name}/both" for name in nodes[0].outputs),
            attributes=_twice(rest[0]) | {"direction": "bidirectional"},
        ),
    )
    return change


def _twice(attributes: Mapping[str, object]) -> dict[str, object]:
    """The attributes of two directions that are the same: each has activations of its own."""
    return {k: v * 2 if isinstance(v, tuple) else v for k, v in attributes.items()}


def _side_by_side(one: str, other: str, axis: int, index: Index) -> int | None:
    """The position of the Concat along the last axis that alone reads two values, each behind a
    Squeeze of ``axis``."""
    squeezed = []
    for name in (one, other):
        place = index.only_reader(name)
        node = None if place is None else index.graph.nodes[place]
        if node is None or node.op_type != "Squeeze" or node.domain or node.opset < 13:
            return None
        axes = index.constants.get(node.inputs[1])
        if axes is None or axes.tolist() != [axis]:
            return None
        squeezed.append(node.outputs[0])
    places = {index.only_reader(name) for name in squeezed}
    place = places.pop()
    if places or place is None:
        return None
    concat = index.graph.nodes[place]
    rank = 2 + axis
    same = concat.op_type == "Concat" and not concat.domain and list(concat.inputs) == squeezed
    return place if same and concat.attributes.get("axis") in (rank - 1, -1) else None
