"""RNN, GRU and LSTM nodes become one fast node with what stands around them: the lookup and the
Transposes before, the layers of a stack, the Squeezes and Reshapes behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..fast import FAST
from ..fast.recurrent_cells import Weights, gates_of
from ..graph import Graph, Node
from ..types import Dim
from ._index import Index, is_zero, rebuild
from .cleanup import drop_dead

MAX_TABLE = 64 * 2**20
"""Bytes above which a lookup is not joined with the projection behind it."""

MAX_LAYERS = 2
"""Layers that are joined: a third would be two steps behind the first, whose NaN, times 0, would
reach it a step early."""

_ACTIVATIONS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def join_recurrent(graph: Graph) -> Graph:
    """Replace recurrent nodes by fast ones, and let those take in their neighbours."""
    graph = drop_dead(_replace_nodes(graph))  # what only made initial states of 0
    for rewrite in (_absorb_outputs, _absorb_batch_first, _absorb_transpose, _absorb_lookup):
        graph = rewrite(graph)
    while True:
        joined = _join_layers(graph)
        if joined is graph:
            return graph
        graph = joined


def _is_fast(node: Node | None) -> bool:
    return node is not None and node.domain == FAST and node.op_type == "Recurrent"


def _input(node: Node, position: int) -> str:
    return node.inputs[position] if len(node.inputs) > position else ""


def _replace_nodes(graph: Graph) -> Graph:
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        attributes = _fast_attributes(node, index)
        if attributes is None:
            continue
        states = [_initial(node, place, index) for place in (5, 6)]
        inputs = [node.inputs[0], *states]
        while not inputs[-1]:
            inputs.pop()
        changes[position] = (
            replace(
                node,
                op_type="Recurrent",
                domain=FAST,
                inputs=tuple(inputs),
                outputs=tuple(name if index.is_read(name) else "" for name in node.outputs),
                attributes=attributes,
            ),
        )
    return rebuild(graph, changes) if changes else graph


def _initial(node: Node, place: int, index: Index) -> str:
    """An initial state, "" where it is 0 as without one: exporters spell the zeros out."""
    name, x = _input(node, place), index.tensor(node.inputs[0])
    known, weights = index.tensor(name), index.constants[node.inputs[2]]
    if not name or x is None or known is None or x.shape is None or known.shape is None:
        return name
    directions, _, hidden = weights.shape
    samples = x.shape[1] if len(x.shape) == 3 else None
    fits = samples is not None and known.shape == (directions, samples, hidden)
    return "" if fits and is_zero(name, index) else name


def _fast_attributes(node: Node, index: Index) -> dict[str, Any] | None:
    """The fast node's attributes, None where the node asks for more than it can do."""
    kind, given = node.op_type, node.attributes
    if node.domain or kind not in _GATES or _input(node, 4) or _input(node, 7):
        return None
    if "clip" in given or given.get("input_forget", 0) or given.get("layout", 0):
        return None
    direction = given.get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        return None
    directions = 2 if direction == "bidirectional" else 1
    usual = _ACTIVATIONS[kind] * directions
    activations = tuple(name.lower() for name in given.get("activations", usual))
    if kind == "RNN" and directions == 1:
        activations = activations[:1]
    if activations != usual or given.get("activation_alpha") or given.get("activation_beta"):
        return None
    x = index.tensor(node.inputs[0])
    if x is None or x.dtype != np.float32 or x.sparse:
        return None
    W, R = (index.constants.get(name) for name in node.inputs[1:3])
    B = index.constants.get(_input(node, 3))
    if W is None or R is None or (B is None and _input(node, 3)):
        return None
    if W.ndim != 3 or R.ndim != 3 or 0 in W.shape or 0 in R.shape:
        return None
    gates, hidden = _GATES[kind], R.shape[2]
    if W.shape[:2] != (directions, gates * hidden) or R.shape[:2] != W.shape[:2]:
        return None
    if B is not None and B.shape != (directions, 2 * gates * hidden):
        return None
    if given.get("hidden_size", hidden) != hidden:
        return None
    wanted = tuple(index.is_read(name) for name in node.outputs)
    return {
        "kind": kind,
        "layers": (Weights(W, R, B),),
        "direction": direction,
        "linear_before_reset": bool(given.get("linear_before_reset", 0)),
        "wanted": (*wanted, False, False)[:3],
        "forms": ("plain",) * 3,
    }


def _absorb_outputs(graph: Graph) -> Graph:
    """Y (T, D, N, H) that is read as (T, N, D * H), and Y_h and Y_c as (N, D * H)."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if not _is_fast(node):
            continue
        outputs, forms = list(node.outputs), list(node.attributes["forms"])
        for place, name in enumerate(outputs):
            found = _merged(node, place, index) if name else None
            if found is not None:
                forms[place], gone = found
                outputs[place] = graph.nodes[gone[-1]].outputs[0]
                changes.update(dict.fromkeys(gone, ()))
        attributes = {**node.attributes, "forms": tuple(forms)}
        changes[position] = (replace(node, outputs=tuple(outputs), attributes=attributes),)
    return rebuild(graph, changes) if changes else graph


def _merged(node: Node, place: int, index: Index) -> tuple[str, list[int]] | None:
    """The form that an output's readers make of it, and their positions."""
    first = index.only_reader(node.outputs[place])
    if first is None:
        return None
    reader = index.graph.nodes[first]
    layers, direction = node.attributes["layers"], node.attributes["direction"]
    hidden, directions = layers[-1].R.shape[2], 2 if direction == "bidirectional" else 1
    axis, rank = (1, 4) if place == 0 else (0, 3)
    if reader.domain:
        return None
    if reader.op_type == "Squeeze" and directions == 1:
        axes = reader.attributes.get("axes")
        if axes is None and _input(reader, 1):
            constant = index.constants.get(reader.inputs[1])
            axes = None if constant is None else constant.reshape(-1).tolist()
        return ("merged", [first]) if axes and [a % rank for a in axes] == [axis] else None
    if reader.op_type != "Transpose":
        return None
    perm = tuple(reader.attributes.get("perm", ()))
    form = {(0, 2, 1, 3): "merged", (2, 0, 1, 3): "batch_first", (1, 0, 2): "merged"}.get(perm)
    if form is None or len(perm) != rank:
        return None
    second = index.only_reader(reader.outputs[0])
    if second is None:
        return None
    reshape = index.graph.nodes[second]
    if reshape.op_type != "Reshape" or reshape.domain:
        return None
    before = index.tensor(reader.outputs[0])
    if before is None or before.shape is None or len(before.shape) != rank:
        return None
    target: tuple[Dim, ...] = (*before.shape[:-2], directions * hidden)
    return (form, [first, second]) if _reshapes_to(reshape, target, index) else None


