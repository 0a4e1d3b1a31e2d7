"""Other layers, and graphs of every form: branches, several inputs, nesting, shared layers."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_onnx.export import ExportError, framework, from_keras, to_model_proto
from scratch_onnx.export.signature import input_specs, random_sample
from scratch_onnx.interpreter import InferenceSession

pytestmark = pytest.mark.tensorflow


def test_inputs_of_several_types(keras, layers, parity, counts):
    ids = keras.Input((5,), dtype="int64", name="ids")
    numbers = keras.Input((4,), name="numbers")
    flag = keras.Input((1,), dtype="bool", name="flag")
    words = layers.GlobalAveragePooling1D()(layers.Embedding(7, 6)(ids))
    flags = keras.ops.cast(flag, "float32")
    y = layers.Concatenate()([words, numbers, flags])
    model = keras.Model([ids, numbers, flag], [layers.Dense(2)(y), layers.Dense(3, "softmax")(y)])
    assert "Less" not in counts(parity(model))


def test_embedding_is_one_gather_that_takes_negative_ids_as_keras_does(keras, layers, parity):
    model = keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(5, 2)])
    proto = parity(model, np.array([[0, 4, -1], [-5, 2, -2]], np.int32))
    assert [node.op_type for node in proto.graph.node] == ["Gather"]


def test_embedding_of_float_ids(keras, layers, parity, counts):
    model = keras.Sequential([keras.Input((3,)), layers.Embedding(5, 2)])
    assert counts(parity(model)) == {"Cast": 1, "Gather": 1}


def test_random_sample_has_ids_that_the_embeddings_know(keras, layers):
    ids, more, number = (keras.Input((50,), name=n) for n in ("ids", "more", "number"))
    few, many = layers.Embedding(3, 2), layers.Embedding(300, 2)
    outputs = [few(ids), many(ids), many(more), layers.Dense(2)(number)]
    model = keras.Model([ids, more, number], outputs)
    a, b, c = random_sample(model, input_specs(model))
    assert set(np.unique(a)) == {0, 1, 2}
    assert 10 < b.max() < 300
    assert c.min() < 0


def test_model_inside_a_model_called_twice(keras, layers, parity):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(2)])
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [inner(a) - inner(b), layers.Dot(1)([inner(a), inner(b)])])
    proto = parity(model)
    names = [node.name for node in proto.graph.node if node.op_type == "MatMul"]
    assert sorted(n for n in names if n.startswith("sequential/dense/")) == [
        "sequential/dense/MatMul",
        "sequential/dense/MatMul_1",
    ]


@pytest.mark.parametrize("length", [6, None])
def test_attention(keras, layers, parity, counts, length):
    x = keras.Input((length, 8))
    y = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    y = layers.LayerNormalization()(x + y)
    y = layers.Dense(8)(layers.Dense(12, activation="gelu")(y))
    model = keras.Model(x, layers.GlobalAveragePooling1D()(layers.LayerNormalization()(y)))
    found = counts(parity(model))
    assert found["LayerNormalization"] == 2
    assert found["Softmax"] == 1


def test_attention_layers(keras, layers, parity):
    query, value = keras.Input((4, 6)), keras.Input((5, 6))
    outputs = [
        layers.Attention()([query, value]),
        layers.AdditiveAttention()([query, value]),
        layers.GroupQueryAttention(4, 4, 2)(query, value),
    ]
    parity(keras.Model([query, value], outputs))


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.LayerNormalization(axis=[1, 2]),
        lambda k: k.LayerNormalization(axis=1),
        lambda k: k.LayerNormalization(center=False, scale=False),
        lambda k: k.LayerNormalization(rms_scaling=True),
        lambda k: k.RMSNormalization(),
        lambda k: k.GroupNormalization(2),
        lambda k: k.UnitNormalization(),
        lambda k: k.Normalization(mean=0.5, variance=2.0),
        lambda k: k.Rescaling(1 / 127.5, -1),
        lambda k: k.Permute((2, 1)),
        lambda k: k.Reshape((2, -1)),
        lambda k: k.Flatten(),
        lambda k: k.Dense(3),
        lambda k: k.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
        lambda k: k.TimeDistributed(k.Dense(3, activation="relu")),
        lambda k: k.GlobalMaxPooling1D(keepdims=True),
        lambda k: k.Lambda(lambda t: t[:, ::-1] ** 2),
        lambda k: k.GaussianNoise(0.5),
        lambda k: k.SpatialDropout1D(0.5),
        lambda k: k.ActivityRegularization(0.1),
    ],
)
def test_layer(keras, layers, parity, counts, make):
    proto = parity(keras.Sequential([keras.Input((4, 6)), make(layers)]))
    assert not {"Shape", "If", "Loop"} & set(counts(proto))


@pytest.mark.parametrize(
    "name",
    "elu exponential gelu hard_sigmoid hard_silu leaky_relu linear log_softmax mish relu relu6 "
    "selu sigmoid silu softmax softplus softsign tanh".split(),
)
def test_activation(keras, layers, parity, name):
    parity(keras.Sequential([keras.Input((5,)), layers.Dense(4, activation=name)]))


def test_time_distributed_convolution_is_one_convolution(keras, layers, parity, counts):
    model = keras.Sequential(
        [
            keras.Input((5, 8, 8, 3)),
            layers.TimeDistributed(layers.Conv2D(2, 3, activation="relu")),
            layers.TimeDistributed(layers.Flatten()),
            layers.Dense(3),
        ]
    )
    assert counts(parity(model))["Conv"] == 1


def test_fixed_batch(keras, layers, parity):
    model = keras.Sequential([keras.Input(batch_shape=(2, 4)), layers.Dense(3)])
    dims = parity(model).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims] == [2, 4]


def test_double_precision(keras, layers, parity):
    model = keras.Sequential(
        [
            keras.Input((6, 4), dtype="float64"),
            layers.LSTM(3, return_sequences=True, dtype="float64"),
            layers.Dense(2, dtype="float64"),
        ]
    )
    proto = parity(model, onnxruntime_too=False)  # it has no LSTM of double
    assert proto.graph.output[0].type.tensor_type.elem_type == 11  # DOUBLE


def test_where_keeps_a_nan_of_the_other_branch_out(keras, layers):
    """A product with the condition would let it through: 0 * NaN is NaN."""
    x = keras.Input((3,))
    safe = keras.layers.Lambda(
        lambda t: keras.ops.where(t > 0, keras.ops.log(t), keras.ops.zeros_like(t))
    )
    del layers
    proto = to_model_proto(keras.Model(x, safe(x)))
    values = np.array([[-1.0, 1.0, np.e]], np.float32)
    (got,) = InferenceSession(proto).run(None, {proto.graph.input[0].name: values})
    np.testing.assert_allclose(got, [[0.0, 0.0, 1.0]], atol=1e-6)


def test_subclassed_model_needs_a_sample(keras, layers, tmp_path):
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.left, self.right = layers.Dense(2, name="left"), layers.Dense(2, name="right")

        def call(self, inputs):
            return self.left(inputs["a"]) * self.right(inputs["b"])

    model = Pair()
    with pytest.raises(ExportError, match="does not say what goes in: give sample="):
        from_keras(model, tmp_path / "m.onnx")
    sample = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 4), np.float32)}
    report = from_keras(model, tmp_path / "m.onnx", sample=sample)
    assert report.inputs == ("a", "b")
    assert report.max_abs_diff is not None
    assert report.max_abs_diff < 1e-6
    got = InferenceSession(tmp_path / "m.onnx").run(None, {k: v[:1] for k, v in sample.items()})
    want = framework.predict(model, {k: v[:1] for k, v in sample.items()})
    np.testing.assert_allclose(got[0], want[0], atol=1e-6)


def test_function_inside_a_layer(keras, layers, parity):
    """A tf.function that compiles itself stays a call in the trace; it is inlined."""
    import tensorflow as tf

    class Compiled(layers.Layer):
        @tf.function(jit_compile=True)
        def inner(self, x):
            return tf.sin(x) + 1.0

        def call(self, x):
            return self.inner(x)

    parity(keras.Sequential([keras.Input((3,)), Compiled()]))


def test_operation_that_onnx_lacks_is_named_with_its_layer(keras, layers):
    import tensorflow as tf

    spectrum = layers.Lambda(lambda t: tf.math.lbeta(tf.abs(t) + 1), name="beta")
    model = keras.Sequential([keras.Input((3,)), spectrum])
    with pytest.raises(ExportError, match=r"cannot express .*Lgamma in beta"):
        to_model_proto(model)


def test_layers_are_as_before(keras, layers):
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(2, stateful=False)])
    before = dict(vars(model.layers[0]))
    to_model_proto(model)
    assert "call" not in vars(model.layers[0])
    assert vars(model.layers[0]).keys() == before.keys()
