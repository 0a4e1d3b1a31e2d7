"""Where the time goes: the parts add up to the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import helper
from recurrent_models import IDS, text_model
from small_models import model_of

from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.inspection.profile import profile


def products(count=6, size=400):
    weight = np.eye(size, dtype=np.float32)
    names = [f"v{i}" for i in range(count + 1)]
    nodes = [
        helper.make_node("MatMul", [names[i], "w"], [names[i + 1]], name=f"product {i}")
        for i in range(count)
    ]
    kind = (1, [size, size])
    return model_of(nodes, {"v0": kind}, {names[-1]: kind}, {"w": weight})


@pytest.mark.parametrize("optimize", [True, False])
def test_node_times_add_up_to_the_run(optimize):
    session = InferenceSession(products(), optimize=optimize)
    seen = profile(session, {"v0": np.ones((400, 400), np.float32)}, repeats=5)
    together = sum(node.seconds for node in seen.nodes)
    assert together == pytest.approx(seen.seconds, rel=0.15)
    assert sum(node.share for node in seen.nodes) == pytest.approx(1)
    assert sum(one.share for one in seen.operators) == pytest.approx(1)


def test_what_is_counted():
    session = InferenceSession(products(2), optimize=False)
    seen = profile(session, {"v0": np.ones((400, 400), np.float32)}, repeats=2, warmup=0)
    assert [node.name for node in seen.nodes] == ["product 0", "product 1"]
    for node in seen.nodes:
        assert node.calls == 1
        assert node.bytes == 3 * 400 * 400 * 4
        assert node.flops == 2 * 400**3
        assert node.gflops == pytest.approx(2 * 400**3 / node.seconds / 1e9)
    (operator,) = seen.operators
    assert (operator.op, operator.nodes, operator.calls) == ("MatMul", 2, 2)
    # The first product's output lives on while the second is made.
    assert 2 * 400 * 400 * 4 <= seen.peak_bytes < 2.5 * 400 * 400 * 4
    json.dumps(seen.to_dict(), allow_nan=False)


def test_a_trace_for_chrome():
    seen = profile(text_model(), {"ids": IDS}, repeats=2)
    events = seen.chrome_trace()["traceEvents"]
    assert len(events) == sum(node.calls for node in seen.nodes)
    assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
    starts = [event["ts"] for event in events]
    assert starts[0] == 0
    assert starts == sorted(starts)


def test_nodes_inside_a_loop_are_part_of_it():
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], name="inner"),
            helper.make_node("Identity", ["go"], ["going"], name="go on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("go", 9, []),
            helper.make_tensor_value_info("state", 1, [300, 300]),
        ],
        [
            helper.make_tensor_value_info("going", 9, []),
            helper.make_tensor_value_info("next", 1, [300, 300]),
        ],
    )
    model = model_of(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body, name="loop")],
        {"x": (1, [300, 300])},
        {"y": (1, [300, 300])},
        {"n": np.array(4), "w": np.eye(300, dtype=np.float32)},
    )
    seen = profile(
        InferenceSession(model, optimize=False), {"x": np.ones((300, 300), np.float32)}, repeats=3
    )
    nodes = {node.name: node for node in seen.nodes}
    assert (nodes["loop"].depth, nodes["loop"].calls) == (0, 1)
    assert (nodes["inner"].depth, nodes["inner"].calls) == (1, 4)
    assert nodes["inner"].flops == 4 * 2 * 300**3
    assert nodes["inner"].seconds < nodes["loop"].seconds
    assert [one.op for one in seen.operators] == ["Loop"]
    assert nodes["loop"].share == pytest.approx(1)


def test_no_repeats():
    with pytest.raises(ValueError, match="repeats must be 1 or more"):
        profile(products(1), {}, repeats=0)
