"""A small text classifier: embedding, bidirectional LSTM, GRU, dense, softmax."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper
from small_models import model_of

IDS = np.random.default_rng(0).integers(0, 20, (2, 7))


def text_model(seed: int = 1) -> ModelProto:
    """From ids of shape [N, 7] to probabilities of shape [N, 3]."""
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return (rng.standard_normal(shape) * 0.4).astype(np.float32)

    inputs, hidden = 5, 6
    constants = {
        "E": weights(20, inputs),
        "W": weights(2, 4 * hidden, inputs),
        "R": weights(2, 4 * hidden, hidden),
        "B": weights(2, 8 * hidden),
        "W2": weights(1, 3 * hidden, 2 * hidden),
        "R2": weights(1, 3 * hidden, hidden),
        "B2": weights(1, 6 * hidden),
        "D": weights(hidden, 3),
        "Db": weights(3),
        "axis": np.array([0]),
        "shape": np.array([0, 0, -1]),
    }
    nodes = [
        helper.make_node("Gather", ["E", "ids"], ["embedded"], name="embedding/Gather"),
        helper.make_node("Transpose", ["embedded"], ["x"], perm=[1, 0, 2], name="lstm/Transpose"),
        helper.make_node(
            "LSTM", ["x", "W", "R", "B"], ["Y"],
            name="lstm/LSTM", hidden_size=hidden, direction="bidirectional",
        ),
        helper.make_node("Transpose", ["Y"], ["Yt"], perm=[0, 2, 1, 3], name="lstm/Transpose_1"),
        helper.make_node("Reshape", ["Yt", "shape"], ["merged"], name="lstm/Reshape"),
        helper.make_node(
            "GRU", ["merged", "W2", "R2", "B2"], ["", "Yh"],
            name="gru/GRU", hidden_size=hidden, linear_before_reset=1,
        ),
        helper.make_node("Squeeze", ["Yh", "axis"], ["h"], name="gru/Squeeze"),
        helper.make_node("Gemm", ["h", "D", "Db"], ["logits"], name="dense/Gemm"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="dense/Softmax"),
    ]  # fmt: skip
    return model_of(nodes, {"ids": (7, ["N", 7])}, {"probabilities": (1, ["N", 3])}, constants)
