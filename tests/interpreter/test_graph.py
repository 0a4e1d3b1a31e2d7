"""What holds of graphs whatever their operators are: order, defaults, captures, functions.

hypothesis draws graphs of simple operators over values of one shape, and onnxruntime runs them
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import ModelError, registry
from scratch_onnx.interpreter.loading import load

SHAPE = (2, 3)
LOCAL = "local"
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid(LOCAL, 1)]


def info(name: str, shape: Sequence[Any] | None = SHAPE) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(
    nodes: Sequence[NodeProto],
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    weights: dict[str, Any] | None = None,
    functions: Sequence[Any] = (),
) -> ModelProto:
    values = [info(name) for name in inputs if name != "c"]
    if "c" in inputs:
        values.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    graph = helper.make_graph(
        nodes,
        "g",
        values,
        [info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=OPSETS, functions=functions, ir_version=10)


def run_ours(model: ModelProto, feed: dict[str, Any]) -> list[Any]:
    plain = so.InferenceSession(model, optimize=False).run(None, feed)
    assert_same(so.InferenceSession(model).run(None, feed), plain)
    return plain


def compare(model: ModelProto, feed: dict[str, Any]) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    assert_same(run_ours(model, feed), session.run(None, feed))


def function(
    name: str,
    nodes: Sequence[NodeProto],
    inputs: str,
    outputs: str,
    *attributes: str,
    **defaults: Any,
) -> Any:
    return helper.make_function(
        LOCAL,
        name,
        inputs.split(),
        outputs.split(),
        nodes,
        OPSETS,
        attributes,
        [helper.make_attribute(key, value) for key, value in defaults.items()],
    )


TWICE = function("Twice", [helper.make_node("Add", ["a", "a"], ["b"])], "a", "b")
MIX = function(
    "Mix",
    [
        helper.make_node("Twice", ["a"], ["t"], domain=LOCAL),
        helper.make_node("Sub", ["t", "b"], ["d"]),
        helper.make_node("Neg", ["d"], ["e"]),
    ],
    "a b",
    "d e",
)
FUNCTIONS = [TWICE, MIX]


@st.composite
def steps(draw: Any, known: list[str], prefix: str, deep: bool) -> list[NodeProto]:
    """Nodes that read what is known, and what each other writes; the last writes ``prefix``."""
    known = list(known)
    nodes: list[NodeProto] = []
    kinds = ["Add", "Sub", "Mul", "Max", "Neg", "Abs", "Twice", "Mix"] + ["If"] * deep
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(kinds))
        name = f"{prefix}{number}"
        read = [draw(st.sampled_from(known)) for _ in range(2)]
        if kind == "If":
            branches = {
                branch: branch_of(draw, known, f"{name}_{branch}") for branch in ("then", "else")
            }
            node = helper.make_node(
                "If",
                ["c"],
                [name],
                then_branch=branches["then"],
                else_branch=branches["else"],
            )
        elif kind == "Mix":
            node = helper.make_node("Mix", read, ["", name], domain=LOCAL)
        elif kind in ("Neg", "Abs", "Twice"):
            node = helper.make_node(kind, read[:1], [name], domain=LOCAL if kind == "Twice" else "")
        else:
            node = helper.make_node(kind, read, [name])
        nodes.append(node)
        known.append(name)
    return nodes


def branch_of(draw: Any, known: list[str], prefix: str) -> Any:
    """A subgraph that reads the values around it."""
    nodes = draw(steps(known, prefix, deep=False))
    last = f"{prefix}{len(nodes) - 1}"
    return helper.make_graph(nodes, prefix, [], [info(last)])


@given(st.data())
def test_graphs_in_any_order(data: Any) -> None:
    inputs = ["x", "z"]
    weights = {f"w{number}": fill(SHAPE, seed=number) for number in range(2)}
    nodes = data.draw(steps([*inputs, *weights], "v", deep=True))
    written = [name for node in nodes for name in node.output if name]
    free = [*written, *inputs, *weights]
    outputs = data.draw(st.lists(st.sampled_from(free), min_size=1, max_size=4, unique=True))
    model = model_of(nodes, [*inputs, "c"], outputs, weights, FUNCTIONS)
    feed = {"x": fill(SHAPE, seed=5), "z": fill(SHAPE, seed=6)}
    feed["c"] = np.array(data.draw(st.booleans()))
    compare(model, feed)
    # onnxruntime wants the nodes of subgraphs and functions in order: ours need not be.
    expected = run_ours(model, feed)
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    for part in (model.graph, *model.functions):
        shuffle(part, random)
    assert_same(run_ours(model, feed), expected)


def shuffle(graph: Any, random: np.random.Generator) -> None:
    """Put the nodes of a graph and of its subgraphs into another order."""
    nodes = [graph.node[place] for place in random.permutation(len(graph.node))]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                shuffle(attribute.g, random)


@given(st.booleans(), st.booleans(), st.data())
def test_initialisers_that_are_inputs(one: bool, two: bool, data: Any) -> None:
    weights = {f"w{number}": fill(SHAPE, seed=number) for number in range(2)}
    nodes = data.draw(steps(["x", *weights], "v", deep=True))
    outputs = [f"v{len(nodes) - 1}", "w0"]
    model = model_of(nodes, ["x", "w0", "w1", "c"], outputs, weights, FUNCTIONS)
    feed = {"x": fill(SHAPE, seed=5), "c": np.array(True)}
    if one:
        feed["w0"] = fill(SHAPE, seed=7)
    if two:
        feed["w1"] = fill(SHAPE, seed=8)
    compare(model, feed)


def test_a_default_is_not_folded() -> None:
    nodes = [helper.make_node("Add", ["w", "w"], ["y"])]
    model = model_of(nodes, ["w"], weights={"w": np.ones(SHAPE, np.float32)})
    session = so.InferenceSession(model)
    assert [value.name for value in session.get_inputs()] == []
    assert [value.name for value in session.get_overridable_initializers()] == ["w"]
    assert session.run(None, {})[0].max() == 2
    assert session.run(None, {"w": np.full(SHAPE, 5, np.float32)})[0].max() == 10
    assert session.run(None, {})[0].max() == 2


def test_outputs_that_nothing_computes() -> None:
    weights = {"w": fill(SHAPE, seed=1)}
    model = model_of([helper.make_node("Neg", ["x"], ["y"])], ["x"], ["w", "x", "y"], weights)
    x = fill(SHAPE, seed=2)
    assert_same(run_ours(model, {"x": x}), [weights["w"], x, -x])
    bare = model_of([], ["x"], ["x"])
    assert_same(run_ours(bare, {"x": x}), [x])


# Subgraphs


@given(st.integers(0, 4))
def test_a_loop_reads_what_is_around_it(trips: int) -> None:
    body = [
        helper.make_node("Mul", ["carried", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "x"], ["next"]),
        helper.make_node("Identity", ["going"], ["goes_on"]),
        helper.make_node("Sub", ["next", "carried"], ["step"]),
    ]
    graph = helper.make_graph(
        body,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            info("carried"),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            info("next"),
            info("step"),
        ],
    )
    node = helper.make_node("Loop", ["trips", "", "x"], ["y", "steps"], body=graph)
    scale = helper.make_node("Abs", ["w"], ["scale"])
    weights = {"w": np.full(SHAPE, -0.5, np.float32), "trips": np.array(trips)}
    model = model_of([scale, node], ["x"], ["y", "steps"], weights)
    model.graph.output[1].CopyFrom(info("steps", [None, *SHAPE]))
    feed = {"x": fill(SHAPE, seed=2)}
    compare(model, feed)
    expected = run_ours(model, feed)
    shuffle(model.graph, np.random.default_rng(trips))
    assert_same(run_ours(model, feed), expected)


def test_captures_reach_through_levels() -> None:
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["i"])], "inner", [], [info("i")]
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)],
        "outer",
        [],
        [info("o")],
    )
    # Both branches of both levels write the same names: they are in different graphs.
    node = helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=outer)
    model = model_of([node], ["x", "c"], weights={"w": fill(SHAPE, seed=1)})
    compare(model, {"x": fill(SHAPE, seed=2), "c": np.array(True)})


def test_a_branch_may_give_what_it_captured() -> None:
    plain = helper.make_graph([], "plain", [], [info("x")])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["n"])], "other", [], [info("n")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=plain, else_branch=other)
    model = model_of([node], ["x", "c"])
    x = fill(SHAPE, seed=2)
    assert_same(run_ours(model, {"x": x, "c": np.array(True)}), [x])
    assert_same(run_ours(model, {"x": x, "c": np.array(False)}), [-x])


def test_initialisers_of_a_subgraph() -> None:
    weight = np.float32([[1, 2, 3]])
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "k"], ["b"])],
        "branch",
        [],
        [info("b")],
        [numpy_helper.from_array(weight, "k")],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    x = fill(SHAPE, seed=2)
    model = model_of([node], ["x", "c"])
    assert_same(run_ours(model, {"x": x, "c": np.array(True)}), [x + weight])


# Functions


def call(name: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    return helper.make_node(
        name, inputs.split(), outputs.split(), domain=LOCAL, name=name, **attributes
    )


def reference(op_type: str, inputs: str, outputs: str, **refs: str) -> NodeProto:
    """A node whose attributes are those of the calling node."""
    node = helper.make_node(op_type, inputs.split(), outputs.split())
    for name, (ref, kind) in refs.items():
        node.attribute.append(onnx.AttributeProto(name=name, ref_attr_name=ref, type=kind))
    return node


FLOAT = onnx.AttributeProto.FLOAT


def test_attributes_of_functions() -> None:
    leaky = function(
        "Leak", [reference("LeakyRelu", "a", "b", alpha=("slope", FLOAT))], "a", "b", slope=0.5
    )
    optional = function(
        "Free", [reference("LeakyRelu", "a", "b", alpha=("slope", FLOAT))], "a", "b", "slope"
    )
    x = np.float32([[-1, 2, -4], [0, 1, -2]])
    for given_, slope in (({"slope": 0.25}, 0.25), ({}, 0.5)):
        model = model_of([call("Leak", "x", "y", **given_)], functions=[leaky])
        compare(model, {"x": x})
        assert_same(run_ours(model, {"x": x}), [np.where(x < 0, x * np.float32(slope), x)])
    # One that is not given, and has no default, is not given to the node inside either.
    model = model_of([call("Free", "x", "y")], functions=[optional])
    assert_same(run_ours(model, {"x": x}), [np.where(x < 0, x * np.float32(0.01), x)])
    with pytest.raises(ModelError, match=r"attribute 'alpha', which its function does not know"):
        load(model_of([call("Leak", "x", "y", alpha=1.0)], functions=[leaky]))


def test_functions_in_subgraphs_and_subgraphs_in_functions() -> None:
    then = helper.make_graph([call("Twice", "a", "t")], "then", [], [info("t", None)])
    other = helper.make_graph(
        [helper.make_node("Neg", ["a"], ["n"])], "other", [], [info("n", None)]
    )
    choose = function(
        "Choose",
        [helper.make_node("If", ["k"], ["b"], then_branch=then, else_branch=other)],
        "a k",
        "b",
    )
    inner = helper.make_graph([call("Choose", "x c", "i")], "inner", [], [info("i")])
    last = helper.make_graph([call("Twice", "x", "l")], "last", [], [info("l")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=last)
    x = fill(SHAPE, seed=2)
    for truth in (True, False):
        model = model_of([node], ["x", "c"], functions=[TWICE, choose])
        assert_same(run_ours(model, {"x": x, "c": np.array(truth)}), [x + x])
    model = model_of([call("Choose", "x c", "y")], ["x", "c"], functions=[TWICE, choose])
    compare(model, {"x": x, "c": np.array(False)})


def test_optional_inputs_and_outputs_of_functions() -> None:
    clip = function(
        "Between", [helper.make_node("Clip", ["a", "low", "high"], ["b"])], "a low high", "b"
    )
    x = np.float32([[-5, 0, 5], [1, 2, 3]])
    weights = {"two": np.array(2, np.float32)}
    model = model_of(
        [helper.make_node("Between", ["x", "", "two"], ["y"], domain=LOCAL)],
        weights=weights,
        functions=[clip],
    )
    assert_same(run_ours(model, {"x": x}), [np.minimum(x, 2)])
    model = model_of(
        [helper.make_node("Mix", ["x", "x"], ["", "y"], domain=LOCAL)], functions=FUNCTIONS
    )
    assert_same(run_ours(model, {"x": x}), [-x])
    straight = function("Straight", [helper.make_node("Neg", ["a"], ["n"])], "a", "a n")
    model = model_of([call("Straight", "x", "y z")], outputs=("y", "z"), functions=[straight])
    assert_same(run_ours(model, {"x": x}), [x, -x])


def test_a_function_may_have_an_opset_of_its_own() -> None:
    # Before opset 13 Softmax took all axes from ``axis`` on at once.
    old = helper.make_function(
        LOCAL,
        "Old",
        ["a"],
        ["b"],
        [helper.make_node("Softmax", ["a"], ["b"], axis=0)],
        [helper.make_opsetid("", 12)],
    )
    x = fill(SHAPE, seed=3)
    (y,) = run_ours(model_of([call("Old", "x", "y")], functions=[old]), {"x": x})
    assert y.sum() == pytest.approx(1, rel=1e-6)


def test_names_made_for_functions_meet_no_others() -> None:
    # "y/t" is what the function's "t" would be called.
    model = model_of(
        [
            helper.make_node("Neg", ["x"], ["y/t"]),
            call("Mix", "x x", "y other"),
            helper.make_node("Add", ["y", "y/t"], ["z"]),
        ],
        outputs=("y", "z", "y/t"),
        functions=FUNCTIONS,
    )
    compare(model, {"x": fill(SHAPE, seed=4)})


def test_overloads_of_a_function() -> None:
    one, two = (
        helper.make_function(
            LOCAL,
            "Change",
            ["a"],
            ["b"],
            [helper.make_node(op_type, ["a"], ["b"])],
            OPSETS,
            overload=overload,
        )
        for op_type, overload in (("Neg", ""), ("Abs", "positive"))
    )
    node = helper.make_node("Change", ["x"], ["y"], domain=LOCAL, overload="positive")
    x = fill(SHAPE, seed=4)
    model = model_of([node], functions=[one, two])
    assert_same(run_ours(model, {"x": x}), [np.abs(x)])


def test_functions_that_call_themselves() -> None:
    own = function("Own", [call("Own", "a", "b")], "a", "b")
    with pytest.raises(ModelError, match="calls itself"):
        load(model_of([call("Own", "x", "y")], functions=[own]))
    ping = function("Ping", [call("Pong", "a", "b")], "a", "b")
    branch = helper.make_graph([call("Ping", "a", "t")], "then", [], [info("t", None)])
    pong = function(
        "Pong",
        [
            helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.array(True))),
            helper.make_node("If", ["k"], ["b"], then_branch=branch, else_branch=branch),
        ],
        "a",
        "b",
    )
    with pytest.raises(ModelError, match="calls itself"):
        load(model_of([call("Ping", "x", "y")], functions=[ping, pong]))


def test_functions_that_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratch_onnx.interpreter.inlining.MAX_NODES", 5000)
    functions = [TWICE] + [
        function(f"F{level}", [call(inner, "a", "t"), call(inner, "t", "b")], "a", "b")
        for level in range(40)
        for inner in [f"F{level - 1}" if level else "Twice"]
    ]
    with pytest.raises(ModelError, match="grow to over 5,000 nodes"):
        load(model_of([call("F39", "x", "y")], functions=functions))
    chain = [TWICE] + [
        function(f"F{level}", [call(f"F{level - 1}" if level else "Twice", "a", "b")], "a", "b")
        for level in range(150)
    ]
    with pytest.raises(ModelError, match="over 100 deep"):
        load(model_of([call("F149", "x", "y")], functions=chain))


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        ([helper.make_node("Add", ["a", "lost"], ["b"])], "reads 'lost', which nothing produces"),
        (
            [helper.make_node("Neg", ["a"], ["other"])],
            "output 'b' of graph 'Broken' is produced by no",
        ),
        ([helper.make_node("Nag", ["a"], ["b"])], "not supported: Nag of opset 18"),
    ],
)
def test_functions_that_are_wrong(nodes: Any, rule: str) -> None:
    broken = function("Broken", nodes, "a", "b")
    with pytest.raises(so.ScratchOnnxError, match=rule):
        load(model_of([call("Broken", "x", "y")], functions=[broken]))


def test_calls_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match="has 2 inputs; its function takes 1"):
        load(model_of([call("Twice", "x x", "y")], functions=FUNCTIONS))
    with pytest.raises(ModelError, match="has 2 outputs; its function takes 1"):
        load(model_of([call("Twice", "x", "y z")], functions=FUNCTIONS))
    with pytest.raises(ModelError, match=r"defines the function local\.Twice twice"):
        load(model_of([call("Twice", "x", "y")], functions=[TWICE, TWICE]))
    with pytest.raises(ModelError, match="in none"):
        load(model_of([reference("LeakyRelu", "x", "y", alpha=("slope", FLOAT))]))


# Operators of the standard that run through the body that the specification gives


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("HardSwish", {}),  # a body of one form
        ("Mish", {}),
        ("Shrink", {"lambd": 0.5, "bias": 0.25}),
        ("LogSoftmax", {"axis": 1}),  # one that depends on the node
        ("ThresholdedRelu", {}),
        ("MeanVarianceNormalization", {"axes": [0, 1]}),
    ],
)
def test_the_standards_own_bodies(
    monkeypatch: pytest.MonkeyPatch, op_type: str, attributes: dict[str, Any]
) -> None:
    model = model_of([helper.make_node(op_type, ["x"], ["y"], **attributes)])
    feed = {"x": fill(SHAPE, seed=3)}
    expected = so.InferenceSession(model).run(None, feed)
    monkeypatch.delitem(registry._OPERATORS, ("", op_type))
    session = so.InferenceSession(model)
    assert {node.op_type for node in session.model.graph.nodes} - {op_type}
    assert op_type not in {node.op_type for node in session.model.graph.nodes}
    assert_same(session.run(None, feed), expected)
    compare(model, feed)


def test_an_operator_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))

    @so.op("Shift", domain="com.example", since=1)
    def shift(x: Any, *, by: float = 1.0) -> Any:
        return x + np.float32(by)

    # What onnx cannot infer must not be in the way of what is behind it.
    nodes = [
        helper.make_node("Shift", ["x"], ["t"], domain="com.example", by=2.0),
        helper.make_node("Add", ["t", "x"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    model = model_of(nodes)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    x = fill(SHAPE, seed=4)
    assert_same(run_ours(model, {"x": x}), [np.maximum(x + np.float32(2) + x, 0)])
    model.graph.node[0].attribute[0].name = "to"
    with pytest.raises(so.UnsupportedError, match="the attribute 'to' is not supported"):
        load(model)
