"""Optional values: by the specification's own sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from oracles import run_ours

import scratch_onnx.interpreter as so


def run(text: str, feed: dict[str, Any], opset: int) -> list[Any]:
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>\n{text}')
    return so.InferenceSession(proto).run(None, feed)


@pytest.mark.parametrize("opset", [15, 18, 28])
def test_wrap_and_unwrap(opset: int) -> None:
    has, x = run(
        """
        g (float[2] x) => (bool has, float[2] y) {
            o = Optional (x)
            has = OptionalHasElement (o)
            y = OptionalGetElement (o)
        }
        """,
        {"x": np.array([1, 2], np.float32)},
        opset,
    )
    assert (has.dtype, has.shape, has.item()) == (np.bool_, (), True)
    assert x.tolist() == [1, 2]


def test_values_that_are_no_optionals() -> None:
    """From opset 18 on tensors and sequences pass through, and an absent input is no element."""
    x = np.array([1, 2], np.float32)
    assert run_ours("OptionalGetElement", [x], opset=18)[0].tolist() == [1, 2]
    assert run_ours("OptionalGetElement", [[x]], opset=18)[0][0].tolist() == [1, 2]
    assert run_ours("OptionalHasElement", [x], opset=18)[0].item() is True
    assert run_ours("OptionalHasElement", [], opset=18)[0].item() is False


def empty_optional(consumer: str, opset: int) -> onnx.ModelProto:
    element = onnx.helper.make_tensor_type_proto(1, [2])
    nodes = [
        onnx.helper.make_node("Optional", [], ["o"], type=element),
        onnx.helper.make_node(consumer, ["o"], ["y"]),
    ]
    output = onnx.helper.make_empty_tensor_value_info("y")
    graph = onnx.helper.make_graph(nodes, "g", [], [output])
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("opset", [15, 18, 28])
def test_empty(opset: int) -> None:
    session = so.InferenceSession(empty_optional("OptionalHasElement", opset))
    assert session.run(None, {})[0].item() is False
    with pytest.raises(so.ScratchOnnxError, match="the optional is empty"):
        so.InferenceSession(empty_optional("OptionalGetElement", opset)).run(None, {})


def test_empty_without_type() -> None:
    with pytest.raises(so.ScratchOnnxError):
        run("g () => (bool has) { o = Optional () has = OptionalHasElement (o) }", {}, 18)
