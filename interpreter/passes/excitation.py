"""Squeeze and excitation, as EfficientNet and MobileNetV3 have it, in two nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..fast import FAST
from ..graph import Graph, Node
from ._index import Index, is_pointwise, rebuild
from .layout import TO_LAST

_SMALL = ("Sigmoid", "HardSigmoid")
"""Activations between 0 and 1: a matrix that is scaled by them does not overflow."""


def join_gates(graph: Graph) -> Graph:
    """The mean over an image and the 1×1 convolutions of it become one node.

    Between them there may be Reshapes and Transposes that move no element: what
    has one pixel is the same with the channels first and last.
    """
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if position in changes or not _is_pool(node):
            continue
        members, layers = _layers_behind(position, index)
        if layers:
            last = graph.nodes[members[-1]]
            changes.update(dict.fromkeys((position, *members), ()))
            changes[members[-1]] = (
                replace(
                    last, op_type="Gate", inputs=node.inputs, attributes={"layers": tuple(layers)}
                ),
            )
    return rebuild(graph, changes) if changes else graph


def _is_pool(node: Node) -> bool:
    return node.domain == FAST and node.op_type == "GlobalAveragePool"


def _layers_behind(position: int, index: Index) -> tuple[list[int], list[dict[str, Any]]]:
    """The nodes behind a mean up to its last 1×1 convolution, and what dense layers those are."""
    nodes = index.graph.nodes
    walked: list[int] = []
    members: list[int] = []
    layers: list[dict[str, Any]] = []
    name = nodes[position].outputs[0]
    image = index.tensor(nodes[position].inputs[0])
    width = image.shape[3] if image is not None and image.shape is not None else None
    while True:
        after = index.only_reader(name)
        if after is None:
            return members, layers
        node = nodes[after]
        walked.append(after)
        if _mixes_all(node, 1) and _is_pixel(node.inputs[0], index):
            weight = node.attributes["weight"][0, 0]
            if width == weight.shape[0]:
                width = weight.shape[1]
                kept = ("bias", "activation", "activation_parameters")
                options = {key: node.attributes[key] for key in kept if key in node.attributes}
                layers.append({"weight": weight, **options})
                members = list(walked)
                name = node.outputs[0]
                continue
        if not _moves_nothing(node, index):
            return members, layers
        name = node.outputs[0]


def _mixes_all(node: Node, inputs: int) -> bool:
    """Whether it is a 1×1 convolution of one group, with so many inputs at most."""
    return is_pointwise(node, inputs) and node.attributes["group"] == 1


def _is_pixel(name: str, index: Index) -> bool:
    """Whether a value is known to be images (N, 1, 1, C) of one pixel."""
    known = index.tensor(name)
    return (
        known is not None
        and known.shape is not None
        and len(known.shape) == 4
        and known.shape[1:3] == (1, 1)
    )


def _moves_nothing(node: Node, index: Index) -> bool:
    if node.domain or not node.inputs:
        return False
    if node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return True
    known = index.tensor(node.inputs[0])
    return (
        node.op_type == "Transpose"
        and node.attributes.get("perm") == TO_LAST
        and known is not None
        and known.shape is not None
        and known.shape[2:] == (1, 1)
    )


def scale_matrices(graph: Graph) -> Graph:
    """An image times gates of its channels, read by a 1×1 convolution alone: one node, which puts
    the gates into the convolution's matrix."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or node.op_type != "Mul" or node.opset < 7:
            continue
        after = index.only_reader(node.outputs[0])
        if after is None or not _mixes_all(graph.nodes[after], 2):
            continue
        conv = graph.nodes[after]
        for image, gate in (node.inputs, node.inputs[::-1]):
            if conv.inputs[0] == node.outputs[0] and _gates(gate, image, index):
                changes[position] = ()
                inputs = (image, gate, *conv.inputs[1:])
                changes[after] = (replace(conv, op_type="ScaledConv", inputs=inputs),)
                break
    return rebuild(graph, changes) if changes else graph


def _gates(gate: str, image: str, index: Index) -> bool:
    """Whether one value is gates from 0 to 1 for the channels of the other."""
    maker, known, other = index.maker(gate), index.tensor(gate), index.tensor(image)
    if maker is None or maker.domain != FAST or not _is_pixel(gate, index):
        return False
    last = maker.attributes
    if maker.op_type == "Gate":
        last = maker.attributes["layers"][-1]
    if last.get("activation") not in _SMALL:
        return False
    assert known is not None
    assert known.shape is not None
    return (
        other is not None
        and other.shape is not None
        and len(other.shape) == 4
        and isinstance(other.shape[3], int)
        and known.shape[3] == other.shape[3]
        and known.dtype == other.dtype
    )
