"""Normalisations that exporters write as means, differences and roots become one node each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..graph import Graph, Node
from ..types import Array
from ._index import Index, rebuild
from .activations import scalar


def find_softmax(graph: Graph) -> Graph:
    """``exp(x - max(x))`` over its sum, with max and sum along one axis, is Softmax."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for node in graph.nodes:
        if node.domain or node.op_type != "Exp" or not index.is_float32(node.inputs[0]):
            continue
        less = index.maker(node.inputs[0])
        if less is None or less.domain or less.op_type != "Sub" or less.opset < 7:
            continue
        source, largest = less.inputs
        top, axis = index.maker(largest), _axis(index.maker(largest), "ReduceMax", index)
        if top is None or axis is None or top.inputs[0] != source:
            continue
        if any(index.only_reader(name) is None for name in (largest, less.outputs[0])):
            continue
        found = _over_its_sum(node.outputs[0], axis, index)
        if found is not None:
            changes[found] = (
                Node(
                    "Softmax",
                    (source,),
                    graph.nodes[found].outputs,
                    {"axis": axis},
                    name=graph.nodes[found].name,
                    opset=13,
                ),
            )
    return rebuild(graph, changes) if changes else graph


def _over_its_sum(name: str, axis: int, index: Index) -> int | None:
    """The position of the Div of a value by its sum along the axis, which alone read it."""
    readers = index.readers.get(name, [])
    if len(readers) != 2 or name in index.outputs:
        return None
    for first, second in (readers, reversed(readers)):
        total, quotient = index.graph.nodes[first], index.graph.nodes[second]
        if _axis(total, "ReduceSum", index) != axis or quotient.opset < 7:
            continue
        if quotient.op_type != "Div" or quotient.domain:
            continue
        alone = index.only_reader(total.outputs[0]) == second
        if alone and quotient.inputs == (name, total.outputs[0]):
            return second
    return None


def find_layer_normalization(graph: Graph) -> Graph:
    """``(x - mean) / sqrt(mean of squares + epsilon)``, with the scale and bias behind it, is
    LayerNormalization; without the difference it is RMSNormalization.

    The squares may be Mul or Pow, the quotient Div or Mul by a Reciprocal, all along the last axis.
    """
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        if not _is_last_axis(node, index):
            continue
        centred = _root(node.inputs[0], index)
        quotient = None if centred is None else _quotient(node, centred, index)
        if centred is None or quotient is None:
            continue
        position, epsilon = quotient
        source = _centred(centred, {position, index.producer[node.inputs[0]]}, index)
        op_type = "RMSNormalization" if source is None else "LayerNormalization"
        made, width = graph.nodes[position], _width(centred, index)
        if width is None or index.rank(made.outputs[0]) != index.rank(centred):
            continue  # numbers of more axes would give the result axes that x does not have
        after, scale = _row(position, "Mul", width, index)
        bias = None
        if source is not None:
            after, bias = _row(after, "Add", width, index)
        last = graph.nodes[after]
        parameters = {"scale": np.ones(width, np.float32) if scale is None else scale}
        if bias is not None:
            parameters["bias"] = bias
        names = {key: f"{last.outputs[0]}/{key}" for key in parameters}
        constants |= {names[key]: array for key, array in parameters.items()}
        changes[after] = (
            Node(
                op_type,
                (centred if source is None else source, *names.values()),
                last.outputs,
                {"axis": -1, "epsilon": epsilon},
                name=made.name,
                opset=17 if source is not None else 23,
            ),
        )
    return rebuild(graph, changes, constants) if changes else graph


def _axis(node: Node | None, op_type: str, index: Index) -> int | None:
    """The one axis along which a node reduces and keeps its place, None of any other node."""
    if (
        node is None
        or node.domain
        or node.op_type != op_type
        or not node.attributes.get("keepdims", 1)
    ):
        return None
    axes = node.attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] in index.constants:
        axes = index.constants[node.inputs[1]].reshape(-1)
    rank = index.rank(node.inputs[0])
    return int(axes[0]) % rank if axes is not None and len(axes) == 1 and rank else None


def _is_last_axis(node: Node | None, index: Index) -> bool:
    """Whether the node is the mean of a float32 value along its last axis."""
    axis = _axis(node, "ReduceMean", index)
    if node is None or axis is None or not index.is_float32(node.inputs[0]):
        return False
    return axis == (index.rank(node.inputs[0]) or 0) - 1


def _root(name: str, index: Index) -> str | None:
    """What ``name`` is the square of."""
    node = index.maker(name)
    if node is None or node.domain or node.opset < 7 or index.only_reader(name) is None:
        return None
    if node.op_type == "Mul" and node.inputs[0] == node.inputs[1]:
        return node.inputs[0]
    if node.op_type == "Pow" and scalar(node.inputs[1], index) == 2:
        return node.inputs[0]
    return None


def _quotient(mean: Node, centred: str, index: Index) -> tuple[int, float] | None:
    """The position of ``centred / sqrt(mean + epsilon)``, and epsilon."""
    added = _next(mean, "Add", index)
    if added is None:
        return None
    first, second = added.inputs
    epsilon = scalar(second if first == mean.outputs[0] else first, index)
    root = _next(added, "Sqrt", index)
    if epsilon is None or root is None:
        return None
    inverse = _next(root, "Reciprocal", index)
    before = root if inverse is None else inverse
    position = index.only_reader(before.outputs[0])
    if position is None:
        return None
    node = index.graph.nodes[position]
    if node.domain or node.opset < 7:
        return None
    if inverse is None:
        fits = node.op_type == "Div" and node.inputs == (centred, root.outputs[0])
    else:
        fits = node.op_type == "Mul" and set(node.inputs) == {centred, inverse.outputs[0]}
    return (position, epsilon) if fits else None


def _next(node: Node, op_type: str, index: Index) -> Node | None:
    """The one node that reads a node's value, where it is of that kind."""
    position = index.only_reader(node.outputs[0])
    found = None if position is None else index.graph.nodes[position]
    fits = found is not None and not found.domain and found.op_type == op_type
    return found if fits and found is not None and found.opset >= 6 else None


def _centred(name: str, users: set[int], index: Index) -> str | None:
    """The value whose difference to its mean ``name`` is, where only ``users`` read it."""
    node = index.maker(name)
    if node is None or node.domain or node.op_type != "Sub" or node.opset < 7:
        return None
    source, mean = node.inputs
    average = index.maker(mean)
    if average is None or not _is_last_axis(average, index) or average.inputs[0] != source:
        return None
    private = index.only_reader(mean) is not None and name not in index.outputs
    return source if private and set(index.readers[name]) == users else None


def _width(name: str, index: Index) -> int | None:
    known = index.tensor(name)
    width = None if known is None or not known.shape else known.shape[-1]
    return width if isinstance(width, int) and width > 0 else None


def _row(position: int, op_type: str, width: int, index: Index) -> tuple[int, Array | None]:
    """The node behind that multiplies by, or adds, a constant a column, and that constant; the
    same position and None where there is none."""
    made = index.graph.nodes[position].outputs[0]
    after = index.only_reader(made)
    node = None if after is None else index.graph.nodes[after]
    if after is None or node is None or node.domain or node.op_type != op_type or node.opset < 7:
        return position, None
    other = node.inputs[1] if node.inputs[0] == made else node.inputs[0]
    array = index.constants.get(other)
    if array is None or array.dtype != np.float32 or array.ndim > (index.rank(made) or 0):
        return position, None
    if array.size != width or array.shape[-1] != width:
        return position, None
    return after, array.reshape(-1)
