"""The models that are measured: made with random weights through our own export, and kept.

Keras is needed only to make them, when a measurement first asks for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(os.environ.get("SCRATCH_ONNX_BENCH", Path(__file__).parent / "models"))


@dataclass(frozen=True)
class Case:
    """A model, how Keras builds it, and the input of one sample."""

    build: Callable[[], Any]
    sample: Callable[[np.random.Generator, int], np.ndarray[Any, Any]]
    batches: tuple[int, ...] = (1, 32, 256)
    plain: bool = False
    """Whether tf2onnx alone writes it, without the rule of our export that keeps a recurrent layer
    one node: as the Loop that Keras traces."""
    quantized: str = ""
    """The form, QOperator or QDQ, in which onnxruntime's quantiser makes it a model of 8 bits."""


def _images(size: int) -> Callable[[np.random.Generator, int], np.ndarray[Any, Any]]:
    return lambda rng, batch: rng.random((batch, size, size, 3), dtype=np.float32)


def tokens(length: int) -> Callable[[np.random.Generator, int], np.ndarray[Any, Any]]:
    """Of a text model: random words, so many a sample."""
    return lambda rng, batch: rng.integers(0, 2836, (batch, length), dtype=np.int32)


def _cnn(
    filters: tuple[int, ...] = (32, 64, 128), kernel: int = 3, pooling: str = "MaxPooling2D"
) -> Any:
    from keras import Input, Sequential, layers

    blocks: list[Any] = []
    for count in filters:
        blocks += [layers.Conv2D(count, kernel, padding="same", activation="relu")]
        blocks += [getattr(layers, pooling)(2)]
    head = [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(10, "softmax")]
    return Sequential([Input((32, 32, 3)), *blocks, *head])


def _text(cell: str, units: tuple[int, ...], length: int | None, both: bool = False) -> Any:
    from keras import Input, Sequential, layers

    stack: list[Any] = []
    for place, size in enumerate(units):
        layer = getattr(layers, cell)(size, return_sequences=place < len(units) - 1)
        stack += [layers.Bidirectional(layer) if both else layer, layers.Dropout(0.2)]
    return Sequential(
        [
            Input((length,), dtype="int32"),
            layers.Embedding(2836, 128),
            *stack,
            layers.Dense(3, "softmax"),
        ]
    )


def _application(name: str, top: bool = True) -> Any:
    import keras

    return getattr(keras.applications, name)(
        weights=None, include_top=top, input_shape=(224,) * 2 + (3,)
    )


def _encoder(blocks: int = 6, width: int = 384, heads: int = 12) -> Any:
    """A BERT-like encoder on embedded tokens: post-norm blocks of attention and a GELU layer."""
    from keras import Input, Model, layers

    tokens = Input((128, width))
    x = tokens
    for _ in range(blocks):
        attended = layers.MultiHeadAttention(heads, width // heads)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, attended]))
        inner = layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, inner]))
    return Model(tokens, x)


CASES: dict[str, Case] = {
    "cnn": Case(_cnn, _images(32)),
    "lstm": Case(lambda: _text("LSTM", (64, 32), 72), tokens(72)),
    "lstm-bidirectional": Case(lambda: _text("LSTM", (64, 32), 72, True), tokens(72)),
    "lstm-any-length": Case(lambda: _text("LSTM", (64, 32), None), tokens(72)),
    "rnn": Case(lambda: _text("SimpleRNN", (128, 128), 250), tokens(250)),
    "rnn-bidirectional": Case(lambda: _text("SimpleRNN", (128, 128), 250, True), tokens(250)),
    "rnn-loop": Case(lambda: _text("SimpleRNN", (128, 128), 250), tokens(250), plain=True),
    "rnn-bidirectional-loop": Case(
        lambda: _text("SimpleRNN", (128, 128), 250, True), tokens(250), plain=True
    ),
    "gru": Case(lambda: _text("GRU", (64, 32), 72), tokens(72)),
    "gru-bidirectional": Case(lambda: _text("GRU", (64, 32), 72, True), tokens(72)),
    "cnn-5x5": Case(lambda: _cnn((32, 64), 5), _images(32)),
    "cnn-7x7": Case(lambda: _cnn((32, 64), 7), _images(32)),
    "cnn-average": Case(lambda: _cnn((32, 64), 3, "AveragePooling2D"), _images(32)),
    "cnn-int8": Case(_cnn, _images(32), quantized="QOperator"),
    "cnn-qdq": Case(_cnn, _images(32), quantized="QDQ"),
    "cnn-64-128": Case(lambda: _cnn((64, 128)), _images(32)),
    "resnet50": Case(lambda: _application("ResNet50"), _images(224), (1, 8)),
    "mobilenetv2": Case(lambda: _application("MobileNetV2"), _images(224), (1, 8)),
    "vgg16": Case(lambda: _application("VGG16", top=False), _images(224), (1, 8)),
    "densenet121": Case(lambda: _application("DenseNet121"), _images(224), (1, 8)),
    "encoder": Case(
        _encoder, lambda rng, batch: rng.standard_normal((batch, 128, 384), np.float32), (1, 8)
    ),
    "efficientnetb0": Case(lambda: _application("EfficientNetB0"), _images(224), (1, 8)),
}


def path(name: str, suffix: str = ".onnx") -> Path:
    """Where a model's file is."""
    return FOLDER / f"{name}{suffix}"


def make(name: str) -> Path:
    """The model's file, made where it is not there yet (with its Keras twin beside it)."""
    target = path(name)
    if not target.exists():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        from scratch_onnx.export import from_keras

        FOLDER.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(0)
        model = CASES[name].build()
        model.save(path(name, ".keras"))
        if CASES[name].plain:
            _convert_plainly(model, target)
        else:
            from_keras(model, target, check=False)
        if CASES[name].quantized:
            _quantize(CASES[name], target)
    return target


def _quantize(case: Case, target: Path) -> None:
    """Quantise a model in place, a scale a channel, calibrated on images like those measured.

    Activations are uint8: with int8, the quantiser's default, onnxruntime takes 11 times as
    long for QLinearConv, which would measure that and not this interpreter.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            name = onnx.load(target).graph.input[0].name
            self.batches = iter([{name: case.sample(np.random.default_rng(1), 32)}])

        def get_next(self) -> Any:
            return next(self.batches, None)

    form = QuantFormat[case.quantized]
    quantize_static(
        target,
        target,
        Images(),
        quant_format=form,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _convert_plainly(model: Any, target: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(x.shape, x.dtype, name="x") for x in model.inputs]
    call = tf.function(lambda x: model(x, training=False))
    tf2onnx.convert.from_function(call, signature, opset=18, output_path=str(target))
