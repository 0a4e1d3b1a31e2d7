"""Along which axis each operator keeps the samples of a batch: one rule an operator.

A rule is given a node some of whose inputs hold samples, and says along which
axis its outputs do. It raises ``NotSplitError`` where the node mixes samples, or
is not known to keep them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .batch_view import NotSplitError, Rule, View
from .fast import FAST
from .graph import Node

RECURRENT = frozenset({"RNN", "GRU", "LSTM", "Recurrent"})


def rule_of(node: Node) -> Rule | None:
    """The rule of a node's operator, None where it has none."""
    rules = FAST_RULES if node.domain == FAST else RULES
    return rules.get(node.op_type) if node.domain in ("", FAST) else None


def _elementwise(node: Node, view: View) -> int:
    """Broadcasting aligns axes from the right: samples must meet samples."""
    if "axis" in node.attributes and node.opset < 7:
        raise NotSplitError
    names = [name for name in node.inputs if name]
    rank = max(view.rank(name) for name in names)
    places = {view.rank(name) - axis for name in names if (axis := view.axis(name)) is not None}
    if len(places) != 1:
        raise NotSplitError
    place = places.pop()
    for name in names:
        shape = view.shape(name)
        if view.axis(name) is None and len(shape) >= place and shape[len(shape) - place] != 1:
            raise NotSplitError
    return rank - place


def _leading(node: Node, view: View) -> int:
    """Samples along axis 0 of the first input and of the outputs, none elsewhere."""
    if view.only_first(node) != 0:
        raise NotSplitError
    return 0


def _first_axis(node: Node, view: View) -> int:
    """All inputs that have samples have them along axis 0, as the outputs do."""
    if any(view.axis(name) not in (None, 0) for name in node.inputs):
        raise NotSplitError
    if view.axis(node.inputs[0]) is None:
        raise NotSplitError
    return 0


def _keeps(node: Node, view: View) -> int:
    return view.only_first(node)


def _dense(node: Node, view: View) -> int:
    axis = view.only_first(node)
    if axis == view.rank(node.inputs[0]) - 1:
        raise NotSplitError
    return axis


def _matmul(node: Node, view: View) -> int:
    left, right = node.inputs
    ranks = view.rank(left), view.rank(right)
    if view.axis(right) is None and ranks[1] == 2:
        return _dense(node, view)
    if min(ranks) < 3:
        raise NotSplitError
    places = set()
    for name, rank in zip((left, right), ranks, strict=True):
        axis = view.axis(name)
        if axis is not None:
            if axis >= rank - 2:
                raise NotSplitError
            places.add(rank - axis)
    if len(places) != 1:
        raise NotSplitError
    place = places.pop()
    for name, rank in zip((left, right), ranks, strict=True):
        unbatched = view.axis(name) is None
        if unbatched and rank >= place and view.shape(name)[rank - place] != 1:
            raise NotSplitError
    return max(ranks) - place


def _gemm(node: Node, view: View) -> int:
    if view.only_first(node) != 0 or node.attributes.get("transA", 0):
        raise NotSplitError
    if len(node.inputs) > 2 and node.inputs[2]:
        shape = view.shape(node.inputs[2])
        if len(shape) == 2 and shape[0] != 1:
            raise NotSplitError
    return 0


def _transpose(node: Node, view: View) -> int:
    axis = view.only_first(node)
    rank = view.rank(node.inputs[0])
    perm = node.attributes.get("perm", tuple(reversed(range(rank))))
    return int(tuple(perm).index(axis))


def _reshape(node: Node, view: View) -> int:
    target = node.attributes.get("shape") or view.constant(node, 1)
    if view.only_first(node) != 0 or not target or node.attributes.get("allowzero", 0):
        raise NotSplitError
    if target[0] == 0:
        return 0
    inner = view.shape(node.inputs[0])[1:]
    if target[0] != -1 or not all(isinstance(dim, int) for dim in inner) or 0 in target:
        raise NotSplitError
    if int(np.prod(inner)) != int(np.prod(target[1:])):
        raise NotSplitError
    return 0


def _flatten(node: Node, view: View) -> int:
    if view.only_first(node) != 0 or node.attributes.get("axis", 1) != 1:
        raise NotSplitError
    return 0


