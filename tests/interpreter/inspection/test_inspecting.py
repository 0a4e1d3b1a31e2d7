"""What a model is, without running it."""

from __future__ import annotations

import pytest
from onnx import helper
from recurrent_models import text_model
from small_models import linear, model_of

from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError, LoadError
from scratch_onnx.interpreter.inspection.inspecting import inspect


def test_a_small_model():
    seen = inspect(linear(metadata={"author": "me"}))
    assert [str(value) for value in seen.inputs] == ["x float N×4"]
    assert [str(value) for value in seen.outputs] == ["y float N×3"]
    assert seen.parameters == 15
    assert seen.parameter_bytes == 60
    assert seen.metadata == {"author": "me"}
    assert seen.opsets == {"": 18}
    assert seen.operators == {"Gemm": 1}
    assert seen.assumed == ("N",)
    (node,) = seen.nodes
    assert (node.name, node.op, node.macs, node.flops) == ("dense", "Gemm", 12, 27)
    assert node.output_bytes == 12
    assert not seen.unsupported


@pytest.mark.parametrize("shapes", [{"x": [32, 4]}, {"x": [32]}, {"N": [32]}])
def test_shapes_set_the_batch(shapes):
    seen = inspect(linear(), shapes)
    assert str(seen.outputs[0]) == "y float 32×3"
    assert seen.macs == 32 * 12
    assert seen.assumed == ()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"x": [1, 5]}, "dimension 1 of input 'x' is 4 and not 5"),
        ({"x": [1, 4, 1]}, "has 2 dimensions, not 3"),
        ({"z": [1]}, "no input or dimension is called 'z'; there are: 'x', 'N'"),
    ],
)
def test_shapes_that_contradict_the_model(shapes, message):
    with pytest.raises(InputError, match=message):
        inspect(linear(), shapes)


def test_what_is_unsupported_is_seen():
    model = model_of(
        [
            helper.make_node("Frobnicate", ["x"], ["a"], name="first", domain="com.example"),
            helper.make_node("Relu", ["a"], ["y"], name="second"),
        ],
        {"x": (1, [2])},
        {"y": (1, [2])},
    )
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    seen = inspect(model)
    assert list(seen.unsupported.values()) == [["first"]]
    assert "com.example.Frobnicate" in next(iter(seen.unsupported))
    assert seen.unknown_costs == ["first"]


def test_nodes_of_subgraphs_have_rows():
    branch = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["n"], name="inner")],
        "branch",
        [],
        [helper.make_tensor_value_info("n", 1, [3])],
    )
    model = model_of(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch, name="if")],
        {"c": (9, []), "x": (1, [3])},
        {"y": (1, [3])},
    )
    nodes = inspect(model).nodes
    assert [(node.name, node.depth) for node in nodes] == [("if", 0), ("inner", 1), ("inner", 1)]
    assert nodes[1].flops == 3


def test_recurrent_costs_of_a_whole_model():
    seen = inspect(text_model(), {"ids": [2]})
    costs = {node.name: node.macs for node in seen.nodes}
    assert costs["lstm/LSTM"] == 7 * 2 * 2 * 24 * (5 + 6)
    assert costs["gru/GRU"] == 7 * 2 * 18 * (12 + 6)
    assert seen.unknown_costs == []
    # E, both recurrent layers and the dense one; not the int64 shape and axis.
    assert seen.parameters == 100 + (240 + 288 + 96) + (216 + 108 + 36) + 18 + 3


def test_a_session_and_its_html():
    session = InferenceSession(linear())
    assert inspect(session).parameters == 15
    assert "dense" in session._repr_html_()
    assert "<td" in inspect(session)._repr_html_()
    with pytest.raises(InputError):
        inspect(session, {"N": [1]})


def test_no_model():
    with pytest.raises(LoadError, match="no such file"):
        inspect("no.onnx")
