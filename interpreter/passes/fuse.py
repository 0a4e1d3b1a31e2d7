"""What follows a product is done in the same kernel: bias, residual sum, activation, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..fast import FAST
from ..graph import Graph, Node
from ..types import TensorType
from ._index import Index, rebuild
from .activations import activation_of

_MONOTONE = ("", "Relu", "Clip", "Sigmoid", "Tanh", "Quantize")
"""Activations before which a max pool may be taken: f(max(a, b)) = max(f(a), f(b))."""

_FUSED = ("Conv", "QuantizedConv", "Dense", "Affine")


def fold_pads(graph: Graph) -> Graph:
    """Zeros that are put around an image by a node of their own become the convolution's pads."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain != FAST or node.op_type != "Conv":
            continue
        before = index.maker(node.inputs[0])
        if before is None or before.domain or before.op_type != "Pad" or len(before.inputs) != 2:
            continue
        if before.attributes.get("mode", "constant") != "constant":
            continue
        pads = [int(pad) for pad in index.constants.get(before.inputs[1], ())]
        if len(pads) != 8 or min(pads) < 0:
            continue
        if pads[0] or pads[3] or pads[4] or pads[7]:  # of samples or channels
            continue
        own = node.attributes["pads"]
        around = (pads[1], pads[2], pads[5], pads[6])
        attributes = {
            **node.attributes,
            "pads": tuple(one + other for one, other in zip(own, around, strict=True)),
        }
        inputs = (before.inputs[0], *node.inputs[1:])
        changes[position] = (replace(node, inputs=inputs, attributes=attributes),)
    return rebuild(graph, changes) if changes else graph


def fuse_epilogues(graph: Graph) -> Graph:
    """Pull bias, residual, activation and pooling into the fast node before them, while it can."""
    while True:
        changed = _fuse_once(graph)
        if changed is graph:
            return graph
        graph = changed


def _fuse_once(graph: Graph) -> Graph:
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain != FAST or node.op_type not in _FUSED:
            continue
        after = index.only_reader(node.outputs[0])
        if after is None or after in changes or position in changes:
            continue
        fused = _fuse(node, graph.nodes[after], index)
        if fused is not None:
            changes[position] = ()
            changes[after] = (replace(fused, outputs=graph.nodes[after].outputs),)
    return rebuild(graph, changes) if changes else graph


def _fuse(node: Node, after: Node, index: Index) -> Node | None:
    """The node with the one after it inside, None where they do not go together."""
    attributes = dict(node.attributes)
    if node.op_type == "QuantizedConv":
        is_pool = after.domain == FAST and after.op_type == "MaxPool"
        return _fuse_pool(node, after, "max") if is_pool and attributes["pieces"] == 1 else None
    found = activation_of(after, index)
    if found is not None:
        if attributes.get("activation") or after.inputs[0] != node.outputs[0]:
            return None
        if attributes.get("pool") == "max" and found.kind not in _MONOTONE:
            return None
        if attributes.get("pool") == "average" or not index.is_float32(node.outputs[0]):
            return None
        attributes["activation"] = found.kind
        attributes["activation_parameters"] = found.parameters
        return replace(node, attributes=attributes)
    if (
        attributes.get("activation")
        and after.op_type != "MaxPool"
        and after.op_type != "AveragePool"
    ):
        return None
    if after.op_type == "Add" and not after.domain and after.opset >= 7:
        return _fuse_add(node, after, index)
    if node.op_type == "Conv" and after.domain == FAST and after.op_type.endswith("xPool"):
        return _fuse_pool(node, after, "max")
    if node.op_type == "Conv" and after.domain == FAST and after.op_type == "AveragePool":
        return _fuse_pool(node, after, "average")
    return None


def _fuse_add(node: Node, after: Node, index: Index) -> Node | None:
    other = after.inputs[1] if after.inputs[0] == node.outputs[0] else after.inputs[0]
    if other == node.outputs[0]:
        return None
    attributes = dict(node.attributes)
    if other in index.constants:
        if attributes.get("pool") or len(node.inputs) > 1 or node.op_type == "Affine":
            return None
        width = attributes["weight"].shape[-1]
        array = index.constants[other]
        if array.dtype != np.float32 or array.ndim > (index.rank(node.outputs[0]) or 0):
            return None
        if array.size != 1 and (array.size != width or array.shape[-1] != width):
            return None
        bias = np.broadcast_to(array.reshape(-1), (width,)).astype(np.float32)
        before = attributes.get("bias")
        attributes["bias"] = bias if before is None else before + bias
        return replace(node, attributes=attributes)
    if node.op_type != "Conv" or len(node.inputs) > 1 or attributes.get("pool"):
        return None
    mine, theirs = index.tensor(node.outputs[0]), index.tensor(other)
    if not _same_shape(mine, theirs):
        return None
    # The fused node stands where the sum stood, so the other value is ready.
    return replace(node, inputs=(node.inputs[0], other))


def _same_shape(one: TensorType | None, other: TensorType | None) -> bool:
    if one is None or other is None or one.shape is None or other.shape is None:
        return False
    return one.shape == other.shape and None not in one.shape and one.dtype == other.dtype


def _fuse_pool(node: Node, pool: Node, kind: str) -> Node | None:
    attributes = dict(node.attributes)
    shape = pool.attributes["kernel_shape"]
    if attributes.get("pool") or len(node.inputs) > 1 or any(pool.attributes["pads"]):
        return None
    if pool.attributes["strides"] != shape or shape[0] * shape[1] > 16 or shape == (1, 1):
        return None
    if kind == "max" and attributes.get("activation", "") not in _MONOTONE:
        return None
    if attributes["group"] > 1:
        return None
    return replace(node, attributes={**attributes, "pool": kind, "pool_shape": shape})
