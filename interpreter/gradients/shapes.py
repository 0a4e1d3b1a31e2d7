"""The rules of what moves, sums or multiplies along axes: see ``rules``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from .rules import NoRuleError, Step, Thunk, Value, rule


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(s: Step) -> Sequence[Thunk]:
    return [lambda: s.as_shape_of(s.dy, s.inputs[0]), None]


@rule("Expand")
def expand(s: Step) -> Sequence[Thunk]:
    return [lambda: s.fit(s.dy, s.inputs[0]), None]


@rule("Transpose")
def transpose(s: Step) -> Sequence[Thunk]:
    perm = s.get("perm", None)
    back = {} if perm is None else {"perm": tuple(np.argsort(perm).tolist())}
    return [lambda: s.emit("Transpose", s.dy, **back)]


@rule(
    "Slice", "Gather", "GatherElements", "GatherND", "Tile", "DepthToSpace", "SpaceToDepth",
    "ReverseSequence", "Compress",
)  # fmt: skip
def moved(s: Step) -> Sequence[Thunk]:
    """What only picks elements: the same node on their numbers tells where each came from."""
    x = s.inputs[0]

    def back() -> Value:
        shape, count = s.shape(x), s.emit("Size", x)
        zero, one = (s.emit("Constant", value=np.array(n, np.int64)) for n in (0, 1))
        numbers = s.emit("Reshape", s.emit("Range", zero, count, one), shape, allowzero=1)
        came_from = s.tape.repeat(s.node, numbers.name, *s.node.inputs[1:])
        empty = s.tape.filled(0, s.emit("Reshape", count, s.tape.ints(1)), s.dy)
        flat = s.tape.ints(-1)
        total = s.emit(
            "ScatterElements",
            empty,
            s.emit("Reshape", came_from, flat),
            s.emit("Reshape", s.dy, flat),
            reduction="add",
        )
        return s.emit("Reshape", total, shape, allowzero=1)

    return [back, *[None] * (len(s.inputs) - 1)]


@rule("ScatterElements")
def scatter_elements(s: Step) -> Sequence[Thunk]:
    reduction, axis = s.get("reduction", "none"), s.get("axis", 0)
    indices, updates = s.inputs[1:]
    if reduction not in ("none", "add"):
        raise NoRuleError(f"with the reduction {reduction}")

    def by_data() -> Value:
        if reduction == "add":
            return s.dy
        nothing = s.tape.filled(0, s.shape(updates), s.dy)
        return s.emit("ScatterElements", s.dy, indices, nothing, axis=axis)

    return [by_data, None, lambda: s.emit("GatherElements", s.dy, indices, axis=axis)]


def _length(s: Step, x: Value, axis: int) -> Value:
    end = {} if axis == -1 else {"end": axis + 1}
    return s.emit("Shape", x, start=axis, **end)


@rule("Concat")
def concat(s: Step) -> Sequence[Thunk]:
    axis = s.get("axis", 1)
    lengths = s.emit("Concat", *(_length(s, x, axis) for x in s.inputs), axis=0)
    parts = s.tape.emit_several("Split", len(s.inputs), s.dy, lengths, axis=axis)
    return [partial(s.emit, "Identity", part) for part in parts]


@rule("Split")
def split(s: Step) -> Sequence[Thunk]:
    def back() -> Value:
        parts = []
        for name, gradient in zip(s.node.outputs, s.gradients, strict=True):
            if gradient is None:  # nobody reads it
                if not name:
                    raise NoRuleError("with an output left out")
                gradient = s.tape.filled(0, s.shape(Value(name, s.tape)), s.inputs[0])
            parts.append(gradient)
        return s.emit("Concat", *parts, axis=s.get("axis", 0))

    return [back, None]


def _spread(s: Step, gradient: Value) -> Value:
    """The gradient of a reduction, over the axes that it took away, in the shape of its input."""
    x = s.inputs[0]
    axes = s.get("axes", None)
    if not s.get("keepdims", 1) and (axes or s.has(1)):
        # Without axes all are gone, and a scalar broadcasts as it is.
        gradient = s.emit("Unsqueeze", gradient, s.tape.ints(*axes) if axes else s.inputs[1])
    return s.emit("Expand", gradient, s.shape(x))


@rule("ReduceSum")
def reduce_sum(s: Step) -> Sequence[Thunk]:
    return [lambda: _spread(s, s.dy), None]


@rule("ReduceMean")
def reduce_mean(s: Step) -> Sequence[Thunk]:
    def back() -> Value:
        count = s.emit("Div", s.emit("Size", s.inputs[0]), s.emit("Size", s.y))
        return _spread(s, s.dy / s.emit("CastLike", count, s.dy))

    return [back, None]


@rule("Softmax", "LogSoftmax")
def softmax(s: Step) -> Sequence[Thunk]:
    """dx = y·(dy - Σ dy·y); of the logarithm dy - exp(y)·Σ dy. Before opset 13 over all axes from
    ``axis`` on."""

    def back() -> Value:
        dy, y, axis = s.dy, s.y, s.get("axis", -1)
        if s.node.opset < 13:
            dy, y = (s.emit("Flatten", value, axis=s.get("axis", 1)) for value in (dy, y))
            axis = 1
        axes = s.tape.ints(axis)
        if s.node.op_type == "Softmax":
            dx = y * (dy - s.emit("ReduceSum", dy * y, axes))
        else:
            dx = dy - s.emit("Exp", y) * s.emit("ReduceSum", dy, axes)
        return s.as_shape_of(dx, s.inputs[0]) if s.node.opset < 13 else dx

    return [back]


@rule("MatMul")
def matmul(s: Step) -> Sequence[Thunk]:
    """As a sum of products over named axes; vectors lack one of them."""
    ranks = [s.tape.rank(x) for x in s.inputs]
    if None in ranks:
        raise NoRuleError("of matrices whose ranks are not known")
    stacks = "" if max(r for r in ranks if r) <= 2 else "..."
    left = "k" if ranks[0] == 1 else f"{stacks}mk"
    right = "k" if ranks[1] == 1 else f"{stacks}kn"
    result = stacks + "m" * (ranks[0] != 1) + "n" * (ranks[1] != 1)
    return _products(s, [left, right], result)


@rule("Einsum")
def einsum(s: Step) -> Sequence[Thunk]:
    terms, arrow, result = s.get("equation", "").replace(" ", "").partition("->")
    if not arrow:
        raise NoRuleError("without -> in its equation")
    return _products(s, terms.split(","), result)


def _products(s: Step, terms: list[str], result: str) -> Sequence[Thunk]:
    """The gradient of a sum of products by one factor is such a sum of the others and dy."""

    def by(position: int) -> Value:
        others = [term for i, term in enumerate(terms) if i != position]
        letters = [letter for letter in terms[position] if letter != "."]
        elsewhere = "".join([result, *others])
        if len(set(letters)) < len(letters) or not all(c in elsewhere for c in letters):
            raise NoRuleError(f"of the term {terms[position]} of its equation")
        target = terms[position]
        if "..." in elsewhere and "..." not in target:
            target = "..." + target
        factors = [x for i, x in enumerate(s.inputs) if i != position]
        equation = ",".join([result, *others]) + "->" + target
        product = s.emit("Einsum", s.dy, *factors, equation=equation)
        return s.sum_to(product, s.inputs[position]) if "..." in target else product

    return [partial(by, position) for position in range(len(terms))]


@rule("Gemm")
def gemm(s: Step) -> Sequence[Thunk]:
    """Y = α·A'·B' + β·C, the prime a transposition where transA or transB asks for it."""
    a, b = s.inputs[:2]
    trans_a, trans_b = s.get("transA", 0), s.get("transB", 0)
    alpha, beta = s.get("alpha", 1.0), s.get("beta", 1.0)

    def by_a() -> Value:
        if trans_a:
            return s.emit("Gemm", b, s.dy, alpha=alpha, transA=trans_b, transB=1)
        return s.emit("Gemm", s.dy, b, alpha=alpha, transB=1 - trans_b)

    def by_b() -> Value:
        if trans_b:
            return s.emit("Gemm", s.dy, a, alpha=alpha, transA=1, transB=trans_a)
        return s.emit("Gemm", a, s.dy, alpha=alpha, transA=1 - trans_a)

    return [by_a, by_b, lambda: s.fit(s.dy * beta, s.inputs[2])]


@rule("Conv")
def conv(s: Step) -> Sequence[Thunk]:
    """By x the transposed convolution; by w that of x with dy, images and channels exchanged."""
    x, w = s.inputs[:2]
    if s.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NoRuleError(f"with auto_pad {s.get('auto_pad', '')}")
    shared = {name: value for name in ("strides", "dilations") if (value := s.get(name, None))}
    pads = s.get("pads", None)

    def by_x() -> Value:
        full = s.emit("ConvTranspose", s.dy, w, group=s.get("group", 1), **shared)
        sizes, reached = (s.emit("Shape", value, start=2) for value in (x, full))
        zeros = s.emit("Sub", sizes, sizes)
        begins = s.tape.ints(*pads[: len(pads) // 2]) if pads else zeros
        ends = s.emit("Sub", s.emit("Add", sizes, begins), reached)
        none = s.tape.ints(0, 0)
        cut = s.emit("Concat", none, s.emit("Neg", begins), none, ends, axis=0)
        return s.emit("Pad", full, cut)  # less than 0 cuts off

    def by_w() -> Value:
        if s.get("group", 1) != 1:
            raise NoRuleError("by the weights of several groups")
        swap = {"strides": shared.get("dilations"), "dilations": shared.get("strides")}
        given = {name: value for name, value in swap.items() if value}
        if pads:
            given["pads"] = pads
        turned = s.emit("Conv", _exchanged(s, x), _exchanged(s, s.dy), **given)
        sizes = s.emit("Shape", w, start=2)
        zeros = s.emit("Sub", sizes, sizes)
        axes = s.emit(
            "Range",
            *(
                s.emit("Constant", value=np.array(2, np.int64)),
                s.emit("Size", s.shape(w)),
                s.emit("Constant", value=np.array(1, np.int64)),
            ),
        )
        return s.emit("Slice", _exchanged(s, turned), zeros, sizes, axes)

    def by_b() -> Value:
        rows = s.emit("Reshape", s.dy, s.tape.ints(0, 0, -1))
        return s.emit("ReduceSum", rows, s.tape.ints(0, 2), keepdims=0)

    return [by_x, by_w, by_b]


def _exchanged(s: Step, value: Value) -> Value:
    """The first two axes exchanged; the rank is that of the weights or of x."""
    rank = s.tape.rank(s.inputs[1]) or s.tape.rank(s.inputs[0])
    if rank is None:
        raise NoRuleError("by weights whose rank is not known")
    return s.emit("Transpose", value, perm=(1, 0, *range(2, rank)))
