"""Models that break a rule of the specification: each is refused in one sentence that names the
node, when it is loaded if that can be known then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import InputError, ModelError, RunError, UnsupportedError
from scratch_onnx.interpreter.loading import load


def info(name: str, shape: Sequence[Any] | None = (2, 3), kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(op_type: str, inputs: str, outputs: str = "y", **attributes: Any) -> NodeProto:
    """A node whose inputs are named in one string; ``-`` is one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op_type, names, outputs.split(), name="culprit", **attributes)


def model_of(*nodes: NodeProto, **options: Any) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        options.get(
            "inputs",
            [info("x"), info("z", (4, 5)), info("i", (3,), TensorProto.INT64), info("v", (1,))],
        ),
        options.get("outputs", [info("y", None)]),
        options.get("weights", []),
    )
    opsets = [helper.make_opsetid("", options.get("opset", 18))]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        # shapes and types
        (node("Add", "x z"), "Incompatible dimensions"),
        (node("MatMul", "x x"), "Incompatible dimensions"),
        (node("Gemm", "x i"), "expected to have rank 2 but has rank 1"),
        (node("Add", "x i"), "has inconsistent type"),
        (node("Not", "x"), "has unsupported type"),
        (node("Concat", "x z", axis=0), "[Cc]an't merge|must match"),
        (node("Reshape", "x v"), r"unsupported type: tensor\(float\)"),
        (node("Transpose", "x", perm=[0, 0]), "perm"),
        # attributes
        (node("Concat", "x x"), "lacks the attribute 'axis'"),
        (node("Cast", "x"), "lacks the attribute 'to'"),
        (node("LeakyRelu", "x", alpha=0.1, beta=2.0), r"attribute 'beta', .* \(it knows: alpha\)"),
        (node("Relu", "x", alpha=0.1), r"attribute 'alpha', .* \(it knows: none\)"),
        (node("LeakyRelu", "x", alpha=1), "'alpha' must be of type FLOAT, and is 1"),
        (node("Flatten", "x", axis=1.5), "'axis' must be of type INT, and is 1.5"),
        (node("Transpose", "x", perm=[0.0, 1.0]), "'perm' must be of type INTS"),
        (node("Cast", "x", to="float"), "'to' must be of type INT, and is 'float'"),
        (node("Constant", "", value=3), "'value' must be of type TENSOR, and is 3"),
        # arity
        (node("Add", "x"), "has 1 inputs; the operator takes 2"),
        (node("Add", "x x x"), "has 3 inputs; the operator takes 2"),
        (node("Relu", ""), "has 0 inputs; the operator takes 1"),
        (node("Relu", "x", "y other"), "has 2 outputs; the operator gives 1"),
        (node("Concat", "", axis=0), "has 0 inputs; the operator takes 1 or more"),
        (node("Add", "- x"), "input 0 is left out, but is not optional"),
        (node("Where", "x - x"), "input 1 is left out, but is not optional"),
        # names
        (node("Add", "x nowhere"), "reads 'nowhere', which nothing produces"),
        (node("Add", "x y"), "reads its own output"),
        (node("Relu", "x", "x"), "produces 'x', which another node, an input or an initialiser"),
        (node("Split", "x", "y y", num_outputs=2), "produces 'y', which another node"),
    ],
)
def test_one_wrong_node(wrong: NodeProto, rule: str) -> None:
    with pytest.raises(ModelError, match=rf"culprit.*({rule})") as caught:
        load(model_of(wrong))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        (
            [node("Neg", "b", "a"), node("Abs", "a", "b"), node("Add", "b x")],
            r"node 0 'culprit' \(Neg, opset 18\) is part of a cycle: each of the nodes "
            r"'culprit', 'culprit' waits",
        ),
        ([node("Neg", "x"), node("Abs", "x")], r"\(Abs, opset 18\) produces 'y', which another"),
        ([node("Neg", "x", "other")], "the output 'y' of graph 'g' is produced by no node"),
        ([], "the output 'y' of graph 'g' is produced by no node"),
    ],
)
def test_graphs_that_cannot_be(nodes: list[NodeProto], rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        load(model_of(*nodes))


def test_a_cycle_is_told_from_what_waits_for_it() -> None:
    waiting = [
        node("Relu", "b"),
        helper.make_node("Neg", ["b"], ["a"], name="one"),
        helper.make_node("Abs", ["a"], ["b"], name="two"),
    ]
    with pytest.raises(
        ModelError, match=r"\((Neg|Abs), opset 18\).* nodes '(one|two)', '(one|two)'"
    ):
        load(model_of(*waiting))


def test_names_of_inputs_and_outputs() -> None:
    relu = node("Relu", "x")
    with pytest.raises(ModelError, match="two inputs of graph 'g' have the name 'x'"):
        load(model_of(relu, inputs=[info("x"), info("x")]))
    with pytest.raises(ModelError, match="an input of graph 'g' has no name"):
        load(model_of(relu, inputs=[info("x"), info("")]))
    with pytest.raises(ModelError, match="an output of graph 'g' has no name"):
        load(model_of(relu, outputs=[info("")]))
    weight = numpy_helper.from_array(np.zeros(3, np.float32), "y")
    with pytest.raises(ModelError, match="produces 'y', which another node, an input or an init"):
        load(model_of(relu, weights=[weight]))


def test_types_that_do_not_exist() -> None:
    model = model_of(node("Relu", "x"))
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(ModelError, match=r"type of 'x' is wrong: no tensor element type .* 99"):
        load(model)


def test_an_output_that_is_of_another_type_or_shape() -> None:
    for output, rule in (
        (info("y", (2, 3), TensorProto.INT64), "culprit.*type"),
        (info("y", (3, 2)), "culprit.*differ in dimension|incompatible|mismatch"),
    ):
        with pytest.raises(ModelError, match=rule):
            load(model_of(node("Relu", "x"), outputs=[output]))


def test_an_attribute_twice() -> None:
    twice = node("LeakyRelu", "x", alpha=0.5)
    twice.attribute.append(helper.make_attribute("alpha", 0.25))
    with pytest.raises(ModelError, match=r"'culprit' \(LeakyRelu\) gives the attribute 'alpha' tw"):
        load(model_of(twice))


def test_wrong_subgraphs() -> None:
    inputs = [info("x"), info("c", (), TensorProto.BOOL)]

    def branch(inner: list[NodeProto], output: str = "b") -> Any:
        return helper.make_graph(inner, "inside", [], [info(output, None)])

    good = branch([helper.make_node("Relu", ["x"], ["b"])])
    for wrong, rule in (
        (branch([node("Add", "x nowhere", "b")]), r"'culprit' .* reads 'nowhere'"),
        (branch([node("Add", "x b", "b")]), "reads its own output"),
        (branch([], "lost"), "the output 'lost' of graph 'inside' is produced by no node"),
        (branch([node("Relu", "x", "b", alpha=1.0)]), r"'culprit' .* has an attribute 'alpha'"),
        (branch([node("Relu", "x x", "b")]), r"'culprit' .* has 2 inputs"),
    ):
        outer = helper.make_node("If", ["c"], ["y"], then_branch=wrong, else_branch=good)
        with pytest.raises(ModelError, match=rule):
            load(model_of(outer, inputs=inputs))
    outer = helper.make_node("If", ["c"], ["y"], name="culprit", then_branch=good)
    with pytest.raises(ModelError, match=r"'culprit' .* lacks the attribute 'else_branch'"):
        load(model_of(outer, inputs=inputs))


def test_everything_that_is_not_supported_is_told_at_once() -> None:
    nodes = [
        helper.make_node("Nag", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="fine"),
        helper.make_node("Nag", ["b"], ["c"], name="second"),
        helper.make_node("Gnu", ["c"], ["y"]),
    ]
    with pytest.raises(UnsupportedError) as caught:
        load(model_of(*nodes))
    assert str(caught.value) == (
        "not supported: Nag of opset 18 (node 'first', 'second'); Gnu of opset 18 (node 'y')"
    )


@pytest.mark.parametrize(
    ("op_type", "opset"), [("Upsample", 10), ("Scatter", 11), ("Gelu", 19), ("Einsum", 11)]
)
def test_operators_of_another_opset(op_type: str, opset: int) -> None:
    with pytest.raises(UnsupportedError, match=rf"not supported: {op_type}.*{opset}"):
        load(model_of(node(op_type, "x"), opset=opset))


def test_what_only_a_run_can_know() -> None:
    free = [info("x", (None, None)), info("z", (None, None)), info("i", (None,), TensorProto.INT64)]
    session = so.InferenceSession(model_of(node("MatMul", "x z"), inputs=free))
    feed = {
        "x": np.zeros((2, 3), np.float32),
        "z": np.zeros((4, 5), np.float32),
        "i": np.zeros(1, np.int64),
    }
    with pytest.raises(
        RunError,
        match=r"node 0 'culprit' \(MatMul, opset 18\) failed on "
        r"x: float32 \[2, 3\], z: float32 \[4, 5\]",
    ):
        session.run(None, feed)
    session = so.InferenceSession(model_of(node("Gather", "x i"), inputs=free))
    with pytest.raises(RunError, match=r"'culprit' \(Gather.*index 7 is out of range for axis 0"):
        session.run(None, {**feed, "i": np.array([7])})


@pytest.mark.parametrize(
    ("feed", "rule"),
    [
        ({}, "input 'x' is missing"),
        ({"x": np.zeros((2, 3), np.float32), "w": 1}, "no input is called 'w'"),
        ({"x": np.zeros((2, 3))}, r"'x' wants float32 \(float\) and was given float64"),
        ({"x": np.zeros((2, 4), np.float32)}, r"wants the shape \[2, 3\] and was given \[2, 4\]"),
        ({"x": np.zeros(2, np.float32)}, "the rank differs"),
        ({"x": None}, "wants a tensor and was given nothing"),
    ],
)
def test_wrong_inputs(feed: dict[str, Any], rule: str) -> None:
    session = so.InferenceSession(model_of(node("Relu", "x"), inputs=[info("x")]))
    with pytest.raises(InputError, match=rule):
        session.run(None, feed)
