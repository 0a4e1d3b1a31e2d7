"""Gates over time: the hidden states are what the operator gives, and what onnxruntime gives."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import node_model

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.inspection.gates import gates_of

STEPS, N, INPUTS, H = 6, 3, 4, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NAMES = {
    "RNN": ["hidden state"],
    "GRU": ["update gate", "reset gate", "candidate", "hidden state"],
    "LSTM": [
        "input gate", "forget gate", "candidate", "output gate", "cell state", "hidden state",
    ],
}  # fmt: skip


class Seen:
    def before(self, node, inputs):
        self.node, self.inputs = node, inputs

    def after(self, node, inputs, outputs):
        pass


def onnxruntime_states(op, inputs, **attributes):
    """The node, what it was given, and onnxruntime's Y."""
    import onnxruntime

    model = node_model(op, inputs, opset=18, outputs=1, hidden_size=H, **attributes)
    feed = {f"x{i}": value for i, value in enumerate(inputs) if value is not None}
    seen = Seen()
    so.InferenceSession(model, optimize=False).run(None, feed, observer=seen)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return seen.node, seen.inputs, session.run(None, feed)[0]


def drawn(op, directions, **options):
    rng = np.random.default_rng(3)
    gates = GATES[op]

    def weights(*shape):
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    inputs = [
        weights(STEPS, N, INPUTS),
        weights(directions, gates * H, INPUTS),
        weights(directions, gates * H, H),
        weights(directions, 2 * gates * H) if options.get("bias", True) else None,
        np.array([6, 2, 4], np.int32) if options.get("lengths") else None,
    ]
    if options.get("initial"):
        inputs.append(weights(directions, N, H))
        if op == "LSTM":
            inputs += [weights(directions, N, H), weights(directions, 3 * H)]
    return inputs


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    "options", [{}, {"lengths": True}, {"initial": True}, {"bias": False, "lengths": True}]
)
def test_hidden_states_are_onnxruntimes(op, direction, options):
    directions = 2 if direction == "bidirectional" else 1
    inputs = drawn(op, directions, **options)
    node, given, y = onnxruntime_states(op, inputs, direction=direction)
    for d in range(directions):
        for row in range(N):
            seen = gates_of(node, given, d, row)
            assert list(seen) == NAMES[op]
            np.testing.assert_allclose(seen["hidden state"], y[:, d, row], atol=1e-6)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("GRU", {"linear_before_reset": 1}),
        ("LSTM", {"input_forget": 1}),
        ("GRU", {"clip": 0.3}),
        ("RNN", {"activations": ["Relu"]}),
        ("GRU", {"activations": ["HardSigmoid", "Softsign"], "activation_alpha": [0.3]}),
    ],
)
def test_attributes(op, attributes):
    node, given, y = onnxruntime_states(op, drawn(op, 1), **attributes)
    np.testing.assert_allclose(gates_of(node, given)["hidden state"], y[:, 0, 0], atol=1e-6)


def test_layout_with_the_batch_first():
    inputs = drawn("LSTM", 1, initial=True)
    node, given, y = onnxruntime_states("LSTM", inputs)
    swapped = [x.swapaxes(0, 1) if i in (0, 5, 6) else x for i, x in enumerate(given)]
    node = so.graph.Node("LSTM", node.inputs, node.outputs, {**node.attributes, "layout": 1})
    np.testing.assert_allclose(gates_of(node, swapped, 0, 1)["hidden state"], y[:, 0, 1], atol=1e-6)


def test_gates_of_one_step_by_hand():
    """One unit, one step, x = 1: i = σ(1), o = σ(2), f = σ(3), ĉ = tanh(0.5)."""
    w = np.array([[[1], [2], [3], [0.5]]], np.float32)
    inputs = [np.ones((1, 1, 1), np.float32), w, np.zeros((1, 4, 1), np.float32)]
    seen = gates_of(so.graph.Node("LSTM", ("X", "W", "R"), ("Y",)), inputs)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    cell = sigmoid(1) * np.tanh(0.5)
    expected = {
        "input gate": sigmoid(1),
        "forget gate": sigmoid(3),
        "candidate": np.tanh(0.5),
        "output gate": sigmoid(2),
        "cell state": cell,
        "hidden state": sigmoid(2) * np.tanh(cell),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name], [[value]], rtol=1e-6)
