"""The bars: what is aimed at with one thread and with two, by each figure's side and batch."""

from __future__ import annotations

MISSION = (
    "cnn", "lstm", "lstm-bidirectional", "rnn", "rnn-bidirectional", "rnn-loop",
    "rnn-bidirectional-loop", "gru",
)  # fmt: skip
VARIANTS = ("cnn-5x5", "cnn-7x7", "cnn-average", "cnn-64-128")
DEPTHWISE = ("mobilenetv2", "efficientnetb0")


def _network(model: str, bar: float, side: str = "ours") -> dict[tuple[str, str, int], float]:
    return {(model, side, batch): bar for batch in (1, 8)}


TIME: dict[tuple[str, str, int], float] = {
    **{(model, "ours", 1): 2.0 for model in MISSION},
    **{(model, "ours", 32): 1.5 for model in MISSION},
    **{(model, "ours", 256): 0.85 for model in MISSION},
    ("lstm-bidirectional", "ours", 1): 2.9,
    ("cnn", "ours-fast", 1): 1.3,
    ("cnn", "ours-fast", 32): 0.85,
    ("cnn", "ours-fast", 256): 0.7,
    **{(model, "ours", 256): 1.2 for model in VARIANTS},
    **_network("vgg16", 1.0),
    **_network("vgg16", 0.75, "ours-fast"),
    **_network("resnet50", 1.4),
    **_network("resnet50", 1.3, "ours-fast"),
    **_network("densenet121", 2.0),
    **_network("encoder", 1.3),
    **{(model, "ours", 1): 3.5 for model in DEPTHWISE},
    **{(model, "ours", 8): 2.5 for model in DEPTHWISE},
}
"""(model, side, batch) → the largest time over onnxruntime's."""

MEAN = 0.85
"""The geometric mean of all ratios of the mission's models, at default precision."""

MEMORY = 1.5
"""The largest peak memory over onnxruntime's, for the networks."""

PEERS: dict[tuple[str, str, int], float] = {
    **{
        (model, side, batch): 1.0
        for model in MISSION
        for side in ("keras-call", "keras-predict")
        for batch in (1, 32, 256)
    },
    ("cnn", "reference", 32): 100.0,
}
"""(model, peer, batch) → how many times as long as this interpreter the peer takes, at least."""

STARTUP: dict[str, float] = {"scratch-onnx run": 1.0, "ours: load resnet50": 2.0}
"""What is timed as a process, or loaded → the largest time over onnxruntime's."""
