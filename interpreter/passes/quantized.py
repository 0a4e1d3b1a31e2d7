"""Quantised values as float32 from one kernel to the next.

NumPy has no fast product of integers, but BLAS's float32 product of integers is exact
while no partial sum leaves 2^24. So a quantised value becomes its *centred* twin,
``q - zero_point`` in float32: products read twins and make twins, what only moves or
compares values follows, and integers are written only where a node insists on them.
The results are those of the plain operators, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..checking import reads
from ..fast import FAST
from ..graph import Graph, Node
from ..types import Array, TensorType, Type
from ._index import Index
from .grid import BYTES, Grid, limits_of, moves, rounding, scale_and_limits, zero_point_of
from .integer_weights import (
    MOST_PIECES,
    centred_weights,
    depth_pieces,
    factor_of,
    is_exact,
    prepared_lstm,
)
from .layout import TO_FIRST, TO_LAST, pads_of


@dataclass(frozen=True)
class Twin:
    """The centred float32 value of a quantised one, and what its zero point is."""

    name: str
    zero_point: str
    key: Any
    """What two zero points have in common that are the same: a constant's number, or a name."""


def centre_quantized(graph: Graph) -> Graph:
    """Products of bytes with constant bytes, and what lies between them, on centred float32."""
    return _Sweep(graph).run()


