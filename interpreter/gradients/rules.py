"""The derivative of each operator, as the ONNX nodes that compute it (see ``expand``).

A rule is given a ``Step``: a node, the values around it and the gradient ``dy`` that came
back to its output. It gives, for each input in order, a function that adds the nodes of that
input's gradient, or None for an input that has none, such as indices. The nodes are ordinary
ones, so that a gradient can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ..graph import Graph, Node
from ..types import TensorType, Type, dtype_of_enum

OPSET = 18
"""The version of the nodes that rules write."""


class NoRuleError(Exception):
    """The operator has a rule, but none for this node; the message says why."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value by name. Arithmetic on it writes nodes; a number takes the other's dtype."""

    name: str
    tape: Tape = field(repr=False)

    def __add__(self, other: Value | float) -> Value:
        return self.tape.emit("Add", self, self.tape.like(other, self))

    def __sub__(self, other: Value | float) -> Value:
        return self.tape.emit("Sub", self, self.tape.like(other, self))

    def __rsub__(self, other: float) -> Value:
        return self.tape.emit("Sub", self.tape.like(other, self), self)

    def __mul__(self, other: Value | float) -> Value:
        return self.tape.emit("Mul", self, self.tape.like(other, self))

    def __truediv__(self, other: Value | float) -> Value:
        return self.tape.emit("Div", self, self.tape.like(other, self))

    def __neg__(self) -> Value:
        return self.tape.emit("Neg", self)


@dataclass(frozen=True, slots=True)
class Tape:
    """The nodes written so far, and what is known of the graph's values."""

    graph: Graph
    types: Callable[[], Any]
    fresh: Callable[[str], str]
    title: str
    nodes: list[Node] = field(default_factory=list)
    originals: dict[str, str] = field(default_factory=dict)
    """Of a value that is computed anew from other inputs: the one that it stands for."""

    def emit(self, op_type: str, *inputs: Value, **attributes: Any) -> Value:
        """Write a node with one output."""
        return self.emit_several(op_type, 1, *inputs, **attributes)[0]

    def emit_several(
        self, op_type: str, outputs: int, *inputs: Value, **attributes: Any
    ) -> list[Value]:
        """Write a node with several outputs."""
        title = f"{self.title}/{op_type}"
        names = tuple(self.fresh(title) for _ in range(outputs))
        read = tuple(value.name for value in inputs)
        self.nodes.append(Node(op_type, read, names, attributes, title, opset=OPSET))
        return [Value(name, self) for name in names]

    def repeat(self, node: Node, *inputs: str) -> Value:
        """Write a node of one output once more, on other inputs."""
        title = f"{self.title}/{node.op_type}"
        name = self.fresh(title)
        self.nodes.append(replace(node, inputs=inputs, outputs=(name,), name=title))
        return Value(name, self)

    def ints(self, *numbers: int) -> Value:
        """A constant vector of int64."""
        return self.emit("Constant", value=np.array(numbers, np.int64))

    def like(self, number: Value | float, value: Value) -> Value:
        """A number in another value's dtype; a value as it is."""
        if isinstance(number, Value):
            return number
        constant = self.emit("Constant", value=np.array(number, np.float64))
        return self.emit("CastLike", constant, value)

    def filled(self, number: float, shape: Value, like: Value) -> Value:
        """A tensor of one number in a shape, and another value's dtype."""
        return self.emit("Expand", self.like(number, like), shape)

    def rank(self, value: Value) -> int | None:
        """The number of dimensions, where it is known."""
        shape = self._shape(self.originals.get(value.name, value.name))
        return None if shape is None else len(shape)

    def same_shape(self, one: Value, other: Value) -> bool:
        """Whether two values are known to have one shape."""
        shape = self._shape(one.name)
        if shape is None or not all(isinstance(size, int) for size in shape):
            return False
        return shape == self._shape(other.name)

    def _shape(self, name: str) -> tuple[Any, ...] | None:
        if name in self.graph.initializers:
            return self.graph.initializers[name].shape
        known: Type | None = self.types().get(name)
        return known.shape if isinstance(known, TensorType) else None