def _along_axis(default: int) -> Rule:
    """An operator that works along ``axis``, which must not be the samples'."""

    def rule(node: Node, view: View) -> int:
        batch = {view.axis(name) for name in node.inputs if name}
        if len(batch) != 1 or None in batch:
            raise NotSplitError
        rank = view.rank(node.inputs[0])
        (axis,) = batch
        assert axis is not None
        if node.attributes.get("axis", default) % rank == axis:
            raise NotSplitError
        return axis

    return rule


def _softmax(node: Node, view: View) -> int:
    axis = view.only_first(node)
    rank = view.rank(node.inputs[0])
    if node.opset < 13:  # the axes from ``axis`` on are taken together
        if node.attributes.get("axis", 1) % rank <= axis:
            raise NotSplitError
    elif node.attributes.get("axis", -1) % rank == axis:
        raise NotSplitError
    return axis


def _split(node: Node, view: View) -> int:
    axis = view.only_first(node)
    if node.attributes.get("axis", 0) % view.rank(node.inputs[0]) == axis:
        raise NotSplitError
    return axis


def _slice(node: Node, view: View) -> int:
    axis = view.only_first(node)
    rank = view.rank(node.inputs[0])
    axes = view.axes_of(node, 3)
    if axes is None:
        starts = node.attributes.get("starts") or view.constant(node, 1)
        axes = list(range(len(starts or ())))
    if axis in {each % rank for each in axes}:
        raise NotSplitError
    return axis


def _pad(node: Node, view: View) -> int:
    axis = view.only_first(node)
    rank = view.rank(node.inputs[0])
    pads = node.attributes.get("pads") or view.constant(node, 1)
    if pads is None or len(pads) != 2 * rank or pads[axis] or pads[axis + rank]:
        raise NotSplitError
    return axis


def _squeeze(node: Node, view: View) -> int:
    axis = view.only_first(node)
    axes = view.axes_of(node, 1)
    if axes is None:
        raise NotSplitError
    rank = view.rank(node.inputs[0])
    gone = {each % rank for each in axes}
    if axis in gone:
        raise NotSplitError
    return axis - sum(each < axis for each in gone)


def _unsqueeze(node: Node, view: View) -> int:
    axis = view.only_first(node)
    axes = view.axes_of(node, 1) or []
    rank = view.rank(node.inputs[0]) + len(axes)
    new = {each % rank for each in axes}
    old = [place for place in range(rank) if place not in new]
    return int(old[axis])


def _reduce(node: Node, view: View) -> int:
    axis = view.only_first(node)
    axes = view.axes_of(node, 1)
    rank = view.rank(node.inputs[0])
    gone = {each % rank for each in axes or range(rank)}
    if axis in gone:
        raise NotSplitError
    if node.attributes.get("keepdims", 1):
        return axis
    return axis - sum(each < axis for each in gone)


def _arg(node: Node, view: View) -> int:
    axis = view.only_first(node)
    along = int(node.attributes.get("axis", 0)) % view.rank(node.inputs[0])
    if along == axis:
        raise NotSplitError
    return axis if node.attributes.get("keepdims", 1) else axis - (along < axis)


def _gather(node: Node, view: View) -> int:
    data, indices = (view.axis(name) for name in node.inputs)
    rank = view.rank(node.inputs[0])
    along = int(node.attributes.get("axis", 0)) % rank
    if data is None and indices is not None:
        return along + indices
    if data is None or indices is not None or data == along:
        raise NotSplitError
    return data if data < along else data + view.rank(node.inputs[1]) - 1


def _einsum(node: Node, view: View) -> int:
    """The samples' letter must be the same in each term that has samples, and stay."""
    terms, _, result = node.attributes["equation"].replace(" ", "").partition("->")
    letters, others = set(), ""
    for name, term in zip(node.inputs, terms.split(","), strict=True):
        axis = view.axis(name)
        if "." in term or len(set(term)) < len(term):
            raise NotSplitError
        if axis is None:
            others += term
        else:
            letters.add(term[axis])
    letter = letters.pop()
    if letters or letter in others or letter not in result:
        raise NotSplitError
    return int(result.index(letter))


