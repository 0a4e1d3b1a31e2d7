"""Two sides node by node: a fault is found at its own node, both ways, and by halving."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from recurrent_models import IDS, text_model
from small_models import model_of

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import registry
from scratch_onnx.interpreter.inspection import compare as compare_module
from scratch_onnx.interpreter.inspection.bisect import bisect
from scratch_onnx.interpreter.inspection.compare import compare
from scratch_onnx.interpreter.inspection.difference import difference
from scratch_onnx.peers import ModelPeer, OnnxRuntimePeer, ReferencePeer


def cnn():
    """Conv, Relu, pool, a branch of two convolutions joined by Add, mean, Gemm, Softmax."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    constants = {
        "w1": weights(4, 3, 3, 3), "b1": weights(4), "w2": weights(4, 4, 3, 3),
        "w3": weights(4, 4, 1, 1), "d": weights(4, 5), "db": weights(5),
    }  # fmt: skip
    pads, halves = {"pads": [1, 1, 1, 1]}, {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", **pads),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], name="pool", **halves),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], name="conv2", **pads),
        helper.make_node("Conv", ["p1", "w3"], ["c3"], name="conv3"),
        helper.make_node("Add", ["c2", "c3"], ["a"], name="add"),
        helper.make_node("GlobalAveragePool", ["a"], ["g"], name="mean"),
        helper.make_node("Flatten", ["g"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "d", "db"], ["l"], name="dense"),
        helper.make_node("Softmax", ["l"], ["y"], name="softmax"),
    ]  # fmt: skip
    return model_of(nodes, {"x": (1, ["N", 3, 8, 8])}, {"y": (1, ["N", 5])}, constants)


X = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
MODELS = {"cnn": (cnn, {"x": X}), "text": (text_model, {"ids": IDS})}
# A weight of each model, and the node that reads it.
WEIGHTS = [
    ("cnn", "w1", "conv1"), ("cnn", "w2", "conv2"), ("cnn", "w3", "conv3"), ("cnn", "d", "dense"),
    ("text", "E", "embedding/Gather"), ("text", "R", "lstm/LSTM"), ("text", "W2", "gru/GRU"),
    ("text", "Db", "dense/Gemm"),
]  # fmt: skip
KERNELS = [
    ("cnn", "Conv", "conv1"), ("cnn", "MaxPool", "pool"), ("cnn", "Add", "add"),
    ("cnn", "Softmax", "softmax"), ("text", "Gather", "embedding/Gather"),
    ("text", "LSTM", "lstm/LSTM"), ("text", "GRU", "gru/GRU"), ("text", "Squeeze", "gru/Squeeze"),
]  # fmt: skip


def firsts(nodes):
    """The names of the first node that differs cumulatively, and of all that do in isolation."""
    cumulative = [n.name for n in nodes if n.cumulative and not n.cumulative.equal]
    isolated = [n.name for n in nodes if n.isolated and not n.isolated.equal]
    return (cumulative or [None])[0], isolated


def altered(model, name):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (tensor,) = [t for t in copy.graph.initializer if t.name == name]
    array = numpy_helper.to_array(tensor).copy()
    if name == "E":
        array[IDS.flat[0]] += 0.5  # the row of a token that is there
    else:
        array[..., 0] += 0.05
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    return copy