@dataclass(frozen=True, slots=True)
class Step:
    """A node on the way, with the gradients of its outputs (None where nobody reads one)."""

    node: Node
    tape: Tape
    gradients: tuple[Value | None, ...]

    @property
    def dy(self) -> Value:
        """The gradient of the first output."""
        gradient = self.gradients[0]
        assert gradient is not None
        return gradient

    @property
    def y(self) -> Value:
        """The first output."""
        return Value(self.node.outputs[0], self.tape)

    @property
    def inputs(self) -> list[Value]:
        """The inputs; one that is left out has no name."""
        return [Value(name, self.tape) for name in self.node.inputs]

    def has(self, position: int) -> bool:
        """Whether an input is there."""
        return len(self.node.inputs) > position and bool(self.node.inputs[position])

    def get(self, attribute: str, default: Any) -> Any:
        """An attribute of the node."""
        return self.node.attributes.get(attribute, default)

    def emit(self, op_type: str, *inputs: Value, **attributes: Any) -> Value:
        """Write a node."""
        return self.tape.emit(op_type, *inputs, **attributes)

    def shape(self, value: Value) -> Value:
        """A value's shape, a vector of int64."""
        return self.emit("Shape", value)

    def as_shape_of(self, gradient: Value, value: Value) -> Value:
        """The same elements in another value's shape."""
        return self.emit("Reshape", gradient, self.shape(value), allowzero=1)

    def fit(self, gradient: Value, operand: Value) -> Value:
        """A gradient of y's shape, summed over the axes along which the operand was broadcast."""
        return gradient if self.tape.same_shape(operand, self.y) else self.sum_to(gradient, operand)

    def sum_to(self, gradient: Value, operand: Value) -> Value:
        """A gradient summed over the axes in which its shape is not the operand's."""
        actual, target = self.shape(gradient), self.shape(operand)
        missing = self.emit("Sub", self.emit("Size", actual), self.emit("Size", target))
        ones = self.emit(
            "Expand", self.tape.ints(1), self.emit("Reshape", missing, self.tape.ints(1))
        )
        equal = self.emit("Equal", self.emit("Concat", ones, target, axis=0), actual)
        differ = self.emit("NonZero", self.emit("Not", equal))
        axes = self.emit("Reshape", differ, self.tape.ints(-1))
        summed = self.emit("ReduceSum", gradient, axes, keepdims=1, noop_with_empty_axes=1)
        return self.emit("Reshape", summed, target, allowzero=1)


Thunk: TypeAlias = Callable[[], Value] | None
Rule: TypeAlias = Callable[[Step], Sequence[Thunk]]

RULES: dict[str, Rule] = {}

_NO_SLOPE = frozenset(
    "Constant ConstantOfShape Shape Size Range NonZero ArgMax ArgMin Equal Less Greater "
    "LessOrEqual GreaterOrEqual And Or Xor Not IsNaN IsInf Sign Floor Ceil Round OneHot "
    "EyeLike".split()
)


def has_slope(node: Node) -> bool:
    """Whether anything flows back through a node: not where its output is constant nearly
    everywhere, or holds integers."""
    if node.op_type == "Cast" and isinstance(to := node.attributes.get("to"), int):
        return dtype_of_enum(to).kind not in "iubO"
    return node.op_type not in _NO_SLOPE