def _normalised_from_axis(node: Node, view: View) -> int:
    axis = view.only_first(node)
    if node.attributes.get("axis", -1) % view.rank(node.inputs[0]) <= axis:
        raise NotSplitError
    return axis


def _batch_normalization(node: Node, view: View) -> int:
    if node.opset < 7 or node.attributes.get("training_mode", 0):
        raise NotSplitError
    return _leading(node, view)


def _max_pool(node: Node, view: View) -> int:
    if len([name for name in node.outputs if name]) > 1:
        raise NotSplitError  # Indices count through the whole batch
    return _leading(node, view)


def _recurrent(node: Node, view: View) -> tuple[int, ...]:
    layout = node.attributes.get("layout", 0)
    batch = 0 if layout else 1
    states = {4: 0, 5: batch, 6: batch}
    if view.axis(node.inputs[0]) != batch:
        raise NotSplitError
    for position, name in enumerate(node.inputs):
        if position and name and view.axis(name) != states.get(position):
            raise NotSplitError
    return (0 if layout else 2, batch, batch)


def _fast_recurrent(node: Node, view: View) -> tuple[int, ...]:
    batches = [0 if node.attributes.get("batch_first", False) else 1, 1, 1]
    if any(view.axis(name) != axis for name, axis in zip(node.inputs, batches, strict=False)):
        raise NotSplitError
    places = ({"plain": 2, "merged": 1, "batch_first": 0}, *[{"plain": 1, "merged": 0}] * 2)
    return tuple(place[form] for place, form in zip(places, node.attributes["forms"], strict=True))


def _attention(node: Node, view: View) -> int:
    """Samples along the first axis of the stacks of q, k and v, and of the mask if it has any."""
    for name, role in zip(node.inputs[:3], ("query", "key", "value"), strict=True):
        if view.axis(name) != node.attributes[role][0]:
            raise NotSplitError
    output = node.attributes["output"]
    if len(node.inputs) > 3:
        axis, shape = view.axis(node.inputs[3]), view.shape(node.inputs[3])
        if len(shape) == len(output) and axis != 0 and (axis is not None or shape[0] != 1):
            raise NotSplitError
        if len(shape) < len(output) and axis is not None:
            raise NotSplitError
    return int(output.index(0))


def _rows(node: Node, view: View) -> int:
    axes = {view.axis(name) for name in node.inputs}
    axis = axes.pop()
    if axes or axis is None or axis == view.rank(node.inputs[0]) - 1:
        raise NotSplitError
    return axis


_ELEMENTWISE = (
    "Relu LeakyRelu PRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Clip "
    "ThresholdedRelu Gelu Mish Swish Shrink Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Round Sign "
    "Erf Sin Cos Cast Identity Add Sub Mul Div Max Min Pow Sum Mean Where Not And Or Xor Greater "
    "Less Equal GreaterOrEqual LessOrEqual"
).split()

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(
        ("Conv", "ConvTranspose", "AveragePool", "LpPool")
        + ("GlobalAveragePool", "GlobalMaxPool", "LRN", "InstanceNormalization")
        + ("DepthToSpace", "SpaceToDepth", "GroupNormalization"),
        _leading,
    ),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"), _reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrent),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _normalised_from_axis),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "BatchNormalization": _batch_normalization,
    "MaxPool": _max_pool,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Concat": _along_axis(1),
    "Split": _split,
    "Slice": _slice,
    "Pad": _pad,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Einsum": _einsum,
}

FAST_RULES: Mapping[str, Rule] = {
    "Conv": _first_axis,
    "Gate": _leading,
    "ScaledConv": _first_axis,
    "QuantizedConv": _first_axis,
    "QuantizedDense": _dense,
    "QuantizedAdd": _elementwise,
    "Centre": _keeps,
    "Integers": _keeps,
    "MaxPool": _leading,
    "AveragePool": _leading,
    "GlobalAveragePool": _leading,
    "Dense": _dense,
    "Affine": _dense,
    "Activation": _keeps,
    "Softmax": _softmax,
    "LayerNormalization": _normalised_from_axis,
    "MatMul": _matmul,
    "Attention": _attention,
    "Rows": _rows,
    "Recurrent": _fast_recurrent,
}