@pytest.fixture
def saved(tmp_path):
    def save(model, name="model.onnx"):
        onnx.save(model, tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("peer", [OnnxRuntimePeer, ReferencePeer])
def test_no_difference(saved, name, peer):
    make, feed = MODELS[name]
    path = saved(make())
    session = so.InferenceSession(path, optimize=False)
    nodes = list(compare(session, feed, peer(path, feed)))
    assert len(nodes) == len(session.plan.steps)
    assert firsts(nodes) == (None, [])
    assert all(node.cumulative is not None for node in nodes)
    found = bisect(session, feed, peer(path, feed))
    assert (found.found, found.runs) == (None, 1)


@pytest.mark.parametrize(("name", "weight", "culprit"), WEIGHTS)
def test_an_altered_weight_is_found(saved, name, weight, culprit):
    make, feed = MODELS[name]
    session = so.InferenceSession(saved(make()), optimize=False)
    other = saved(altered(make(), weight), "other.onnx")
    findings = []
    nodes = list(compare(session, feed, ModelPeer(other, session, feed), report=findings.append))
    assert firsts(nodes) == (culprit, [culprit])
    assert [found.node.name for found in findings] == [culprit]
    halved = bisect(
        session, feed, ModelPeer(other, session, feed), atol=1e-6, report=findings.append
    )
    assert halved.found is not None
    assert halved.found.name == culprit
    assert halved.found.isolated is not None
    assert not halved.found.isolated.equal
    assert findings[1].node.name == culprit


@pytest.mark.parametrize(("name", "op", "culprit"), KERNELS)
def test_a_broken_kernel_is_found(saved, monkeypatch, name, op, culprit):
    """The kernel of one operator gives wrong numbers; onnxruntime does not."""
    make, feed = MODELS[name]
    path = saved(make())
    found = registry.find("", op, 18)
    assert found is not None
    version, operator = found

    def broken(*inputs, **attributes):
        result = operator.kernel(*inputs, **attributes)
        if isinstance(result, tuple):
            return tuple(None if value is None else value + 0.01 for value in result)
        return result + np.float32(0.01)

    table = registry._OPERATORS["", op]
    monkeypatch.setitem(table, version, operator._replace(kernel=broken))
    session = so.InferenceSession(path, optimize=False)
    peer = OnnxRuntimePeer(path, feed)
    first, isolated = firsts(list(compare(session, feed, peer)))
    assert first == culprit
    assert isolated == [
        step.node.name for step in session.plan.steps if step.node.op_type == op
    ]  # and no other node
    halved = bisect(session, feed, peer)
    assert halved.found is not None
    assert halved.found.name in isolated


def test_bisection_of_a_long_graph_takes_few_runs(saved):
    names = [f"v{index}" for index in range(501)]
    nodes = [
        helper.make_node("Mul", [names[i], f"c{i}"], [names[i + 1]], name=f"n{i}")
        for i in range(500)
    ]
    constants = {f"c{i}": np.array(1, np.float32) for i in range(500)}
    model = model_of(nodes, {"v0": (1, [3])}, {"v500": (1, [3])}, constants)
    constants["c317"] = np.array(1.5, np.float32)
    other = model_of(nodes, {"v0": (1, [3])}, {"v500": (1, [3])}, constants)
    feed = {"v0": np.ones(3, np.float32)}
    session = so.InferenceSession(model, optimize=False)
    path = saved(other)
    result = bisect(session, feed, ModelPeer(path, session, feed))
    assert result.found is not None
    assert result.found.name == "n317"
    assert result.runs <= 13  # outputs, 9 halvings, the node's inputs, the node by itself


def test_bisection_in_branches(saved):
    """The fault is in a branch that comes late in the order, and the order is no chain."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"], name="a"),
        helper.make_node("Mul", ["x", "k"], ["b"], name="b"),
        helper.make_node("Neg", ["a"], ["c"], name="c"),
        helper.make_node("Neg", ["b"], ["d"], name="d"),
        helper.make_node("Add", ["c", "d"], ["y"], name="y"),
    ]
    kinds = ({"x": (1, [2])}, {"y": (1, [2])})
    one = model_of(nodes, *kinds, {"two": np.float32(2), "k": np.float32(3)})
    other = model_of(nodes, *kinds, {"two": np.float32(2), "k": np.float32(4)})
    feed = {"x": np.ones(2, np.float32)}
    session = so.InferenceSession(one, optimize=False)
    result = bisect(session, feed, ModelPeer(saved(other), session, feed))
    assert result.found is not None
    assert result.found.name == "b"


def test_the_other_side_is_asked_in_pieces(saved, monkeypatch):
    monkeypatch.setattr(compare_module, "BUDGET", 3 * X.nbytes)
    path = saved(cnn())
    session = so.InferenceSession(path, optimize=False)
    peer = OnnxRuntimePeer(path, {"x": X})
    asked = []
    values = peer.values
    monkeypatch.setattr(peer, "values", lambda names: asked.append(names) or values(names))
    assert firsts(list(compare(session, {"x": X}, peer))) == (None, [])
    assert len(asked) > 1
    assert [name for names in asked for name in names] == [
        step.node.outputs[0] for step in session.plan.steps
    ]


@pytest.mark.parametrize(
    ("got", "want", "beyond", "largest"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0, 0),
        ([1.0, 2.5], [1.0, 2.0], 1, 0.5),
        ([np.nan, 1.0], [np.nan, 1.0], 0, 0),
        ([np.nan, 1.0], [0.0, 1.0], 1, np.inf),
        ([np.inf, 1.0], [np.inf, 1.0], 0, 0),
        ([np.inf, 1.0], [-np.inf, 1.0], 1, np.inf),
        ([1e-7, 1000], [0, 1000], 0, 1e-7),
        ([3, 4], [3, 5], 1, 1),
        ([True, False], [True, True], 1, 1),
        ([], [], 0, 0),
    ],
)
def test_differences(got, want, beyond, largest):
    found = difference("v", np.array(got), np.array(want), 1e-4, 1e-5)
    assert (found.beyond, found.largest) == (beyond, largest)
    assert found.equal == (beyond == 0)


def test_differences_of_kind():
    one = np.zeros((2, 3), np.float32)
    assert "shape [2, 3], and there [3, 2]" in str(difference("v", one, one.T, 0, 0))
    assert "float32 [2, 3], and there nothing" in str(difference("v", one, None, 0, 0))
    text = np.array(["a", "b"], object)
    assert difference("v", text, text.copy(), 0, 0).equal
    assert not difference("v", text, text[::-1], 0, 0).equal
    assert difference("v", [one], [one], 0, 0).equal
    assert not difference("v", [one, one], [one, one + 1], 0, 0).equal
    assert difference("v", None, None, 0, 0).equal
