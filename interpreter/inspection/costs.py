"""How much a node computes: multiply-accumulates (MACs) and floating-point operations (FLOPs).

The formulas, each from the operator's definition (docs/commands.md has the
table). A multiply-accumulate is two FLOPs; an elementwise operation is one for
each element, whatever it is; moving data is none. For integer operators the
count is of integer operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

from ..fast import FAST
from ..graph import Node

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = Sequence[Shape | None]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one node, for its whole batch."""

    macs: int
    flops: int


def cost_of(node: Node, inputs: Shapes, outputs: Shapes) -> Cost | None:
    """The cost of a node for the shapes of its inputs and outputs; None where it is not known.

    A shape is None for an absent or unknown value.
    """
    if node.domain == FAST:
        return _fast(node, inputs, outputs)
    try:
        if node.op_type in _PRODUCTS:
            macs, others = _PRODUCTS[node.op_type](node, inputs, outputs)
            return Cost(macs, 2 * macs + others)
        if node.op_type in _PER_OUTPUT:
            return Cost(0, _PER_OUTPUT[node.op_type] * _size(outputs[0]))
        if node.op_type in _PER_INPUT:
            return Cost(0, _PER_INPUT[node.op_type] * _size(inputs[0]))
        if node.op_type in _POOLS:
            return Cost(0, prod(_POOLS[node.op_type](node)) * _size(outputs[0]))
    except _UnknownError:
        return None
    return Cost(0, 0) if node.op_type in _MOVES else None


class _UnknownError(Exception):
    """A shape that the formula needs is not known."""


def _known(shape: Shape | None) -> Shape:
    if shape is None:
        raise _UnknownError
    return shape


def _size(shape: Shape | None) -> int:
    return prod(_known(shape))


def _at(shapes: Shapes, index: int) -> Shape | None:
    return shapes[index] if index < len(shapes) else None


Products: TypeAlias = tuple[int, int]
"""MACs, and the FLOPs beside them."""


def _conv(weight: int, bias: int) -> Callable[[Node, Shapes, Shapes], Products]:
    """Each output is a sum over kernel positions and a group's channels: prod(W.shape[1:])."""

    def count(node: Node, inputs: Shapes, outputs: Shapes) -> Products:
        del node
        size = _size(outputs[0])
        has_bias = _at(inputs, bias) is not None
        return size * prod(_known(inputs[weight])[1:]), size * has_bias

    return count


def _conv_transpose(node: Node, inputs: Shapes, outputs: Shapes) -> Products:
    """Each input element goes to a kernel of a group's output channels: prod(W.shape[1:])."""
    del node
    macs = _size(inputs[0]) * prod(_known(inputs[1])[1:])
    return macs, _size(outputs[0]) * (_at(inputs, 2) is not None)


def _gemm(node: Node, inputs: Shapes, outputs: Shapes) -> Products:
    a, size = _known(inputs[0]), _size(outputs[0])
    inner = a[0] if node.attributes.get("transA") else a[1]
    scaled = node.attributes.get("alpha", 1.0) != 1.0
    return size * inner, size * (scaled + (_at(inputs, 2) is not None))


def _matmul(node: Node, inputs: Shapes, outputs: Shapes) -> Products:
    del node
    a = _known(inputs[0])
    return _size(outputs[0]) * (a[-1] if a else 1), 0


def _einsum(node: Node, inputs: Shapes, outputs: Shapes) -> Products:
    """One MAC for each combination of all indices."""
    del outputs
    terms = str(node.attributes["equation"]).replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        if "." in term or len(term) != len(_known(shape)):
            raise _UnknownError
        sizes.update(zip(term, _known(shape), strict=True))
    return prod(sizes.values()) * max(len(terms) - 1, 1), 0


def _recurrent(gates: int, elementwise: int) -> Callable[[Node, Shapes, Shapes], Products]:
    """Every step, direction and sequence: gates · H · (I + H) MACs, and H times ``elementwise``."""

    def count(node: Node, inputs: Shapes, outputs: Shapes) -> Products:
        del outputs
        x, r = _known(inputs[0]), _known(inputs[2])
        hidden = r[-1]
        cells = x[0] * x[1] * r[0]
        macs = cells * gates * hidden * (x[2] + hidden)
        del node
        return macs, cells * hidden * (elementwise + gates)

    return count


