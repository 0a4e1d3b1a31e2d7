"""The catalogue against the specification, names, and equal configurations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratch_onnx.experiments.catalogue import FAMILIES
from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.variants import (
    Cnn,
    Recurrent,
    Training,
    Variant,
    model_id,
    select,
)

# The report's tables, typed from it: (name, reported F1), in its order.
REPORTED = """
cnn/layers/1 0.6316
cnn/layers/2 0.6803
cnn/layers/3 0.7210
cnn/filters/16-32 0.6536
cnn/filters/32-64 0.6936
cnn/filters/64-128 0.7081
cnn/kernel-size/3x3 0.6713
cnn/kernel-size/5x5 0.6754
cnn/kernel-size/7x7 0.6474
cnn/pooling/average 0.6681
cnn/pooling/max 0.6751
rnn/layers/1 0.4247
rnn/layers/2 0.3147
rnn/layers/3 0.4388
rnn/units/64 0.2816
rnn/units/128 0.5284
rnn/units/256 0.4772
rnn/direction/bidirectional 0.4732
rnn/direction/unidirectional 0.4411
lstm/layers/1 0.2632
lstm/layers/2 0.2069
lstm/layers/3 0.5756
lstm/units/32 0.4610
lstm/units/64 0.2170
lstm/units/128 0.2160
lstm/direction/bidirectional 0.6538
lstm/direction/unidirectional 0.2117
lstm/direction/mixed 0.2117
"""

BY_NAME = {variant.name: variant for variant in select(FAMILIES, ["all"])}


def test_the_28_rows_of_the_report() -> None:
    rows = [line.split() for line in REPORTED.strip().splitlines()]
    faithful = select(FAMILIES, ["faithful"])
    assert [(v.name, v.reported) for v in faithful] == [(n, float(f1)) for n, f1 in rows]
    assert len(faithful) == 28


def test_the_lstm_column_is_a_weighted_f1() -> None:
    averages = {v.kind: v.reported_average for v in select(FAMILIES, ["faithful"])}
    assert averages == {"cnn": "macro", "rnn": "macro", "lstm": "weighted"}


@pytest.mark.parametrize(
    ("name", "filters", "kernels", "pooling"),
    [
        ("cnn/layers/1", (32,), (3,), "max"),
        ("cnn/layers/3", (32, 64, 128), (3, 3, 3), "max"),
        ("cnn/filters/64-128", (64, 128), (3, 3), "max"),
        ("cnn/kernel-size/7x7", (32, 64), (7, 7), "max"),
        ("cnn/pooling/average", (32, 64), (3, 3), "average"),
    ],
)
def test_cnn_configurations(
    name: str, filters: tuple[int, ...], kernels: tuple[int, ...], pooling: str
) -> None:
    config = BY_NAME[name].config
    assert isinstance(config, Cnn)
    assert (config.filters, config.kernels, config.pooling) == (filters, kernels, pooling)
    assert config.dense_units == 64
    assert config.training == Training(epochs=7, batch_size=64, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("name", "units", "bidirectional"),
    [
        ("rnn/layers/3", (128, 128, 128), (False,) * 3),
        ("rnn/units/256", (256, 256), (False, False)),
        ("rnn/direction/bidirectional", (128, 128), (True, True)),
        ("lstm/layers/3", (64, 32, 16), (False,) * 3),
        ("lstm/units/128", (128, 128), (False, False)),
        ("lstm/direction/mixed", (64, 32), (True, False)),
    ],
)
def test_recurrent_configurations(
    name: str, units: tuple[int, ...], bidirectional: tuple[bool, ...]
) -> None:
    config = BY_NAME[name].config
    assert isinstance(config, Recurrent)
    assert (config.units, config.bidirectional) == (units, bidirectional)
    assert (config.embedding_dim, config.max_tokens, config.mask_padding) == (128, 10_000, False)
    text = (config.cell, config.sequence_length, config.dropout, config.dropout_each_layer)
    if name.startswith("rnn"):
        assert text == ("SimpleRNN", 250, 0.3, False)
        assert config.training == Training(epochs=10, batch_size=128, learning_rate=1e-4)
    else:
        assert text == ("LSTM", 72, 0.2, True)
        assert config.training == Training(epochs=10, batch_size=32, learning_rate=5e-3)


def test_improved_variants_change_the_mask_and_nothing_else() -> None:
    improved = select(FAMILIES, ["improved"])
    assert len(improved) == 17
    for variant in improved:
        faithful = BY_NAME[variant.name.replace("-masked/", "/")].config
        assert isinstance(variant.config, Recurrent)
        assert replace(variant.config, mask_padding=False) == faithful
        assert variant.config.mask_padding
        assert variant.reported is None


def test_equal_configurations_are_one_model() -> None:
    names = ["cnn/layers/2", "cnn/filters/32-64", "cnn/kernel-size/3x3", "cnn/pooling/max"]
    assert len({model_id(BY_NAME[name].config) for name in names}) == 1
    faithful = select(FAMILIES, ["faithful"])
    assert len({model_id(v.config) for v in faithful}) == 22
    assert len({model_id(v.config) for v in faithful if v.kind == "cnn"}) == 8


def test_every_field_makes_another_model() -> None:
    config = BY_NAME["cnn/layers/1"].config
    assert isinstance(config, Cnn)
    others = [
        replace(config, dense_units=65),
        replace(config, pooling="average"),
        replace(config, training=replace(config.training, epochs=8)),
        replace(config, training=replace(config.training, learning_rate=0.002)),
    ]
    assert len({model_id(c) for c in (config, *others)}) == 5


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["all"], 45),
        (["cnn"], 11),
        (["cnn/"], 11),
        (["cnn/layers"], 3),
        (["cnn/layers/3"], 1),
        (["lstm/direction/bidirectional", "lstm/direction"], 3),
        (["rnn/layers", "cnn/pooling/max"], 4),
    ],
)
def test_selecting(names: list[str], count: int) -> None:
    chosen = select(FAMILIES, names)
    assert len(chosen) == count
    order = list(BY_NAME)
    assert chosen == sorted(chosen, key=lambda v: order.index(v.name))


@pytest.mark.parametrize("name", ["cnns", "cnn/layer", "layers/3", "", "cnn/layers/3/4"])
def test_a_name_that_stands_for_nothing(name: str) -> None:
    with pytest.raises(ExperimentError, match=r"there is no experiment .*cnn, rnn, lstm"):
        select(FAMILIES, [name])


@pytest.mark.parametrize("name", ["a", "a/b", "a/b/c/d", "a//c", "a/../c", "/a/b", "a/b/.c"])
def test_a_variants_name_has_three_parts(name: str) -> None:
    with pytest.raises(ExperimentError, match="three parts"):
        Variant(name, "label", BY_NAME["cnn/layers/1"].config)


def test_configurations_that_cannot_be() -> None:
    training = Training(1, 1, 0.1)
    with pytest.raises(ExperimentError, match="one kernel size for each"):
        Cnn((32, 64), (3,))
    with pytest.raises(ExperimentError, match="one kernel size for each"):
        Cnn((), ())
    with pytest.raises(ExperimentError, match="at least 1"):
        Cnn((0,), (3,))
    with pytest.raises(ExperimentError, match="'max' or 'average'"):
        Cnn((1,), (3,), "min")  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="one direction for each layer"):
        Recurrent("LSTM", (2, 2), (True,), 5, 0.1, False, training)
    with pytest.raises(ExperimentError, match="below 1"):
        Recurrent("LSTM", (2,), (True,), 5, 1.0, False, training)
    with pytest.raises(ExperimentError, match="SimpleRNN"):
        Recurrent("lstm", (2,), (True,), 5, 0.1, False, training)  # type: ignore[arg-type]
