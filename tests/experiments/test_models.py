"""The Keras models against arithmetic by hand, the splits, and the seed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from scratch_onnx.experiments import cifar10, nusax
from scratch_onnx.experiments.catalogue import FAMILIES
from scratch_onnx.experiments.framework import load_keras
from scratch_onnx.experiments.models import build, prepare
from scratch_onnx.experiments.progress import LineProgress
from scratch_onnx.experiments.training import train
from scratch_onnx.experiments.variants import Config, select

pytestmark = pytest.mark.tensorflow

WORDS = 2836
EMBEDDING = WORDS * 128


def config(name: str) -> Config:
    return select(FAMILIES, [name])[0].config


@pytest.mark.parametrize(
    ("name", "layers", "parameters"),
    [
        (
            "cnn/layers/3",
            "Conv2D MaxPooling2D Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense Dense",
            (27 * 32 + 32) + (288 * 64 + 64) + (576 * 128 + 128) + (2048 * 64 + 64) + 650,
        ),
        (
            "cnn/pooling/average",
            "Conv2D AveragePooling2D Conv2D AveragePooling2D Flatten Dense Dense",
            (27 * 32 + 32) + (288 * 64 + 64) + (4096 * 64 + 64) + 650,
        ),
        (
            "cnn/kernel-size/7x7",
            "Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense Dense",
            (147 * 32 + 32) + (49 * 32 * 64 + 64) + (4096 * 64 + 64) + 650,
        ),
        (
            "rnn/layers/3",
            "Embedding SimpleRNN SimpleRNN SimpleRNN Dropout Dense",
            EMBEDDING + 3 * (128 * 256 + 128) + 128 * 3 + 3,
        ),
        (
            "rnn/direction/bidirectional",
            "Embedding Bidirectional Bidirectional Dropout Dense",
            EMBEDDING + 2 * (128 * 256 + 128) + 2 * (128 * 384 + 128) + 256 * 3 + 3,
        ),
        (
            "lstm/direction/mixed",
            "Embedding Bidirectional Dropout LSTM Dropout Dense",
            EMBEDDING + 2 * 4 * (64 * 192 + 64) + 4 * (32 * 160 + 32) + 32 * 3 + 3,
        ),
        (
            "lstm/layers-masked/3",
            "Embedding LSTM Dropout LSTM Dropout LSTM Dropout Dense",
            EMBEDDING + 4 * (64 * 192 + 64) + 4 * (32 * 96 + 32) + 4 * (16 * 48 + 16) + 16 * 3 + 3,
        ),
    ],
)
def test_layers_and_parameters(name: str, layers: str, parameters: int) -> None:
    model = build(config(name), 10 if name.startswith("cnn") else 3, WORDS)
    assert [type(layer).__name__ for layer in model.layers] == layers.split()
    assert model.count_params() == parameters


def test_activations_dropout_and_optimizer() -> None:
    cnn = build(config("cnn/layers/1"), 10)
    assert [layer.activation.__name__ for layer in cnn.layers if hasattr(layer, "activation")] == [
        "relu",
        "relu",
        "softmax",
    ]
    assert cnn.layers[0].padding == "same"
    assert float(cnn.optimizer.learning_rate) == pytest.approx(1e-3)
    rnn = build(config("rnn/layers/2"), 3, WORDS)
    assert [layer.rate for layer in rnn.layers if hasattr(layer, "rate")] == [0.3]
    assert float(rnn.optimizer.learning_rate) == pytest.approx(1e-4)
    lstm = build(config("lstm/layers/2"), 3, WORDS)
    assert [layer.rate for layer in lstm.layers if hasattr(layer, "rate")] == [0.2, 0.2]
    assert float(lstm.optimizer.learning_rate) == pytest.approx(5e-3)
    assert [lstm.layers[0].mask_zero, build(config("lstm/layers-masked/2"), 3).layers[0].mask_zero]
    assert not lstm.layers[0].mask_zero


def test_image_splits(image_folder: Path) -> None:
    data = cifar10.load([image_folder])
    ready = prepare(config("cnn/layers/1"), data)
    assert (len(ready.train), len(ready.validation), len(ready.test)) == (32, 8, 20)
    assert ready.train.x.dtype == np.float32
    for split in (ready.train, ready.validation, ready.test):
        # the pixel (20 * class, number, 7), divided by 255
        red = split.x[:, 0, 0, 0] * 255
        np.testing.assert_allclose(red, 20.0 * split.y, rtol=1e-6)
        np.testing.assert_allclose(split.x[..., 2], np.float32(7) / np.float32(255), rtol=0)
    numbers = {
        tuple(np.rint(image[0, 0] * 255)) for s in (ready.train, ready.validation) for image in s.x
    }
    assert len(numbers) == 40, "every training image is in one of the two"


def test_a_limit_takes_samples_of_all_kinds(image_folder: Path) -> None:
    ready = prepare(config("cnn/layers/1"), cifar10.load([image_folder]), limit=12)
    assert (len(ready.train), len(ready.validation), len(ready.test)) == (12, 8, 12)
    assert len(set(ready.test.y.tolist())) > 4


def test_sentences_become_tokens(nusax_folder: Path) -> None:
    ready = prepare(config("lstm/layers/1"), nusax.load([nusax_folder]))
    assert ready.vocabulary is not None
    assert ready.vocabulary[:2] == ("", "[UNK]")
    # 11 different words: enak murah dan ramah, pelayanan buruk sekali, kereta berangkat pukul tujuh
    assert len(ready.vocabulary) == 2 + 11
    assert ready.train.x.shape == (24, 72)
    words = [ready.vocabulary[token] for token in ready.train.x[1] if token]
    assert words == ["pelayanan", "buruk", "sekali"]
    assert (ready.train.x[1][3:] == 0).all(), "padding stands behind the sentence"
    assert prepare(config("rnn/layers/1"), nusax.load([nusax_folder])).test.x.shape == (12, 250)


def test_the_vocabulary_of_the_real_sentences(shared_data: Path) -> None:
    data = nusax.load([shared_data])
    ready = prepare(config("lstm/layers/1"), data)
    assert ready.vocabulary is not None
    assert len(ready.vocabulary) == 2836
    limited = prepare(config("lstm/layers/1"), data, limit=5)
    assert limited.vocabulary == ready.vocabulary
    assert len(limited.train) == 5


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(nusax_folder: Path) -> None:
    """Whatever was trained before in the same process."""
    load_keras()
    data = nusax.load([nusax_folder])
    wanted, other = config("lstm/layers/1"), config("lstm/layers-masked/2")
    log = LineProgress(io.StringIO())

    def weights(which: Config, seed: int) -> list[np.ndarray]:
        model = train(which, prepare(which, data), seed, "test", log).model
        return [np.asarray(w) for w in model.get_weights()]

    first = weights(wanted, 5)
    weights(other, 9)
    again = weights(wanted, 5)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    another = weights(wanted, 6)
    assert not all(np.array_equal(a, b) for a, b in zip(first, another, strict=True))
