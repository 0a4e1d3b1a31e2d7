"""Every experiment of the report, as data: what was built, and the F1 that the report gives.

The 28 rows and their order are the report's own. Behind them stand the improved variants, which
change one thing (padding is masked) and have no reported score.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from scratch_onnx.experiments.variants import Cnn, Config, Family, Recurrent, Training, Variant


def _cnn(filters: tuple[int, ...], kernel: int = 3, pooling: str = "max") -> Cnn:
    average = pooling == "average"
    return Cnn(filters, (kernel,) * len(filters), "average" if average else "max")


def _rnn(*units: int, bidirectional: bool = False) -> Recurrent:
    return Recurrent(
        cell="SimpleRNN",
        units=units,
        bidirectional=(bidirectional,) * len(units),
        sequence_length=250,
        dropout=0.3,
        dropout_each_layer=False,
        training=Training(epochs=10, batch_size=128, learning_rate=1e-4),
    )


def _lstm(*units: int, bidirectional: tuple[bool, ...] | None = None) -> Recurrent:
    return Recurrent(
        cell="LSTM",
        units=units,
        bidirectional=bidirectional or (False,) * len(units),
        sequence_length=72,
        dropout=0.2,
        dropout_each_layer=True,
        training=Training(epochs=10, batch_size=32, learning_rate=0.005),
    )


Row = tuple[str, str, Config, float]

# family, title, then (variant, label, configuration, reported F1)
_REPORT: tuple[tuple[str, str, tuple[Row, ...]], ...] = (
    (
        "cnn/layers",
        "CNN: number of convolution layers",
        (
            ("1", "1 layer", _cnn((32,)), 0.6316),
            ("2", "2 layers", _cnn((32, 64)), 0.6803),
            ("3", "3 layers", _cnn((32, 64, 128)), 0.7210),
        ),
    ),
    (
        "cnn/filters",
        "CNN: filters in each layer",
        (
            ("16-32", "16-32 filters", _cnn((16, 32)), 0.6536),
            ("32-64", "32-64 filters", _cnn((32, 64)), 0.6936),
            ("64-128", "64-128 filters", _cnn((64, 128)), 0.7081),
        ),
    ),
    (
        "cnn/kernel-size",
        "CNN: kernel size",
        (
            ("3x3", "3×3 kernel", _cnn((32, 64), kernel=3), 0.6713),
            ("5x5", "5×5 kernel", _cnn((32, 64), kernel=5), 0.6754),
            ("7x7", "7×7 kernel", _cnn((32, 64), kernel=7), 0.6474),
        ),
    ),
    (
        "cnn/pooling",
        "CNN: pooling",
        (
            ("average", "average pooling", _cnn((32, 64), pooling="average"), 0.6681),
            ("max", "max pooling", _cnn((32, 64), pooling="max"), 0.6751),
        ),
    ),
    (
        "rnn/layers",
        "SimpleRNN: number of layers",
        (
            ("1", "1 layer", _rnn(128), 0.4247),
            ("2", "2 layers", _rnn(128, 128), 0.3147),
            ("3", "3 layers", _rnn(128, 128, 128), 0.4388),
        ),
    ),
    (
        "rnn/units",
        "SimpleRNN: units in each layer",
        (
            ("64", "64 units", _rnn(64, 64), 0.2816),
            ("128", "128 units", _rnn(128, 128), 0.5284),
            ("256", "256 units", _rnn(256, 256), 0.4772),
        ),
    ),
    (
        "rnn/direction",
        "SimpleRNN: direction",
        (
            ("bidirectional", "bidirectional", _rnn(128, 128, bidirectional=True), 0.4732),
            ("unidirectional", "unidirectional", _rnn(128, 128), 0.4411),
        ),
    ),
    (
        "lstm/layers",
        "LSTM: number of layers",
        (
            ("1", "1 layer", _lstm(64), 0.2632),
            ("2", "2 layers", _lstm(64, 32), 0.2069),
            ("3", "3 layers", _lstm(64, 32, 16), 0.5756),
        ),
    ),
    (
        "lstm/units",
        "LSTM: units in each layer",
        (
            ("32", "32 units", _lstm(32, 32), 0.4610),
            ("64", "64 units", _lstm(64, 64), 0.2170),
            ("128", "128 units", _lstm(128, 128), 0.2160),
        ),
    ),
    (
        "lstm/direction",
        "LSTM: direction",
        (
            ("bidirectional", "bidirectional", _lstm(64, 32, bidirectional=(True, True)), 0.6538),
            ("unidirectional", "unidirectional", _lstm(64, 32), 0.2117),
            ("mixed", "mixed", _lstm(64, 32, bidirectional=(True, False)), 0.2117),
        ),
    ),
)


def _faithful(name: str, title: str, rows: tuple[Row, ...]) -> Family:
    # The original's LSTM column was computed with average="weighted" under the heading macro F1.
    average: Literal["macro", "weighted"] = "weighted" if name.startswith("lstm/") else "macro"
    return Family(
        name,
        title,
        tuple(
            Variant(f"{name}/{key}", label, config, reported, average)
            for key, label, config, reported in rows
        ),
    )


def _masked(name: str, title: str, rows: tuple[Row, ...]) -> Family:
    """The same models with ``mask_zero=True``: the padding is no longer read as words."""
    return Family(
        f"{name}-masked",
        f"{title}, padding masked (improved)",
        tuple(
            Variant(
                f"{name}-masked/{key}",
                label,
                replace(config, mask_padding=True),
                faithful=False,
            )
            for key, label, config, _ in rows
            if isinstance(config, Recurrent)
        ),
    )


FAMILIES: tuple[Family, ...] = (
    *(_faithful(*entry) for entry in _REPORT),
    *(_masked(*entry) for entry in _REPORT if not entry[0].startswith("cnn/")),
)
