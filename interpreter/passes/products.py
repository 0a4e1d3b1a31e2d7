"""Products, means and normalisations become fast nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..fast import FAST
from ..graph import Graph, Node
from ..types import HALF, Array, TensorType, Type
from ._index import Index, rebuild


def find_spatial_mean(graph: Graph) -> Graph:
    """The mean over height and width of a channels-last image is a global average pool."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    constants: dict[str, Array] = {}
    types: dict[str, Type] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or node.op_type != "ReduceMean" or not index.is_float32(node.inputs[0]):
            continue
        axes = node.attributes.get("axes")
        if axes is None and len(node.inputs) > 1 and node.inputs[1] in index.constants:
            axes = tuple(int(axis) for axis in index.constants[node.inputs[1]])
        known = index.tensor(node.inputs[0])
        if known is None or known.shape is None or len(known.shape) != 4:
            continue
        if {axis % 4 for axis in axes or ()} != {1, 2}:
            continue
        pooled, spatial = f"{node.outputs[0]}/pooled", f"{node.outputs[0]}/spatial"
        keeps = node.attributes.get("keepdims", 1)
        outputs = node.outputs if keeps else (pooled,)
        pool = replace(
            node,
            op_type="GlobalAveragePool",
            domain=FAST,
            inputs=node.inputs[:1],
            outputs=outputs,
            attributes={},
        )
        changes[position] = (pool,)
        if not keeps:
            types[pooled] = TensorType(known.dtype, (known.shape[0], 1, 1, known.shape[3]))
            constants[spatial] = np.array([1, 2])
            squeeze = Node("Squeeze", (pooled, spatial), node.outputs, name=node.name, opset=13)
            changes[position] = (pool, squeeze)
    return rebuild(graph, changes, constants, types) if changes else graph


def make_dense(graph: Graph) -> Graph:
    """Gemm and MatMul with a constant matrix become fast nodes."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or node.op_type not in ("Gemm", "MatMul"):
            continue
        known = index.tensor(node.inputs[0])
        weight = index.constants.get(node.inputs[1])
        if known is None or known.shape is None or weight is None:
            continue
        rounding = _rounding(known)
        if rounding is None:
            continue
        if weight.ndim != 2 or len(known.shape) < 2 or 0 in weight.shape:
            continue
        attributes: dict[str, Any] = {}
        if node.op_type == "Gemm":
            if node.attributes.get("transA", 0) or len(known.shape) != 2:
                continue
            if node.attributes.get("transB", 0):
                weight = weight.T
            alpha = node.attributes.get("alpha", 1.0)
            weight = weight if alpha == 1 else (weight * np.float64(alpha)).astype(np.float32)
            if len(node.inputs) > 2 and node.inputs[2]:
                bias = _row(node.inputs[2], weight.shape[1], index)
                if bias is None:
                    continue
                beta = np.float64(node.attributes.get("beta", 1.0))
                attributes["bias"] = (bias * beta).astype(np.float32)
        changes[position] = (
            replace(
                node,
                op_type="Dense",
                domain=FAST,
                inputs=(node.inputs[0],),
                attributes={"weight": weight, **attributes, **rounding},
            ),
        )
    return rebuild(graph, changes) if changes else graph


def _rounding(known: TensorType | None) -> dict[str, Any] | None:
    """The attribute of a fast node that computes in float32 for a type: none for float32, what is
    rounded to for float16 and bfloat16. None for other types."""
    if known is None or known.dtype is None:
        return None
    if known.dtype == np.float32:
        return {}
    return {"rounds_to": known.dtype} if known.dtype in HALF else None


def _row(name: str, width: int, index: Index) -> Array | None:
    """A constant that is the same in each row, as an array of that width."""
    array = index.constants.get(name)
    if array is None or array.ndim > 2 or (array.ndim == 2 and array.shape[0] != 1):
        return None
    if array.size not in (1, width):
        return None
    return np.broadcast_to(array.reshape(-1), (width,))


def make_rows(graph: Graph) -> Graph:
    """Softmax, LayerNormalization and RMSNormalization along the last axis, and products of stacks
    of matrices."""
    index = Index(graph)
    changes: dict[int, Sequence[Node]] = {}
    for position, node in enumerate(graph.nodes):
        if node.domain or not node.inputs:
            continue
        rounding = _rounding(index.tensor(node.inputs[0]))
        if rounding is None:
            continue
        rank = index.rank(node.inputs[0])
        if rank is None or rank < 2:
            continue
        fast = None
        if rounding and node.op_type != "MatMul":
            continue  # the standard's function bodies round between their steps
        if node.op_type == "Softmax" and node.opset >= 13:
            fast = _softmax(node, rank)
        elif node.op_type in ("LayerNormalization", "RMSNormalization"):
            fast = _layer_normalization(node, rank, index)
        elif node.op_type == "MatMul" and _are_stacks(node, index):
            fast = replace(node, domain=FAST)
        if fast is not None:
            fast = replace(fast, attributes={**fast.attributes, **rounding})
            changes[position] = (fast,)
    return rebuild(graph, changes) if changes else graph


def _are_stacks(node: Node, index: Index) -> bool:
    return all((index.rank(name) or 0) > 2 for name in node.inputs)


def _softmax(node: Node, rank: int) -> Node | None:
    if node.attributes.get("axis", -1) % rank != rank - 1:
        return None
    return replace(node, domain=FAST, attributes={})


def _layer_normalization(node: Node, rank: int, index: Index) -> Node | None:
    parameters = [index.constants.get(name) for name in node.inputs[1:] if name]
    if (
        node.attributes.get("axis", -1) % rank != rank - 1
        or node.attributes.get("stash_type", 1) != 1
        or len([name for name in node.outputs if name]) > 1
        or not parameters
        or any(array is None or array.ndim != 1 for array in parameters)
        or len({array.shape for array in parameters if array is not None}) != 1
    ):
        return None
    return replace(
        node,
        op_type="LayerNormalization",
        domain=FAST,
        inputs=node.inputs[:1],
        attributes={
            "scale": parameters[0],
            "bias": parameters[1] if len(parameters) > 1 else None,
            "epsilon": node.attributes.get("epsilon", 1e-5),
            "centre": node.op_type == "LayerNormalization",
        },
    )
