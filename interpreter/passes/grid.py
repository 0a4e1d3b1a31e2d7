"""Quantised and at once dequantised: a float32 value moves onto a grid, and stays float32."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import ml_dtypes
import numpy as np

from ..fast import FAST
from ..graph import Graph, Node
from ..types import Dtype
from ._index import Index, rebuild

BYTES = (np.dtype(np.uint8), np.dtype(np.int8))
_SHORTS = (np.dtype(np.uint16), np.dtype(np.int16))


class Grid(NamedTuple):
    """The parameters of the activation ``Quantize``: x onto the multiples of a scale."""

    scale: float
    low: float
    high: float
    factor: float


def join_quantization(graph: Graph) -> Graph:
    """QuantizeLinear with the DequantizeLinear behind it is one activation, float32 to float32.

    It is left out where its input lies on the same grid already.
    """
    index = Index(graph)
    changes: dict[int, tuple[Node, ...]] = {}
    grids: dict[str, Grid] = {}
    for position, node in enumerate(graph.nodes):
        grid = _joined(node, index)
        if grid is None:
            grid = _kept_grid(node, grids)
        else:
            before = index.maker(node.inputs[0])
            assert before is not None
            source = before.inputs[0]
            if grids.get(source) == grid:
                changes[position] = (Node("Identity", (source,), node.outputs, opset=13),)
            else:
                changes[position] = (rounding(node, source, grid, node.outputs[0]),)
        if grid is not None:
            grids[node.outputs[0]] = grid
    return rebuild(graph, changes) if changes else graph


def _joined(node: Node, index: Index) -> Grid | None:
    if not _is(node, "DequantizeLinear") or not index.is_float32(node.outputs[0]):
        return None
    before = index.maker(node.inputs[0])
    if before is None or not _is(before, "QuantizeLinear"):
        return None
    one, other = (scale_and_limits(each, index) for each in (before, node))
    if one is None or one != other:
        return None
    scale, low, high = one
    return Grid(scale, low, high, scale)


def _is(node: Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in ("", "com.microsoft")


def scale_and_limits(node: Node, index: Index) -> tuple[float, float, float] | None:
    """Scale and limits of a Quantize- or DequantizeLinear with one constant scale for all."""
    scale = index.constants.get(node.inputs[1])
    quantised = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    real = node.inputs[0] if node.op_type == "QuantizeLinear" else node.outputs[0]
    known = index.tensor(quantised)
    if scale is None or scale.size != 1 or scale.dtype != np.float32 or known is None:
        return None
    if not index.is_float32(real) or node.attributes.get("block_size", 0):
        return None
    if node.attributes.get("precision", 0) or known.dtype not in (*BYTES, *_SHORTS):
        return None
    zero = zero_point_of(node, 2, index)
    number = float(scale.reshape(()))
    # Of a number this large or not positive the next quantisation would not give it back.
    if zero is None or not 0 < number < 1e30:
        return None
    return number, *limits_of(known.dtype, zero)


def limits_of(dtype: Dtype, zero_point: int) -> tuple[float, float]:
    """The least and the greatest number of a dtype, without the zero point."""
    info = ml_dtypes.iinfo(dtype)
    return float(info.min - zero_point), float(info.max - zero_point)


def zero_point_of(node: Node, position: int, index: Index) -> int | None:
    """A zero point for the whole tensor, 0 where it is absent; None where it is not known."""
    if len(node.inputs) <= position or not node.inputs[position]:
        return 0
    array = index.constants.get(node.inputs[position])
    return int(array.reshape(())) if array is not None and array.size == 1 else None


def rounding(node: Node, source: str, grid: Grid, output: str) -> Node:
    """The activation that moves ``source`` onto a grid, in the place of ``node``."""
    return replace(
        node,
        op_type="Activation",
        domain=FAST,
        inputs=(source,),
        outputs=(output,),
        attributes={"activation": "Quantize", "activation_parameters": tuple(grid)},
    )


_MOVES = frozenset("Reshape Flatten Transpose Squeeze Unsqueeze Identity MaxPool".split())
"""Operators whose output's values are among those of their first input."""


def moves(node: Node) -> bool:
    """Whether a node gives some of its first input's values, whatever they are."""
    if node.domain or node.op_type not in _MOVES:
        return False
    if node.op_type != "MaxPool":
        return True
    # A window of padding alone would give a value of its own.
    kernel, pads = node.attributes.get("kernel_shape", (0,)), node.attributes.get("pads", (0,))
    return (
        len([name for name in node.outputs if name]) == 1
        and not node.attributes.get("ceil_mode", 0)
        and set(node.attributes.get("dilations", (1,))) == {1}
        and max(pads, default=0) < min(kernel, default=0)
    )


def _kept_grid(node: Node, grids: dict[str, Grid]) -> Grid | None:
    return grids.get(node.inputs[0]) if moves(node) else None
