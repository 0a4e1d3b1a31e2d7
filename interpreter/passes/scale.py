"""BatchNormalization, and products and sums with a constant a channel, go into the convolution or
product before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..graph import Graph, Node
from ..types import Array
from ._index import Index, rebuild


class Affine(NamedTuple):
    """y = x * scale + shift, a number a channel (axis 1)."""

    scale: Array
    shift: Array


def fold_scale(graph: Graph) -> Graph:
    """Fold every affine node that is the only reader of a Conv or Gemm with constant weights.

    The new weights are computed in float64 and rounded once.
    """
    while True:
        changed = _fold_once(graph)
        if changed is graph:
            return graph
        graph = changed


def _fold_once(graph: Graph) -> Graph:
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    constants: dict[str, Array] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or node.op_type not in ("Conv", "Gemm") or not _has_constants(node, index):
            continue
        after = index.only_reader(node.outputs[0])
        if after is None or position in changes:
            continue
        affine = _affine(graph.nodes[after], node.outputs[0], index)
        if affine is None:
            continue
        folded = _folded(node, graph.nodes[after], affine, index, constants)
        if folded is not None:
            # The folded node stands where the affine one stood: its readers come later.
            changes[position], changes[after] = (), (folded,)
    return rebuild(graph, changes, constants) if changes else graph


def _has_constants(node: Node, index: Index) -> bool:
    return len(node.inputs) > 1 and all(name in index.constants for name in node.inputs[1:] if name)


def _affine(node: Node, source: str, index: Index) -> Affine | None:
    """What the node does to each channel of ``source``, None where it does anything else."""
    known = index.tensor(source)
    if node.domain or known is None or known.shape is None or len(known.shape) < 2:
        return None
    rank, channels = len(known.shape), known.shape[1]
    if not isinstance(channels, int):
        return None
    if node.op_type == "BatchNormalization":
        if (
            node.inputs[0] != source
            or node.opset < 7
            or node.attributes.get("training_mode", 0)
            or not node.attributes.get("spatial", 1)
            or len([name for name in node.outputs if name]) > 1
            or any(name not in index.constants for name in node.inputs[1:])
        ):
            return None
        gamma, beta, mean, variance = (
            index.constants[name].astype(np.float64) for name in node.inputs[1:5]
        )
        scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        return Affine(scale, beta - mean * scale)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.opset < 7:
        return None
    first, second = node.inputs
    other = second if first == source else first
    if other not in index.constants or other == source:
        return None
    if node.op_type in ("Sub", "Div") and first != source:
        return None
    values = _per_channel(index.constants[other], rank, channels)
    if values is None:
        return None
    if node.op_type in ("Add", "Sub"):
        return Affine(np.ones(channels), values if node.op_type == "Add" else -values)
    return Affine(values if node.op_type == "Mul" else 1 / values, np.zeros(channels))


def _per_channel(array: Array, rank: int, channels: int) -> Array | None:
    """The constant as one number a channel, None where it varies along another axis."""
    if array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1):
        return None
    if shape[1] not in (1, channels):
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (channels,))


def _folded(
    node: Node, after: Node, affine: Affine, index: Index, constants: dict[str, Array]
) -> Node | None:
    weight = index.constants[node.inputs[1]]
    if weight.dtype not in (np.float32, np.float64):
        return None
    attributes = dict(node.attributes)
    bias_name = node.inputs[2] if len(node.inputs) > 2 else ""
    bias = index.constants[bias_name].astype(np.float64) if bias_name else np.zeros(1)
    if node.op_type == "Conv":
        scale = affine.scale.reshape(-1, *(1,) * (weight.ndim - 1))
    else:
        if bias.ndim > 1 and bias.shape[0] != 1:
            return None
        scale = affine.scale if not attributes.get("transB", 0) else affine.scale[:, None]
        bias = bias.reshape(-1) * attributes.pop("beta", 1.0)
    scaled = (weight.astype(np.float64) * scale).astype(weight.dtype)
    shifted = (bias * affine.scale + affine.shift).astype(weight.dtype)
    if not (np.isfinite(scaled).all() and np.isfinite(shifted).all()):
        return None  # infinity times a weight is not infinity times a sum
    weight_name, bias_name = f"{after.outputs[0]}/weight", f"{after.outputs[0]}/bias"
    constants[weight_name], constants[bias_name] = scaled, shifted
    return replace(
        node,
        inputs=(node.inputs[0], weight_name, bias_name),
        outputs=(after.outputs[0],),
        attributes=attributes,
    )
