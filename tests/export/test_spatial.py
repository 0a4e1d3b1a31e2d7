"""Convolutional networks: Keras, onnxruntime and the interpreter give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_onnx.export import framework, to_model_proto
from scratch_onnx.interpreter import InferenceSession

pytestmark = pytest.mark.tensorflow


def chain(keras, shape, *steps):
    return keras.Sequential([keras.Input(shape), *steps])


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [(21, 18), (None, None)])
def test_convolution_2d(keras, layers, parity, padding, strides, size):
    model = chain(
        keras,
        (*size, 3),
        layers.Conv2D(4, (3, 2), strides=strides, padding=padding, activation="relu"),
        layers.MaxPooling2D(2, strides=strides, padding=padding),
        layers.Conv2D(2, 3, padding=padding, use_bias=False),
    )
    parity(model)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise_and_separable(keras, layers, parity, counts, padding, strides):
    model = chain(
        keras,
        (16, 16, 3),
        layers.DepthwiseConv2D(3, strides=strides, padding=padding, depth_multiplier=2),
        layers.SeparableConv2D(4, 3, padding=padding, activation="relu"),
        layers.AveragePooling2D(2, strides=strides, padding=padding),
    )
    assert counts(parity(model)) == {"AveragePool": 1, "Conv": 3, "Relu": 1, "Transpose": 2}


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_groups_and_dilations(keras, layers, parity, counts, padding, dilation):
    model = chain(
        keras,
        (12, 10, 4),
        layers.Conv2D(6, 3, groups=2, padding=padding),
        layers.Conv2D(4, 3, dilation_rate=dilation, padding=padding),
    )
    assert counts(parity(model)) == {"Conv": 2, "Transpose": 2}


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize("length", [18, None])
def test_one_dimension(keras, layers, parity, counts, padding, length):
    others = "valid" if padding == "causal" else padding
    model = chain(
        keras,
        (length, 3),
        layers.Conv1D(4, 3, padding=padding, dilation_rate=2, activation="tanh"),
        layers.MaxPooling1D(2, padding=others),
        layers.DepthwiseConv1D(2, padding=others),
        layers.SeparableConv1D(3, 2, padding=others),
        layers.AveragePooling1D(2, padding=others),
    )
    expected = {"AveragePool": 1, "Conv": 4, "MaxPool": 1, "Tanh": 1, "Transpose": 2}
    assert counts(parity(model)) == expected


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_three_dimensions(keras, layers, parity, counts, padding):
    model = chain(
        keras,
        (6, 5, 7, 2),
        layers.Conv3D(3, 2, strides=2, padding=padding),
        layers.MaxPooling3D(2, strides=1, padding=padding),
        layers.Conv3DTranspose(2, 2, padding=padding),
        layers.UpSampling3D(2),
        layers.GlobalAveragePooling3D(),
    )
    assert "Shape" not in counts(parity(model))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kernel", "strides", "extra"),
    [(3, 1, None), (3, 2, None), (2, 3, None), (4, 2, None), (3, 2, 1)],
)
def test_transposed(keras, layers, parity, counts, padding, kernel, strides, extra):
    options = {
        "strides": strides,
        "padding": padding,
        "output_padding": extra,
    }
    model = chain(
        keras,
        (None, 5, 2),
        layers.Conv2DTranspose(3, kernel, activation="relu", **options),
        layers.Conv2D(2, 1),
    )
    expected = {"Conv": 1, "ConvTranspose": 1, "Relu": 1, "Transpose": 2}
    assert counts(parity(model)) == expected


def test_transposed_1d(keras, layers, parity):
    parity(chain(keras, (7, 2), layers.Conv1DTranspose(3, 3, strides=2, padding="same")))


@pytest.mark.parametrize(
    ("interpolation", "size"),
    [("nearest", (2, 3)), ("bilinear", (2, 3)), ("bicubic", (2, 4))],
)
def test_up_sampling(keras, layers, parity, interpolation, size):
    step = layers.UpSampling2D(size, interpolation=interpolation)
    parity(chain(keras, (4, 5, 2), layers.Conv2D(3, 1), step, layers.Cropping2D(1)))


def test_up_sampling_1d(keras, layers, parity):
    parity(chain(keras, (None, 2), layers.UpSampling1D(3), layers.ZeroPadding1D((1, 2))))


@pytest.mark.parametrize("channels_first", [False, True])
def test_batch_normalization(keras, layers, parity, counts, channels_first):
    axis = 1 if channels_first else -1
    model = chain(
        keras,
        (6, 5, 3),
        layers.BatchNormalization(axis=axis),
        layers.ReLU(),
        layers.Conv2D(4, 2),
        layers.BatchNormalization(scale=False),
        layers.BatchNormalization(center=False, epsilon=0.1),
        layers.Flatten(),
        layers.BatchNormalization(),
    )
    assert counts(parity(model))["BatchNormalization"] >= 2


def test_channels_first_convolution(keras, layers, counts):
    """TensorFlow cannot compute this on a CPU; the file can."""
    first = {"data_format": "channels_first"}
    last = chain(keras, (8, 9, 3), layers.Conv2D(4, 3, padding="same"), layers.MaxPooling2D(2))
    model = chain(
        keras,
        (3, 8, 9),
        layers.Conv2D(4, 3, padding="same", **first),
        layers.MaxPooling2D(2, **first),
    )
    model.set_weights(last.get_weights())
    proto = to_model_proto(model)
    assert counts(proto) == {"Conv": 1, "MaxPool": 1}
    x = np.random.default_rng(0).standard_normal((2, 8, 9, 3)).astype(np.float32)
    expected = np.moveaxis(framework.predict(last, x)[0], -1, 1)
    (actual,) = InferenceSession(proto).run(None, {"input_layer_1": np.moveaxis(x, -1, 1)})
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_activations_between(keras, layers, parity):
    model = chain(
        keras,
        (5, 4, 3),
        layers.PReLU(),
        layers.Conv2D(3, 2),
        layers.PReLU(shared_axes=[1, 2]),
        layers.LeakyReLU(0.2),
        layers.ELU(),
        layers.ReLU(6.0),
        layers.Activation("hard_swish"),
        layers.Softmax(axis=-1),
    )
    parity(model)


def test_squeeze_and_excite_needs_no_transposes_inside(keras, layers, parity, counts):
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(6, 3, activation="swish")(x)
    scale = layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(y))
    scale = layers.Conv2D(6, 1, activation="sigmoid")(scale)
    model = keras.Model(x, layers.Conv2D(2, 1)(layers.Multiply()([y, scale])))
    assert counts(parity(model))["Transpose"] == 2


def test_residual_branches(keras, layers, parity, counts):
    x = keras.Input((9, 9, 3))
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    left = layers.Conv2D(4, 3, padding="same")(y)
    right = layers.MaxPooling2D(3, strides=1, padding="same")(y)
    y = layers.Concatenate()([layers.Add()([left, y]), right, layers.Subtract()([left, right])])
    model = keras.Model(x, [layers.GlobalMaxPooling2D()(y), layers.Conv2D(2, 1)(y)])
    assert counts(parity(model))["Transpose"] == 2


def test_keras_application(keras, layers, parity, counts):
    """A mobile network of Keras's own: one transpose at the start, and none inside."""
    del layers
    model = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=4
    )
    model = keras.Model(model.input, model.get_layer("block_2_add").output)
    assert counts(parity(model))["Transpose"] <= 2
