"""Loops that step an RNN or a GRU through a sequence, as tf2onnx writes Keras's, become that node.

Notation: T steps, N samples, I inputs, H units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..graph import Graph, Node
from ..types import Array, Dim, TensorType, Type
from ._index import Index, is_zero
from .cells import Body, Cell
from .cleanup import drop_dead, drop_identities
from .loops import body_of, inner_index, is_loop, padded, source
from .reversals import (
    OPSET,
    Change,
    dim_of,
    drop_reversals,
    is_reversal,
    join_directions,
    reverse_by_slices,
    shape_of,
    slice_of,
)


def find_recurrent(graph: Graph) -> Graph:
    """Loops whose bodies are recurrent cells become RNN and GRU nodes, and the reversals around
    them their direction."""
    found = _find(reverse_by_slices(graph)) if any(map(is_loop, graph.nodes)) else graph
    return join_directions(drop_dead(drop_identities(drop_reversals(drop_identities(found)))))


def _find(graph: Graph) -> Graph:
    while True:
        index = Index(graph)
        changes = (
            _recurrent(position, padded(node), index)
            for position, node in enumerate(graph.nodes)
            if is_loop(node)
        )
        change = next((change for change in changes if change is not None), None)
        if change is None:
            return graph
        known = {name: graph.types.get(name) for name in change.types}
        graph = _renamed_dims(change.apply(graph), known, change.types)


def _renamed_dims(
    graph: Graph, before: Mapping[str, Type | None], after: Mapping[str, Type]
) -> Graph:
    """The graph whose types say what is known now of dimensions that only had names."""
    fixed = {
        dim for v in graph.inputs if isinstance(v.type, TensorType) for dim in v.type.shape or ()
    }
    names: dict[str, Dim] = {}
    for name, old in before.items():
        new = after[name]
        if isinstance(old, TensorType) and isinstance(new, TensorType) and old.shape and new.shape:
            pairs = zip(old.shape, new.shape, strict=False)
            names |= {a: b for a, b in pairs if isinstance(a, str) and a not in fixed}
    types = dict(graph.types)
    for name, known in graph.types.items():
        if isinstance(known, TensorType) and known.shape:
            shape = tuple(names.get(d, d) if isinstance(d, str) else d for d in known.shape)
            types[name] = replace(known, shape=shape)
    return replace(graph, types=types)


def _recurrent(position: int, node: Node, index: Index) -> Change | None:
    """The node that a Loop is, with what stands around it; None where it is another loop."""
    body = body_of(node)
    if len(node.inputs) != 3 or node.inputs[1] or body.outputs[0].name != body.inputs[1].name:
        return None
    inner = inner_index(node, index.constants)
    state = source(body.outputs[1].name, inner)
    if any(source(value.name, inner) != state for value in body.outputs[2:]):
        return None
    reader = Body(inner)
    cell = reader.cell(state)
    x, h = reader.sequence, node.inputs[2]
    if cell is None or x is None:
        return None
    sizes = _sizes(cell)
    shape, trips, known = shape_of(x, index), dim_of(node.inputs[0], index), index.tensor(x)
    if sizes is None or shape is None or known is None or trips is None:
        return None
    dtypes = {part.dtype for gate in cell.gates for part in gate.parts if part is not None}
    if dtypes != {known.dtype} or known.dtype not in (np.float32, np.float64):
        return None
    inputs, hidden = sizes
    if len(shape) != 3 or shape[0] != trips or shape[2] != inputs or not shape[0]:
        return None
    if shape[1] is None or shape_of(h, index) != (shape[1], hidden):
        return None
    states = TensorType(known.dtype, (*shape[:2], hidden))
    return _replacement(position, node, cell, x, states, index)


def _sizes(cell: Cell) -> tuple[int, int] | None:
    """I and H, None where the gates' parameters do not have the shapes of the operator's."""
    first = cell.gates[0]
    if first.W is None or first.R is None:
        return None
    inputs, hidden = first.W.shape[0], first.R.shape[0]
    for gate in cell.gates:
        shapes = [None if part is None else part.shape for part in gate.parts]
        if shapes[:2] != [(inputs, hidden), (hidden, hidden)] or shapes[2] not in (None, (hidden,)):
            return None
    if cell.reset_bias is not None and cell.reset_bias.shape != (hidden,):
        return None
    return (inputs, hidden) if inputs and hidden else None


def _parameters(cell: Cell) -> dict[str, Array]:
    """W (1, G * H, I), R (1, G * H, H) and B (1, 2 * G * H) of the operator."""
    W = [gate.W.T for gate in cell.gates if gate.W is not None]
    R = [gate.R.T for gate in cell.gates if gate.R is not None]
    zero = np.zeros_like(R[0][0])
    b = [gate.b for gate in cell.gates] + [None] * (len(cell.gates) - 1) + [cell.reset_bias]
    B = [zero if part is None else part for part in b]
    return {name: np.concatenate(parts)[None] for name, parts in (("W", W), ("R", R), ("B", B))}


def _replacement(
    position: int, node: Node, cell: Cell, x: str, y: TensorType, index: Index
) -> Change:
    """The node, and what makes the Loop's outputs of its own; ``y`` is the type of all states,
    (T, N, H)."""
    assert y.shape is not None
    change = Change()
    steps, samples, hidden = y.shape
    final, *scans = (name if index.is_read(name) else "" for name in node.outputs)
    title = next(filter(None, node.outputs))
    every, last = f"{title}/Y", f"{title}/Y_h"
    change.types |= {every: replace(y, shape=(steps, 1, samples, hidden))}
    change.types |= {last: replace(y, shape=(1, samples, hidden))}
    change.types |= {name: y for name in scans if name}
    first = change.constant([0], title, "first")
    before, nodes, initial = index.maker(x), [], []
    if not is_zero(node.inputs[2], index):
        initial = ["", f"{title}/initial_h"]
        nodes.append(Node("Unsqueeze", (node.inputs[2], first), tuple(initial[1:]), opset=OPSET))
    reverse = before is not None and is_reversal(before, index)
    if before is not None and reverse:
        x = before.inputs[0]
    parameters = _parameters(cell)
    read = [change.constant(value, title, name) for name, value in parameters.items()]
    # Whoever reads the last element alone reads the last state, where there surely is one.
    taken = [p for name in scans for p in _of_last(name, index)] if isinstance(steps, int) else []
    for place in taken:
        outputs = index.graph.nodes[place].outputs
        change.nodes[place] = (Node("Identity", (last,), outputs, opset=OPSET),)
    whole = [
        name
        for name in scans
        if name in index.outputs or not set(taken).issuperset(index.readers.get(name, ()))
    ]
    direction = {"direction": "reverse" if reverse else "forward", "hidden_size": hidden}
    nodes.append(
        Node(
            cell.op_type,
            (x, *read, *initial),
            (every if whole else "", last if final or taken else ""),
            direction | _options(cell),
            name=node.name,
            opset=OPSET,
            index=node.index,
        )
    )
    if final:
        nodes.append(Node("Squeeze", (last, first), (final,), opset=OPSET))
    for name in whole:
        directions = change.constant([1], title, "directions")
        straight = f"{name}/reversed" if reverse else name
        nodes.append(Node("Squeeze", (every, directions), (straight,), opset=OPSET))
        change.types[straight] = y
        if reverse:
            nodes.append(change.reversal(straight, name))
    change.nodes[position] = nodes
    return change


def _of_last(name: str, index: Index) -> list[int]:
    """The nodes that read a value's last element along its first axis."""
    readers = index.readers.get(name, ())
    return [p for p in readers if slice_of(index.graph.nodes[p], index) == (-1, None, 1)]


def _options(cell: Cell) -> dict[str, object]:
    """The attributes that only one of the operators has."""
    if cell.op_type == "RNN":
        return {"activations": (cell.activation,)}
    return {"linear_before_reset": int(cell.linear_before_reset)}