_PRODUCTS: Mapping[str, Callable[[Node, Shapes, Shapes], Products]] = {
    "Conv": _conv(1, 2),
    "FusedConv": _conv(1, 2),
    "ConvInteger": _conv(1, 9),
    "QLinearConv": _conv(3, 8),
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Einsum": _einsum,
    # Beside the biases: RNN 1 activation; GRU 3 activations and 4 products and sums;
    # LSTM 5 activations and 4 products and sums.
    "RNN": _recurrent(1, 1),
    "GRU": _recurrent(3, 7),
    "LSTM": _recurrent(4, 9),
}


def _fast(node: Node, inputs: Shapes, outputs: Shapes) -> Cost | None:
    """Fast nodes hold their weights as attributes, and have channels last."""
    x, y = _at(inputs, 0), _at(outputs, 0)
    weight: Any = node.attributes.get("weight")
    if x is None or y is None:
        return None
    if node.op_type == "Dense":
        macs = prod(x[:-1]) * weight.size
        return Cost(macs, 2 * macs + prod(y))
    if node.op_type == "Gate":
        macs = x[0] * sum(layer["weight"].size for layer in node.attributes["layers"])
        return Cost(macs, 2 * macs + prod(x))
    if node.op_type in ("Conv", "ScaledConv"):
        kernel = weight.shape[: len(x) - 2]
        spatial = [
            (size + before + after - dilation * (k - 1) - 1) // stride + 1
            for size, before, after, k, dilation, stride in zip(
                x[1:-1],
                node.attributes["pads"][: len(kernel)],
                node.attributes["pads"][len(kernel) :],
                kernel,
                node.attributes["dilations"],
                node.attributes["strides"],
                strict=True,
            )
        ]
        macs = x[0] * prod(spatial) * weight.size
        return Cost(macs, 2 * macs + prod(spatial) * x[0] * weight.shape[-1])
    if node.op_type == "MatMul":
        macs = prod(y) * x[-1]
        return Cost(macs, 2 * macs)
    if node.op_type == "Recurrent":
        return _fast_recurrent(node, x[0] * x[1])
    if node.op_type in _PER_OUTPUT:
        return Cost(0, _PER_OUTPUT[node.op_type] * prod(y))
    if node.op_type in ("Activation", "Affine", "MaxPool", "AveragePool", "GlobalAveragePool"):
        return Cost(0, max(prod(x), prod(y)))
    return None


def _fast_recurrent(node: Node, cells: int) -> Cost:
    """A stack of layers; where there is a table the first input's products are in it."""
    macs = others = 0
    elementwise = {"RNN": 1, "GRU": 7, "LSTM": 9}[node.attributes["kind"]]
    for position, layer in enumerate(node.attributes["layers"]):
        directions, rows, hidden = layer.R.shape
        looked_up = position == 0 and node.attributes.get("table") is not None
        width = hidden + (0 if looked_up else layer.W.shape[-1])
        macs += cells * directions * rows * width
        others += cells * directions * (rows + elementwise * hidden)
    return Cost(macs, 2 * macs + others)


def _kernel(node: Node) -> Shape:
    return tuple(node.attributes["kernel_shape"])


_POOLS: Mapping[str, Callable[[Node], Shape]] = {
    "MaxPool": _kernel,
    "AveragePool": _kernel,
    "LpPool": _kernel,
}

_PER_INPUT: Mapping[str, int] = dict.fromkeys(
    (
        "GlobalAveragePool GlobalMaxPool GlobalLpPool ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ArgMax ArgMin CumSum MaxRoiPool"
    ).split(),
    1,
) | dict.fromkeys("ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp".split(), 2)

_PER_OUTPUT: Mapping[str, int] = {
    **dict.fromkeys(
        (
            "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr "
            "BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu "
            "Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual "
            "Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink "
            "Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu "
            "Where Xor"
        ).split(),
        1,
    ),
    # Scale and shift, which is what is left of it at inference.
    "BatchNormalization": 2,
    "DequantizeLinear": 2,
    "QuantizeLinear": 2,
    # Largest, difference, exponential, sum, quotient.
    "Softmax": 5,
    "LogSoftmax": 5,
    # Mean (1), variance (3), difference, quotient, scale and shift.
    "LayerNormalization": 8,
    "InstanceNormalization": 8,
    "GroupNormalization": 8,
    "RMSNormalization": 4,
}

_MOVES = frozenset(
    (
        "Compress Concat ConcatFromSequence Constant ConstantOfShape DepthToSpace Dropout Expand "
        "EyeLike Flatten Gather GatherElements GatherND Identity NonZero OneHot Pad Range Reshape "
        "ReverseSequence ScatterElements ScatterND Scatter SequenceAt SequenceConstruct "
        "SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Size Slice SpaceToDepth "
        "Split SplitToSequence Squeeze Tile TopK Transpose Trilu Unsqueeze"
    ).split()
)
