"""Every value of a run, and no more memory than it needs."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper
from recurrent_models import IDS, text_model
from small_models import BIAS, ROWS, WEIGHTS, linear, model_of, saved

import scratch_onnx as so
from scratch_onnx.interpreter.inspection.summary import histogram, summarise
from scratch_onnx.interpreter.inspection.trace import MANIFEST, Selection, Trace, trace


def logarithm():
    """y = log(x - 1), z = y + 1."""
    return model_of(
        [
            helper.make_node("Sub", ["x", "one"], ["d"], name="sub"),
            helper.make_node("Log", ["d"], ["l"], name="log"),
            helper.make_node("Add", ["l", "one"], ["y"], name="add"),
        ],
        {"x": (1, ["N"])},
        {"y": (1, ["N"])},
        {"one": np.array(1, np.float32)},
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (70_000,), (300, 700)])
def test_statistics_are_numpys(dtype, shape):
    rng = np.random.default_rng(0)
    value = np.asarray(rng.standard_normal(shape) * 50 + 100).astype(dtype)
    for array in (value, value.T, value[..., ::2] if shape else value):
        found = summarise(array)
        assert (found.dtype, found.shape) == (array.dtype.name, array.shape)
        assert found.zeros == int((array == 0).sum())
        if not array.size:
            assert found.min is found.mean is None
            continue
        wide = array.astype(np.float64)
        assert (found.min, found.max) == (wide.min(), wide.max())
        np.testing.assert_allclose([found.mean, found.std], [wide.mean(), wide.std()], rtol=1e-9)


def test_statistics_of_nan_and_infinities():
    found = summarise(np.array([np.nan, np.inf, -np.inf, 0, 2, np.nan]))
    assert (found.nans, found.infs, found.zeros) == (2, 2, 1)
    assert (found.min, found.max, found.mean, found.std) == (0, 2, 1, 1)
    assert not found.finite
    nothing = summarise(np.array([np.nan]))
    assert nothing.min is None


def test_statistics_of_what_is_no_tensor_of_numbers():
    assert summarise(None).dtype == "nothing"
    assert summarise([1, 2]).dtype == "list of 2"
    assert summarise(np.array(["a"], object)).dtype == "string"
    assert summarise(np.array([3 + 4j])).max == 5


def test_a_histogram_counts_every_finite_element():
    value = np.array([0, 0.1, 0.9, 1, np.nan, np.inf])
    assert histogram(value, summarise(value), 4) == [2, 0, 0, 2]
    same = np.full(5, 3.0)
    assert sum(histogram(same, summarise(same), 4)) == 5


def test_a_trace_has_every_node_in_order():
    seen = trace(text_model(), {"ids": IDS})
    assert [node.name for node in seen] == [
        "embedding/Gather", "lstm/Transpose", "lstm/LSTM", "lstm/Transpose_1", "lstm/Reshape",
        "gru/GRU", "gru/Squeeze", "dense/Gemm", "dense/Softmax",
    ]  # fmt: skip
    assert seen["Yh"].summary.shape == (1, 2, 6)
    assert seen.outputs == ["probabilities"]
    np.testing.assert_allclose(seen["probabilities"].summary.mean, 1 / 3, rtol=1e-6)
    with pytest.raises(KeyError):
        seen["nothing"]
    assert "lstm/LSTM" in seen._repr_html_()
    json.dumps(seen.to_dict(), allow_nan=False)


def test_values_are_saved_as_they_come(tmp_path):
    trace(linear(), {"x": ROWS}, save=tmp_path / "values")
    document = json.loads((tmp_path / "values" / MANIFEST).read_text(encoding="utf-8"))
    (value,) = document["values"]
    assert (value["name"], value["node"], value["op"]) == ("y", "dense", "Gemm")
    expected = ROWS.astype(np.float64) @ WEIGHTS + BIAS
    assert (np.load(tmp_path / "values" / value["file"]) == expected).all()


def test_names_in_a_file_cannot_leave_the_folder(tmp_path):
    model = linear()
    model.graph.output[0].name = model.graph.node[0].output[0] = "../../évil"
    trace(model, {"x": ROWS}, save=tmp_path / "values")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["00000__.._vil.npy", MANIFEST, "values"]


@pytest.mark.parametrize(
    ("select", "count"),
    [
        (Selection(nodes=["lstm/*"]), 4),
        (Selection(ops=["Transpose", "G?U"]), 3),
        (Selection(names=["Y*"]), 3),
        (Selection(nodes=["lstm/*"], ops=["Transpose"]), 2),
        (Selection(nodes=["none"]), 0),
    ],
)
def test_a_selection(select, count):
    assert len(trace(text_model(), {"ids": IDS}, select=select).nodes) == count


def test_stop_at_the_first_nan():
    x = np.array([3, 1, 0.5], np.float32)  # log 2, log 0 and log -0.5
    seen = trace(logarithm(), {"x": x}, stop_on_nan=True)
    assert seen.stopped is not None
    assert [node.name for node in seen.nodes] == ["sub", "log"]
    assert seen.stopped.name == "log"
    summary = seen.stopped.outputs[0].summary
    assert (summary.nans, summary.infs) == (1, 1)
    assert seen.inputs["d"].min == -0.5
    assert trace(logarithm(), {"x": x[:1]}, stop_on_nan=True).stopped is None
    hidden = trace(logarithm(), {"x": x}, stop_on_nan=True, select=Selection(nodes=["add"]))
    assert hidden.stopped is not None
    assert hidden.stopped.name == "log"


def test_nodes_of_a_loop_are_seen_at_each_call():
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "one"], ["next"], name="add"),
            helper.make_node("Identity", ["go"], ["going"], name="go on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("go", 9, []),
            helper.make_tensor_value_info("state", 1, [1]),
        ],
        [
            helper.make_tensor_value_info("going", 9, []),
            helper.make_tensor_value_info("next", 1, [1]),
        ],
    )
    model = model_of(
        [helper.make_node("Loop", ["n", "", "x"], ["y"], body=body, name="loop")],
        {"x": (1, [1])},
        {"y": (1, [1])},
        {"n": np.array(3), "one": np.array([1], np.float32)},
    )
    seen = trace(model, {"x": np.zeros(1, np.float32)})
    adds = [node for node in seen if node.name == "add"]
    assert [(node.depth, node.call) for node in adds] == [(1, 0), (1, 1), (1, 2)]
    assert [node.outputs[0].summary.max for node in adds] == [1, 2, 3]
    assert seen.nodes[-1].name == "loop"


def test_what_was_seen_before_a_failure_is_kept():
    model = model_of(
        [
            helper.make_node("Relu", ["x"], ["r"], name="relu"),
            helper.make_node("Reshape", ["r", "shape"], ["y"], name="fold"),
        ],
        {"x": (1, ["N"]), "shape": (7, [1])},
        {"y": (1, None)},
    )
    seen = Trace("model")
    with pytest.raises(so.errors.RunError, match="fold"):
        trace(model, {"x": np.ones(4, np.float32), "shape": np.array([3])}, into=seen)
    assert [node.name for node in seen.nodes] == ["relu"]


def test_memory_stays_within_twice_the_largest_value(tmp_path):
    """A thousand nodes of a mebibyte each: the input of a node and its output are held."""
    names = [f"v{index}" for index in range(1001)]
    nodes = [helper.make_node("Neg", [a], [b], name=b) for a, b in pairwise(names)]
    path = saved(tmp_path, model_of(nodes, {"v0": (1, ["N"])}, {"v1000": (1, ["N"])}))
    session = so.InferenceSession(path, optimize=False)
    value = np.arange(2**18, dtype=np.float32)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    seen = trace(session, {"v0": value})
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen.nodes) == 1000
    statistics = after - before  # what the trace itself keeps, a few hundred bytes a node
    assert statistics < 2_000_000
    # Two values, and the pieces in which statistics are computed.
    pieces = 2**16 * 8 * 4
    assert peak - before <= 2 * value.nbytes + statistics + pieces