def _reshapes_to(node: Node, target: tuple[Dim, ...], index: Index) -> bool:
    """Whether a Reshape, which keeps all but the last two axes, gives the target shape."""
    wanted: Any = node.attributes.get("shape")
    if wanted is None:
        constant = index.constants.get(_input(node, 1))
        wanted = None if constant is None else constant.reshape(-1).tolist()
    if wanted is None or len(wanted) != len(target) or node.attributes.get("allowzero", 0):
        return False
    kept = all(
        given in (0, -1) or given == dim
        for given, dim in zip(wanted[:-1], target[:-1], strict=True)
    )
    return kept and wanted[-1] in (-1, target[-1])


def _absorb_batch_first(graph: Graph) -> Graph:
    """(T, N, D * H) that is only read as (N, T, D * H)."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if not _is_fast(node) or node.attributes["forms"][0] != "merged" or not node.outputs[0]:
            continue
        after = index.only_reader(node.outputs[0])
        if after is None or not _swaps_time_and_batch(graph.nodes[after]):
            continue
        attributes = {
            **node.attributes,
            "forms": ("batch_first", *node.attributes["forms"][1:]),
        }
        outputs = (graph.nodes[after].outputs[0], *node.outputs[1:])
        changes[position] = (replace(node, outputs=outputs, attributes=attributes),)
        changes[after] = ()
    return rebuild(graph, changes) if changes else graph


def _swaps_time_and_batch(node: Node | None) -> bool:
    if node is None or node.domain or node.op_type != "Transpose":
        return False
    return bool(node.attributes.get("perm") == (1, 0, 2))


def _absorb_transpose(graph: Graph) -> Graph:
    """X (T, N, I) that a Transpose made of (N, T, I)."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if not _is_fast(node):
            continue
        before = index.maker(node.inputs[0])
        if before is not None and _swaps_time_and_batch(before):
            changes[position] = (
                replace(
                    node,
                    inputs=(before.inputs[0], *node.inputs[1:]),
                    attributes={**node.attributes, "batch_first": True},
                ),
            )
    return rebuild(graph, changes) if changes else graph


def _absorb_lookup(graph: Graph) -> Graph:
    """X whose vectors are rows of a constant table."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        before = index.maker(node.inputs[0]) if _is_fast(node) else None
        if before is None or before.domain or before.op_type != "Gather":
            continue
        table = index.constants.get(before.inputs[0])
        if table is None or table.ndim != 2 or index.rank(before.inputs[1]) != 2:
            continue
        W = node.attributes["layers"][0].W
        if before.attributes.get("axis", 0) % 2 or table.shape[1] != W.shape[2]:
            continue
        if len(table) == 0 or len(table) * W.shape[0] * W.shape[1] * 4 > MAX_TABLE:
            continue
        changes[position] = (
            replace(
                node,
                inputs=(before.inputs[1], *node.inputs[1:]),
                attributes={**node.attributes, "table": table},
            ),
        )
    return rebuild(graph, changes) if changes else graph


def _join_layers(graph: Graph) -> Graph:
    """Two nodes of which the second reads the whole sequence of the first, and nobody else."""
    index = Index(graph)
    for position, node in enumerate(graph.nodes):
        before = index.maker(node.inputs[0]) if _is_fast(node) else None
        if before is None or index.only_reader(node.inputs[0]) is None:
            continue
        if _is_fast(before) and _may_join(before, node):
            layers = before.attributes["layers"] + node.attributes["layers"]
            attributes = {
                **before.attributes,
                "layers": layers,
                "forms": node.attributes["forms"],
                "wanted": node.attributes["wanted"],
            }
            joined = replace(node, inputs=before.inputs, attributes=attributes)
            return rebuild(graph, {index.producer[node.inputs[0]]: (), position: (joined,)})
    return graph


def _may_join(first: Node, second: Node) -> bool:
    one, other = first.attributes, second.attributes
    if any(one[key] != other[key] for key in ("kind", "direction", "linear_before_reset")):
        return False
    if one["direction"] == "bidirectional" or one["forms"][0] != "merged":
        return False
    if other.get("batch_first") or "table" in other or any(first.outputs[1:]):
        return False
    if len(first.inputs) > 1 or len(second.inputs) > 1:
        return False
    if len(one["layers"]) + len(other["layers"]) > MAX_LAYERS:
        return False
    if one["layers"][-1].R.shape[2] != other["layers"][0].W.shape[2]:
        return False
    # Their states meet in one product, with 0 between them: neither may be infinite or NaN.
    return all(
        gates_of(other["kind"], weights, other["linear_before_reset"]).tame
        for weights in other["layers"]
    )