SEVERAL_OUTPUTS = frozenset({"Split"})
"""Operators whose rule takes the gradients of all outputs."""


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    """Register the rule of one operator or several."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(op_types, function))
        return function

    return register


def of_one(op_type: str) -> Callable[[Callable[[Value, Value, Value], Value]], None]:
    """Register the rule of an elementwise function: dx of (dy, x, y)."""

    def register(slope: Callable[[Value, Value, Value], Value]) -> None:
        RULES[op_type] = lambda s: [lambda: slope(s.dy, s.inputs[0], s.y)]

    return register


of_one("Identity")(lambda dy, _x, _y: dy)
of_one("Neg")(lambda dy, _x, _y: -dy)
of_one("Relu")(lambda dy, x, _y: x.tape.emit("Where", _positive(x), dy, x.tape.like(0, dy)))
of_one("Sigmoid")(lambda dy, _x, y: dy * y * (1 - y))
of_one("Tanh")(lambda dy, _x, y: dy * (1 - y * y))
of_one("Exp")(lambda dy, _x, y: dy * y)
of_one("Log")(lambda dy, x, _y: dy / x)
of_one("Sqrt")(lambda dy, _x, y: dy / (y * 2))
of_one("Reciprocal")(lambda dy, _x, y: -dy * y * y)
of_one("Abs")(lambda dy, x, _y: dy * x.tape.emit("Sign", x))
of_one("Sin")(lambda dy, x, _y: dy * x.tape.emit("Cos", x))
of_one("Cos")(lambda dy, x, _y: -dy * x.tape.emit("Sin", x))
of_one("Erf")(lambda dy, x, _y: dy * x.tape.emit("Exp", -(x * x)) * (2 / np.pi**0.5))
of_one("Softplus")(lambda dy, x, _y: dy * x.tape.emit("Sigmoid", x))


def _positive(x: Value) -> Value:
    return x.tape.emit("Greater", x, x.tape.like(0, x))


@rule("LeakyRelu")
def leaky_relu(s: Step) -> Sequence[Thunk]:
    x, alpha = s.inputs[0], s.get("alpha", 0.01)
    return [lambda: s.emit("Where", _positive(x), s.dy, s.dy * float(np.float32(alpha)))]


@rule("Add")
def add(s: Step) -> Sequence[Thunk]:
    a, b = s.inputs
    return [lambda: s.fit(s.dy, a), lambda: s.fit(s.dy, b)]


@rule("Sub")
def sub(s: Step) -> Sequence[Thunk]:
    a, b = s.inputs
    return [lambda: s.fit(s.dy, a), lambda: s.fit(-s.dy, b)]


@rule("Mul")
def mul(s: Step) -> Sequence[Thunk]:
    a, b = s.inputs
    return [lambda: s.fit(s.dy * b, a), lambda: s.fit(s.dy * a, b)]


@rule("Div")
def div(s: Step) -> Sequence[Thunk]:
    a, b = s.inputs
    return [lambda: s.fit(s.dy / b, a), lambda: s.fit(-s.dy * s.y / b, b)]


@rule("Pow")
def power(s: Step) -> Sequence[Thunk]:
    """y = x^p: p·x^(p-1), which is 0 for p = 0 even where x is; and y·log x, 0 where x is."""
    x, exponent = s.inputs

    def by_base() -> Value:
        p = s.emit("CastLike", exponent, x)
        slope = p * s.emit("Pow", x, p - 1)
        flat = s.emit("Equal", p, s.tape.like(0, p))
        return s.fit(s.dy * s.emit("Where", flat, s.tape.like(0, x), slope), x)

    def by_exponent() -> Value:
        is_zero = s.emit("Equal", x, s.tape.like(0, x))
        log = s.emit("Log", s.emit("Where", is_zero, s.tape.like(1, x), x))
        return s.fit(s.emit("CastLike", s.dy * s.y * log, exponent), exponent)

    return [by_base, by_exponent]


@rule("Sum")
def sum_(s: Step) -> Sequence[Thunk]:
    return [partial(s.fit, s.dy, x) for x in s.inputs]


@rule("Mean")
def mean(s: Step) -> Sequence[Thunk]:
    return [partial(_mean, s, x) for x in s.inputs]


def _mean(s: Step, x: Value) -> Value:
    return s.fit(s.dy / len(s.inputs), x)


@rule("Where")
def where(s: Step) -> Sequence[Thunk]:
    condition, a, b = s.inputs

    def zero() -> Value:
        return s.tape.like(0, s.dy)

    return [
        None,
        lambda: s.fit(s.emit("Where", condition, s.dy, zero()), a),
        lambda: s.fit(s.emit("Where", condition, zero(), s.dy), b),
    ]


@rule("Cast", "CastLike")
def cast(s: Step) -> Sequence[Thunk]:
    return [lambda: s.emit("CastLike", s.dy, s.inputs[0]), None]
