"""From a configuration to a compiled Keras model, and from a data set to its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scratch_onnx.experiments.datasets import Images, Sentences, Texts
from scratch_onnx.experiments.framework import load_keras
from scratch_onnx.experiments.variants import Cnn, Config, Recurrent, Training

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Split:
    """Model inputs and ``int64`` class numbers of shape (n,)."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Prepared:
    """The three splits as a model takes them; texts bring the vocabulary that numbered them."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...] | None = None


def build(config: Config, classes: int, vocabulary_size: int | None = None) -> Any:
    """A compiled Keras model: float32 (n, 32, 32, 3) or int64 (n, sequence_length) as input."""
    keras = load_keras()
    layers = (
        _cnn_layers(config, keras.layers)
        if isinstance(config, Cnn)
        else _recurrent_layers(config, keras.layers, vocabulary_size or config.max_tokens)
    )
    model = keras.Sequential([*layers, keras.layers.Dense(classes, activation="softmax")])
    _compile(model, config.training, keras)
    return model


def _cnn_layers(config: Cnn, layers: Any) -> list[Any]:
    pooling = layers.MaxPooling2D if config.pooling == "max" else layers.AveragePooling2D
    stack = [layers.Input((32, 32, 3), name="image")]
    for filters, kernel in zip(config.filters, config.kernels, strict=True):
        stack += [layers.Conv2D(filters, kernel, padding="same", activation="relu"), pooling(2)]
    return [*stack, layers.Flatten(), layers.Dense(config.dense_units, activation="relu")]


def _recurrent_layers(config: Recurrent, layers: Any, vocabulary_size: int) -> list[Any]:
    cell = getattr(layers, config.cell)
    stack = [
        layers.Input((config.sequence_length,), dtype="int64", name="tokens"),
        layers.Embedding(vocabulary_size, config.embedding_dim, mask_zero=config.mask_padding),
    ]
    last = len(config.units) - 1
    for place, (units, both) in enumerate(zip(config.units, config.bidirectional, strict=True)):
        layer = cell(units, return_sequences=place < last)
        stack.append(layers.Bidirectional(layer, merge_mode="concat") if both else layer)
        if config.dropout and (config.dropout_each_layer or place == last):
            stack.append(layers.Dropout(config.dropout))
    return stack


def _compile(model: Any, training: Training, keras: Any) -> None:
    model.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )


def prepare(config: Config, data: Images | Texts, limit: int | None = None) -> Prepared:
    """Split, scale or tokenise; with a limit, at most that many samples of each split."""
    if isinstance(config, Cnn):
        assert isinstance(data, Images)
        return _prepare_images(data, limit)
    assert isinstance(data, Texts)
    return _prepare_texts(config, data, limit)


def _prepare_images(data: Images, limit: int | None) -> Prepared:
    from sklearn.model_selection import train_test_split

    x_train, x_valid, y_train, y_valid = train_test_split(
        data.x_train, data.y_train, test_size=0.2, random_state=42
    )
    splits = (
        Split(_scaled(x[chosen]), y[chosen])
        for x, y in ((x_train, y_train), (x_valid, y_valid), (data.x_test, data.y_test))
        for chosen in [_chosen(len(y), limit)]
    )
    return Prepared(next(splits), next(splits), next(splits), data.classes)


def _scaled(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return images.astype(np.float32) / np.float32(255)


def _prepare_texts(config: Recurrent, data: Texts, limit: int | None) -> Prepared:
    keras = load_keras()
    vectorize = keras.layers.TextVectorization(
        max_tokens=config.max_tokens, output_sequence_length=config.sequence_length
    )
    # The vocabulary is always that of the whole training text: a limited pass keeps the shapes.
    vectorize.adapt(np.asarray(data.train.texts, dtype=object))

    def tokens(split: Sentences) -> Split:
        chosen = _chosen(len(split.labels), limit)
        texts = np.asarray(split.texts, dtype=object)[chosen]
        return Split(np.asarray(vectorize(texts), np.int64), split.labels[chosen])

    return Prepared(
        tokens(data.train),
        tokens(data.valid),
        tokens(data.test),
        data.classes,
        tuple(vectorize.get_vocabulary()),
    )


def _chosen(count: int, limit: int | None) -> Sequence[int] | slice:
    """All of a split, or the same random few of it each time (test images stand by class)."""
    if limit is None or limit >= count:
        return slice(None)
    few: list[int] = np.sort(np.random.default_rng(42).permutation(count)[:limit]).tolist()
    return few
