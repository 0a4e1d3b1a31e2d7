"""Variants from TOML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scratch_onnx.experiments.catalogue import FAMILIES
from scratch_onnx.experiments.config import load_config
from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.variants import Cnn, Recurrent, Training, select


def load(tmp_path: Path, text: str) -> dict[str, object]:
    file = tmp_path / "own.toml"
    file.write_text(text, encoding="utf-8")
    families = load_config(file, FAMILIES)
    return {variant.name: variant for variant in select(families, ["all"])} | {
        family.name: family for family in families
    }


def test_like_another_variant(tmp_path: Path) -> None:
    known = load(
        tmp_path,
        """
        [families]
        "cnn/wide" = "CNN: wider still"

        [[variant]]
        name = "cnn/wide/128-256"
        like = "cnn/layers/2"
        filters = [128, 256]
        epochs = 3
        learning_rate = 1

        [[variant]]
        name = "cnn/wide/average"
        label = "128-256, average"
        like = "cnn/wide/128-256"
        pooling = "average"
        reported = 0.5
        """,
    )
    wide, average = known["cnn/wide/128-256"], known["cnn/wide/average"]
    expected = Cnn((128, 256), (3, 3), "max", 64, Training(3, 64, 1.0))
    assert wide.config == expected  # type: ignore[attr-defined]
    assert wide.label == "128-256"  # type: ignore[attr-defined]
    assert average.config == replace(expected, pooling="average")  # type: ignore[attr-defined]
    assert (average.label, average.reported) == ("128-256, average", 0.5)  # type: ignore[attr-defined]
    assert not average.faithful  # type: ignore[attr-defined]
    assert known["cnn/wide"].title == "CNN: wider still"  # type: ignore[attr-defined]


def test_from_nothing(tmp_path: Path) -> None:
    known = load(
        tmp_path,
        """
        [[variant]]
        name = "gru/direction/both"
        model = "recurrent"
        cell = "GRU"
        units = [32, 16]
        bidirectional = [true, false]
        sequence_length = 72
        dropout = 0
        dropout_each_layer = true
        mask_padding = true
        epochs = 2
        batch_size = 32
        learning_rate = 0.001
        """,
    )
    assert known["gru/direction/both"].config == Recurrent(  # type: ignore[attr-defined]
        "GRU", (32, 16), (True, False), 72, 0.0, True, Training(2, 32, 0.001), True
    )
    assert known["gru/direction"].title == "gru/direction"  # type: ignore[attr-defined]


def test_a_known_family_grows(tmp_path: Path) -> None:
    text = '[[variant]]\nname = "cnn/layers/wide"\nlike = "cnn/layers/1"\nfilters = [99]\n'
    family = load(tmp_path, text)["cnn/layers"]
    assert [v.label for v in family.variants][2:] == ["3 layers", "wide"]  # type: ignore[attr-defined]
    assert family.title == "CNN: number of convolution layers"  # type: ignore[attr-defined]


MINE = '[[variant]]\nname = "cnn/mine/a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[variant", "not a readable TOML file"),
        ("", r"expected \[\[variant\]\] entries"),
        ("variants = 3", r"expected \[\[variant\]\].*found variants"),
        ("variant = 3", r"expected \[\[variant\]\]"),
        (MINE, "one of `like`"),
        (MINE + 'like = "cnn/layers/1"\nmodel = "cnn"', "one of `like`"),
        (MINE + 'like = "cnn/layers/9"', "no such variant"),
        (MINE + 'model = "transformer"', "model is cnn or recurrent"),
        (MINE + 'model = "cnn"\nfilters = [1]', "missing kernels, epochs, batch_size"),
        (MINE + 'like = "cnn/layers/1"\nfilter = [1]', "unknown key filter; known are filters"),
        (MINE + 'like = "cnn/layers/1"\nunits = [1]', "unknown key units"),
        (MINE + 'like = "cnn/layers/1"\nfilters = 32', "filters is a list of int, not 32"),
        (MINE + 'like = "cnn/layers/1"\nfilters = [1.5]', "filters is a list of int"),
        (MINE + 'like = "cnn/layers/1"\nfilters = [true]', "filters is a list of int"),
        (MINE + 'like = "cnn/layers/1"\nfilters = [-1]', "at least 1"),
        (MINE + 'like = "cnn/layers/1"\npooling = 3', "pooling is of type str"),
        (MINE + 'like = "cnn/layers/1"\nepochs = 1.5', "epochs is of type int"),
        (MINE + 'like = "cnn/layers/1"\nepochs = 0', "above 0"),
        (MINE + 'like = "cnn/layers/1"\nreported = 45', "F1 between 0 and 1"),
        (MINE + 'like = "cnn/layers/1"\nreported_average = "micro"', "'macro' or 'weighted'"),
        ('[[variant]]\nlike = "cnn/layers/1"', "name is of type str, not None"),
        ('[[variant]]\nname = "mine"\nlike = "cnn/layers/1"', "three parts"),
        ('[[variant]]\nname = "cnn/layers/1"\nlike = "cnn/layers/2"', "of this name already"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "own.toml") in str(caught.value)
