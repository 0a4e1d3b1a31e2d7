"""Gradient: against differences of the function itself, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import ModelError, UnsupportedError
from scratch_onnx.interpreter.gradients import TRAINING
from scratch_onnx.interpreter.loading import load


def gradient(inputs: str, outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(
        "Gradient", inputs.split(), list(outputs), domain=TRAINING, name="slope", **attributes
    )


def node(op_type: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op_type, inputs.split(), [output], **attributes)


def model_of(
    nodes: Sequence[NodeProto], inputs: dict[str, Any], outputs: Sequence[str]
) -> ModelProto:
    double = TensorProto.DOUBLE
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, double, x.shape) for name, x in inputs.items()],
        [helper.make_tensor_value_info(name, double, None) for name in outputs],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(TRAINING, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(nodes: Sequence[NodeProto], feed: dict[str, Any], outputs: Sequence[str]) -> list[Any]:
    model = model_of(nodes, feed, outputs)
    plain = so.InferenceSession(model, optimize=False).run(None, feed)
    assert_same(so.InferenceSession(model).run(None, feed), plain)
    return plain


def differences(nodes: Sequence[NodeProto], feed: dict[str, Any], name: str) -> Any:
    """The gradient of the sum of ``y`` by a tensor, by central differences."""
    step = 1e-6
    session = so.InferenceSession(model_of(nodes, feed, ["y"]))
    result = np.zeros_like(feed[name])
    for place in np.ndindex(result.shape):
        sums = []
        for sign in (1, -1):
            moved = feed[name].copy()
            moved[place] += sign * step
            sums.append(session.run(None, {**feed, name: moved})[0].sum())
        result[place] = (sums[0] - sums[1]) / (2 * step)
    return result


UNARY = ["Neg", "Identity", "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt"]
BINARY = ["Add", "Sub", "Mul", "Div"]
SHAPES = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((0, 3), (3,))]


def numbers(shape: tuple[int, ...], seed: int) -> Any:
    """Away from 0, where some functions have a corner or no value."""
    return np.random.default_rng(seed).uniform(0.5, 2, shape)


@given(st.sampled_from(UNARY), st.sampled_from(BINARY), st.sampled_from(SHAPES))
def test_elementwise(unary: str, binary: str, shapes: tuple[Any, Any]) -> None:
    feed = {"a": numbers(shapes[0], 1), "b": numbers(shapes[1], 2)}
    # b is read twice, once through another function.
    forward = [node(unary, "b", "u"), node(binary, "a u", "v"), node("Mul", "v b", "y")]
    slopes = run(
        [*forward, gradient("a b", ["da", "db"], xs=["a", "b"], y="y")], feed, ["da", "db"]
    )
    for slope, name in zip(slopes, "ab", strict=True):
        assert slope.shape == feed[name].shape
        np.testing.assert_allclose(slope, differences(forward, feed, name), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((3,), (3, 4)),
        ((2, 3), (3,)),
        ((3,), (3,)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
    ],
)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    feed = {"a": numbers(a, 1), "b": numbers(b, 2)}
    forward = [node("MatMul", "a b", "m"), node("Tanh", "m", "y")]
    slopes = run(
        [gradient("a b", ["da", "db"], xs=["a", "b"], y="y"), *forward], feed, ["da", "db"]
    )
    for slope, name in zip(slopes, "ab", strict=True):
        assert slope.shape == feed[name].shape
        np.testing.assert_allclose(slope, differences(forward, feed, name), rtol=1e-5, atol=1e-7)


def test_by_hand() -> None:
    two, three = np.array(2.0), np.array(3.0)
    forward = [node("Mul", "a b", "c"), node("Mul", "c c", "y")]  # (ab)²
    feed = {"a": two, "b": three}
    slopes = run(
        [*forward, gradient("a b", ["da", "db"], xs=["a", "b"], y="y")], feed, ["da", "db"]
    )
    assert [float(slope) for slope in slopes] == [36, 24]  # 2ab², 2a²b
    # By an intermediate value, one input held fixed, one output left out.
    assert run([*forward, gradient("c", ["dc"], xs=["c"], y="y")], feed, ["dc"])[0] == 12
    fixed = gradient("a b", ["da"], xs=["a"], zs=["b"], y="y")
    assert run([*forward, fixed], feed, ["da"])[0] == 36
    left = gradient("a b", ["", "db"], xs=["a", "b"], y="y")
    assert run([*forward, left], feed, ["db"])[0] == 24
    # At other values than those of the graph: a = b = 3, fed from one tensor.
    other = gradient("b b", ["da", "db"], xs=["a", "b"], y="y")
    assert [float(slope) for slope in run([*forward, other], feed, ["da", "db"])] == [54, 54]
    # Of a value that does not depend on it, the gradient is 0.
    apart = gradient("a b", ["da", "db"], xs=["a", "b"], y="z")
    assert [float(s) for s in run([node("Neg", "b", "z"), apart], feed, ["da", "db"])] == [0, -1]


def test_two_of_them() -> None:
    feed = {"a": np.array(2.0)}
    nodes = [
        node("Mul", "a a", "y"),
        gradient("a", ["first"], xs=["a"], y="y"),
        node("Exp", "a", "e"),
        gradient("a", ["second"], xs=["a"], y="e"),
        node("Add", "first second", "sum"),
    ]
    assert float(run(nodes, feed, ["sum"])[0]) == pytest.approx(4 + np.exp(2))


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        (
            [node("Asinh", "a", "y"), gradient("a", ["d"], xs=["a"], y="y")],
            r"'slope'.* the gradient of node 0 'y' \(Asinh, opset 18\) is not supported",
        ),
        (
            [
                node("Shape", "a", "i"),
                node("ScatterElements", "a i a", "y", reduction="max"),
                gradient("a i", ["d"], xs=["a"], zs=["i"], y="y"),
            ],
            "ScatterElements, opset 18.* with the reduction max is not supported",
        ),
    ],
)
def test_what_has_no_gradient_here(nodes: list[NodeProto], rule: str) -> None:
    with pytest.raises(UnsupportedError, match=rule):
        load(model_of(nodes, {"a": np.array(1.0)}, ["d"]))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (gradient("a", ["d"], xs=["a"], y="y"), "depends on 'b', which is in neither xs nor zs"),
        (gradient("a", ["d"], xs=["a"], zs=["b"], y="y"), "an input for each of xs"),
        (gradient("a b", ["d", "e", "f"], xs=["a", "b"], y="y"), "no more outputs than xs"),
        (gradient("a", ["d"], xs=["a"], y="q"), "depends on 'q'"),
        (gradient("a", ["d"], xs=["a"]), "must have the attributes xs and y"),
    ],
)
def test_a_gradient_that_does_not_fit(wrong: NodeProto, rule: str) -> None:
    feed = {"a": np.array(1.0), "b": np.array(1.0)}
    with pytest.raises(ModelError, match=rf"'slope'.*{rule}"):
        load(model_of([node("Mul", "a b", "y"), wrong], feed, ["d"]))
