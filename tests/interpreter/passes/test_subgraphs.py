"""Constants, identities and dead code inside Loop and If."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphs import check, model, node, steps
from onnx import TensorProto, helper, numpy_helper

import scratch_onnx.interpreter as so


def body_of(session: so.InferenceSession, attribute: str) -> list[str]:
    """The operators that a session runs inside its one node with subgraphs."""
    call: Any = next(step.call for step in session.plan.steps if step.node.attributes)
    return [step.node.op_type for step in call.bodies[attribute].steps]


def loop(shared: bool = False) -> Any:
    """x after M times tanh(x + 2 * c), c outside; in the body stand an Identity and a dead node."""
    inner = [
        node("Mul", "c two", "twice"),
        node("Identity", "x_in", "same"),
        node("Add", "same twice", "sum"),
        node("Neg", "sum", "dead"),
        node("Tanh", "sum", "x_out"),
        node("Identity", "cond_in", "cond_out"),
    ]
    scans = [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)] if shared else []
    body = helper.make_graph(
        inner,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_in", TensorProto.FLOAT, ["N"]),
        ],
        [
            helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", TensorProto.FLOAT, ["N"]),
            *scans,
        ],
        [numpy_helper.from_array(np.array(2, np.float32), "two")],
    )
    outputs = ["y", "all"] if shared else ["y"]
    nodes = [helper.make_node("Loop", ["M", "", "x"], outputs, body=body)]
    constants = {"c": np.array([0.5], np.float32), "M": np.array(4)}
    return model(nodes, {"x": ["N"]}, outputs, constants)


FEED = {"x": np.array([0.25, -2.0, 0.0], np.float32)}


def test_loop() -> None:
    """What is known outside is folded inside; only what the carried value needs is left."""
    proto = loop()
    assert check(proto, FEED) == ["Loop"]
    assert body_of(so.InferenceSession(proto), "body") == ["Add", "Tanh"]


def test_identity_that_the_body_returns_stays() -> None:
    proto = loop(shared=True)
    assert check(proto, FEED) == ["Loop"]
    assert "Identity" in body_of(so.InferenceSession(proto), "body")


def test_outer_value_that_is_not_constant() -> None:
    """An initialiser that is an input too can be overridden, so nothing is folded by it."""
    proto = loop()
    proto.graph.input.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1]))
    feed = {**FEED, "c": np.array([-3.0], np.float32)}
    session = so.InferenceSession(proto)
    assert steps(session) == ["Mul", "Loop"]  # computed once a run, before the loop
    x = FEED["x"]
    for _ in range(4):
        x = np.tanh(x - 6)
    np.testing.assert_allclose(session.run(None, feed)[0], x, rtol=1e-6)


def test_branches() -> None:
    """A branch that is constant returns it, whichever is taken."""

    def branch(name: str, nodes: list[Any]) -> Any:
        return helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )

    then_branch = branch("then", [node("Add", "c c", "then")])
    else_branch = branch("else", [node("Identity", "x", "same"), node("Abs", "same", "else")])
    nodes = [
        helper.make_node("If", ["flag"], ["y"], then_branch=then_branch, else_branch=else_branch)
    ]
    inputs = {"x": ["N"], "flag": []}
    constants = {"c": np.array([1.5, 2.0], np.float32)}
    proto = model(nodes, inputs, ["y"], constants, dtypes={"flag": np.bool_})
    for flag in (True, False):
        check(proto, {**FEED, "flag": np.array(flag)})
    session = so.InferenceSession(proto)
    assert body_of(session, "then_branch") == []
    assert body_of(session, "else_branch") == ["Abs"]


def test_types_that_the_file_claims_inside_are_not_believed() -> None:
    """A shape that changes from turn to turn, declared as if it did not."""
    inner = [
        node("Concat", "x_in x_in", "x_out", axis=0),
        node("Identity", "x_in", "seen"),
        node("Shape", "seen", "size"),
        node("Identity", "cond_in", "cond_out"),
    ]
    body = helper.make_graph(
        inner,
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("size", TensorProto.INT64, None),
        ],
        value_info=[helper.make_tensor_value_info("seen", TensorProto.FLOAT, [3])],
    )
    nodes = [helper.make_node("Loop", ["M", "", "x"], ["y", "sizes"], body=body)]
    proto = model(nodes, {"x": ["N"]}, ["y", "sizes"], {"M": np.array(3)})
    sizes = so.InferenceSession(proto).run(None, FEED)[1]
    np.testing.assert_array_equal(sizes, [[3], [6], [12]])