class _Sweep:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.index = Index(graph)
        self.nodes: list[Node] = []
        self.twins: dict[str, Twin] = {}
        self.made: set[str] = set()  # quantised values that no node has written yet
        self.types: dict[str, Type] = {}

    def run(self) -> Graph:
        rules: dict[str, Callable[[Node], bool]] = {
            "QuantizeLinear": self.quantize,
            "DequantizeLinear": self.dequantize,
            "DynamicQuantizeLinear": self.dynamic_quantize,
            "QLinearConv": self.qlinear_conv,
            "ConvInteger": self.conv_integer,
            "QLinearMatMul": self.qlinear_matmul,
            "MatMulInteger": self.matmul_integer,
            "QLinearAdd": self.qlinear_add,
            "DynamicQuantizeLSTM": self.lstm,
            "Cast": self.cast,
        }
        for node in self.graph.nodes:
            rule = rules.get(node.op_type) if node.domain in ("", "com.microsoft") else None
            if moves(node):
                rule = self.move
            if rule is None or not rule(node):
                self.keep(node)
        for value in self.graph.outputs:
            self.integers(value.name)
        return replace(
            self.graph, nodes=tuple(self.nodes), types={**self.graph.types, **self.types}
        )

    # What a rule needs

    def keep(self, node: Node) -> None:
        for name in reads(node):
            self.integers(name)
        self.nodes.append(node)

    def integers(self, name: str) -> None:
        """See to it that the quantised value itself exists."""
        if name in self.made:
            self.made.discard(name)
            twin, known = self.twins[name], self.index.tensor(name)
            assert known is not None
            inputs = (twin.name, twin.zero_point) if twin.zero_point else (twin.name,)
            attributes = {"dtype": known.dtype}
            self.nodes.append(
                Node("Integers", inputs, (name,), attributes, f"{name}/Integers", FAST)
            )

    def key(self, zero_point: str) -> Any:
        if not zero_point:
            return 0
        array = self.index.constants.get(zero_point)
        return zero_point if array is None else tuple(array.reshape(-1).tolist())

    def centred(self, name: str, zero_point: str) -> str:
        """The centred twin of a value, made where there is none with that zero point yet."""
        key = _simple(self.key(zero_point))
        twin = self.twins.get(name)
        if twin is not None and twin.key == key:
            return twin.name
        self.integers(name)
        output = f"{name}/centred" if twin is None else f"{name}/centred/{len(self.nodes)}"
        inputs = (name, zero_point) if zero_point else (name,)
        self.nodes.append(Node("Centre", inputs, (output,), {}, f"{output}/Centre", FAST))
        self.remember(name, output, zero_point, known=twin is None)
        return output

    def remember(self, name: str, twin: str, zero_point: str, known: bool = True) -> None:
        if known:
            self.twins[name] = Twin(twin, zero_point, _simple(self.key(zero_point)))
        self.set_type(twin, name)

    def set_type(self, name: str, like: str, perm: tuple[int, ...] | None = None) -> None:
        """float32 of a known value's shape."""
        known = self.index.tensor(like)
        shape = None if known is None else known.shape
        if shape is not None and perm is not None:
            shape = tuple(shape[axis] for axis in perm)
        self.types[name] = TensorType(np.dtype(np.float32), shape)

    def make(self, node: Node, zero_point: str = "", **changes: Any) -> bool:
        """Put in a node that makes the centred twin of ``node``'s first output."""
        output = node.outputs[0]
        twin = f"{output}/centred"
        self.nodes.append(replace(node, outputs=(twin,), **changes))
        self.remember(output, twin, zero_point)
        self.made.add(output)
        return True

    def byte(self, name: str) -> bool:
        known = self.index.tensor(name)
        return known is not None and known.dtype in BYTES

    def number(self, name: str) -> bool:
        """Whether a zero point is one for the whole tensor (or absent)."""
        if not name:
            return True
        known = self.index.tensor(name)
        return known is not None and known.shape in ((), (1,)) and known.dtype in BYTES

    # The rules: each returns whether it has dealt with the node

    def quantize(self, node: Node) -> bool:
        found = scale_and_limits(node, self.index)
        if found is None or not self.byte(node.outputs[0]):
            return False
        zero_point = node.inputs[2] if len(node.inputs) > 2 else ""
        grid = Grid(*found, factor=1.0)
        return self.make(rounding(node, node.inputs[0], grid, node.outputs[0]), zero_point)

    def dequantize(self, node: Node) -> bool:
        found = scale_and_limits(node, self.index)
        zero_point = node.inputs[2] if len(node.inputs) > 2 else ""
        twin = self.twins.get(node.inputs[0])
        if found is None or twin is None or twin.key != _simple(self.key(zero_point)):
            return False
        self.nodes.append(
            replace(
                node,
                op_type="Mul",
                domain="",
                opset=14,
                inputs=(twin.name, node.inputs[1]),
                attributes={},
            )
        )
        return True

    def dynamic_quantize(self, node: Node) -> bool:
        (x,), (quantised, scale, zero_point) = node.inputs, (*node.outputs, "", "")[:3]
        if not scale or not zero_point or not quantised:
            return False
        outputs = (scale, zero_point)
        self.nodes.append(
            replace(node, op_type="DynamicRange", domain=FAST, outputs=outputs, attributes={})
        )
        return self.make(
            replace(node, outputs=(quantised,)),
            zero_point,
            op_type="DynamicQuantize",
            domain=FAST,
            inputs=(x, *outputs),
            attributes={},
        )

    def qlinear_conv(self, node: Node) -> bool:
        x, _, x_zero, w, _, w_zero, _, y_zero, bias = (*node.inputs, "")[:9]
        zero = self.index.constants.get(y_zero)
        weight = centred_weights(w, w_zero, 0, self.index)
        if zero is None or zero.size != 1 or zero.dtype not in BYTES or weight is None:
            return False
        factor = factor_of(node, weight.shape[0], self.index)
        if factor is None:
            return False
        attributes: dict[str, Any] = {
            "factor": factor,
            "limits": limits_of(zero.dtype, int(zero.reshape(()))),
        }
        if bias:
            array = self.index.constants.get(bias)
            # Then the sum is rounded once, as int32 is when it becomes float32.
            if array is None or array.shape != weight.shape[:1] or abs(array).max() > 2**24:
                return False
            attributes["bias"] = array.astype(np.float32)
        return self.convolve(node, x, x_zero, weight, y_zero, attributes)

    def conv_integer(self, node: Node) -> bool:
        x, w, x_zero, w_zero = (*node.inputs, "", "")[:4]
        weight = centred_weights(w, w_zero, 0, self.index)
        return weight is not None and self.convolve(node, x, x_zero, weight, "", {})

    def convolve(
        self, node: Node, x: str, x_zero: str, weight: Array, y_zero: str, extra: dict[str, Any]
    ) -> bool:
        """A convolution of images, with a Transpose on both sides that the layout pass cancels."""
        known = self.index.tensor(x)
        if not self.byte(x) or known is None or known.shape is None or weight.ndim != 4:
            return False
        kernel = tuple(weight.shape[2:])
        strides = tuple(node.attributes.get("strides", (1, 1)))
        dilations = tuple(node.attributes.get("dilations", (1, 1)))
        group = node.attributes.get("group", 1)
        if group < 1 or weight.shape[0] % group or not self.number(x_zero):
            return False
        if len(known.shape) != 4 or known.shape[1] != weight.shape[1] * group:
            return False
        if node.attributes.get("kernel_shape", kernel) != kernel:
            return False
        pads = pads_of(node, self.index, kernel, strides, dilations)
        if pads is None:
            return False
        by_channel = weight.reshape(len(weight), weight.shape[1], -1).transpose(1, 2, 0)
        whole = group > 1 or (y_zero == "" and not self.only_float(node))
        pieces = depth_pieces(by_channel, 1 if whole else MOST_PIECES)
        if pieces is None:
            return False
        attributes = {
            "weight": weight.transpose(2, 3, 1, 0).astype(np.float32),
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "group": group,
            "pieces": pieces,
            **extra,
        }
        source, output = self.centred(x, x_zero), node.outputs[0]
        before, after = f"{output}/in", f"{output}/out"
        self.nodes.append(_transpose(source, before, TO_LAST))
        self.set_type(before, x, TO_LAST)
        self.nodes.append(
            replace(
                node,
                op_type="QuantizedConv",
                domain=FAST,
                inputs=(before,),
                outputs=(after,),
                attributes=attributes,
            )
        )
        self.set_type(after, output, TO_LAST)
        return self.make(replace(_transpose(after, output, TO_FIRST), name=node.name), y_zero)

    def qlinear_matmul(self, node: Node) -> bool:
        a, _, a_zero, b, _, b_zero, _, y_zero = node.inputs
        zero = self.index.constants.get(y_zero)
        weight = self.matrix(a, a_zero, b, b_zero)
        if zero is None or zero.size != 1 or zero.dtype not in BYTES or weight is None:
            return False
        factor = factor_of(node, weight.shape[1], self.index)
        if factor is None:
            return False
        limits = limits_of(zero.dtype, int(zero.reshape(())))
        source = self.centred(a, a_zero)
        return self.multiply(node, source, weight, y_zero, factor=factor, limits=limits)

    def matmul_integer(self, node: Node) -> bool:
        a, b, a_zero, b_zero = (*node.inputs, "", "")[:4]
        weight = self.matrix(a, a_zero, b, b_zero)
        if weight is None:
            return False
        source = self.centred(a, a_zero)
        if self.only_float(node) or is_exact(weight):
            return self.multiply(node, source, weight, "")
        # Sums beyond 2^24, of which someone wants the integers.
        self.multiply(node, source, weight, "", integers=True)
        self.nodes[-1] = replace(self.nodes[-1], outputs=node.outputs)
        self.made.discard(node.outputs[0])
        del self.twins[node.outputs[0]]
        return True

    def only_float(self, node: Node) -> bool:
        """Whether the integers that a node gives are read as float32 by all."""
        return node.outputs[0] not in self.index.outputs and all(
            self.graph.nodes[reader].op_type == "Cast"
            and self.index.is_float32(self.graph.nodes[reader].outputs[0])
            for reader in self.index.readers.get(node.outputs[0], [])
        )

    def matrix(self, a: str, a_zero: str, b: str, b_zero: str) -> Array | None:
        """The right factor of a product of a with a constant matrix, None where it is not one."""
        if not self.byte(a) or not self.number(a_zero):
            return None
        weight = centred_weights(b, b_zero, -1, self.index)
        if weight is None or weight.ndim != 2 or depth_pieces(weight, MOST_PIECES) is None:
            return None
        return weight

    def multiply(self, node: Node, a: str, weight: Array, y_zero: str, **extra: Any) -> bool:
        """A product, in as many pieces of its depth as make each exact."""
        pieces = depth_pieces(weight, MOST_PIECES)
        return self.make(
            node,
            y_zero,
            op_type="QuantizedDense",
            domain=FAST,
            inputs=(a,),
            attributes={"weight": weight.astype(np.float32), "pieces": pieces, **extra},
        )

    def qlinear_add(self, node: Node) -> bool:
        """A sum of two values of one shape that have twins."""
        a, _, a_zero, b, _, b_zero, _, y_zero = (*node.inputs, "")[:8]
        known, other = self.index.tensor(a), self.index.tensor(b)
        scales = [self.index.constants.get(node.inputs[place]) for place in (1, 4, 6)]
        zero = zero_point_of(node, 7, self.index)
        if not self.byte(a) or zero is None or known is None or known != other:
            return False
        if known.shape is None or None in known.shape or not self.twins.keys() >= {a, b}:
            return False
        if any(scale is None or scale.size != 1 for scale in scales):
            return False
        first, second, result = (
            scale.reshape(()).astype(np.float32) for scale in scales if scale is not None
        )
        assert known.dtype is not None
        return self.make(
            node,
            y_zero,
            op_type="QuantizedAdd",
            domain=FAST,
            inputs=(self.centred(a, a_zero), self.centred(b, b_zero)),
            attributes={
                "factors": (first / result, second / result),
                "zero_point": float(zero),
                "limits": limits_of(known.dtype, 0),
            },
        )

    def lstm(self, node: Node) -> bool:
        prepared = prepared_lstm(node, self.index)
        if prepared is None:
            return False
        self.nodes.append(prepared)
        return True

    def cast(self, node: Node) -> bool:
        """Integers without a zero point are float32 already."""
        twin = self.twins.get(node.inputs[0])
        if twin is None or twin.key != 0 or not self.index.is_float32(node.outputs[0]):
            return False
        self.nodes.append(Node("Identity", (twin.name,), node.outputs, name=node.name, opset=13))
        return True

    def move(self, node: Node) -> bool:
        twin = self.twins.get(node.inputs[0])
        if twin is None:
            return False
        for name in node.inputs[1:]:
            self.integers(name)
        return self.make(node, twin.zero_point, inputs=(twin.name, *node.inputs[1:]))


def _simple(key: Any) -> Any:
    """A zero point of one number, however its array is shaped, is that number."""
    return key[0] if isinstance(key, tuple) and len(key) == 1 else key


def _transpose(source: str, target: str, perm: tuple[int, ...]) -> Node:
    return Node("Transpose", (source,), (target,), {"perm": perm}, f"{target}/Transpose", opset=13)
