"""The written graph is as small as the model, and says where each node comes from."""

from __future__ import annotations

import onnx
import pytest

from scratch_onnx.export import to_model_proto

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def cnn(keras, layers):
    """The three-layer CNN of the experiments, narrower."""
    blocks = []
    for filters in (4, 6, 8):
        blocks += [
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
        ]
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            *blocks,
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_cnn_has_a_node_for_each_thing_it_does(cnn, parity, counts):
    assert counts(parity(cnn)) == {
        "Add": 2,
        "Conv": 3,
        "MatMul": 2,
        "MaxPool": 3,
        "Relu": 4,
        "Reshape": 1,
        "Softmax": 1,
        "Transpose": 2,
    }


def test_nodes_carry_the_names_of_the_layers(cnn):
    names = [node.name for node in to_model_proto(cnn).graph.node]
    assert names == [
        "conv2d/Transpose",
        "conv2d/Conv",
        "conv2d/Relu",
        "max_pooling2d/MaxPool",
        "conv2d_1/Conv",
        "conv2d_1/Relu",
        "max_pooling2d_1/MaxPool",
        "conv2d_2/Conv",
        "conv2d_2/Relu",
        "max_pooling2d_2/MaxPool",
        "flatten/Transpose",
        "flatten/Reshape",
        "dense/MatMul",
        "dense/Relu",
        "dense_1/MatMul",
        "dense_1/Softmax",
    ], "zero biases leave no Add"


def test_every_value_has_its_shape_and_a_name(cnn, parity):
    graph = parity(cnn).graph
    known = {v.name: shape(v) for v in (*graph.input, *graph.output, *graph.value_info)}
    assert all(name in known for node in graph.node for name in node.output)
    assert known["input_layer"] == ["batch", 16, 16, 3]
    assert known["conv2d_1/Conv"] == ["batch", 6, 8, 8]
    assert known["flatten/Reshape"] == ["batch", 32]
    assert known["dense_1"] == ["batch", 10]
    assert "conv2d/Conv.W" in {value.name for value in graph.initializer}


def test_variable_dimensions_are_named(keras, layers, parity):
    images = keras.Input((None, None, 3), name="image")
    ids = keras.Input((None,), dtype="int32", name="ids")
    pooled = layers.GlobalMaxPooling1D()(layers.Embedding(9, 4)(ids))
    model = keras.Model(
        [images, ids], [layers.Conv2D(2, 3, strides=2, padding="same")(images), pooled]
    )
    graph = parity(model).graph
    assert [shape(v) for v in graph.input] == [
        ["batch", "image_height", "image_width", 3],
        ["batch", "ids_length"],
    ]
    assert shape(graph.output[1]) == ["batch", 4]
    first = shape(graph.output[0])
    assert first[0] == "batch"
    assert first[3] == 2
    assert all(isinstance(d, str) and d for d in first[:3])


def test_inputs_and_outputs_keep_keras_names(keras, layers):
    a, b = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    both = layers.Concatenate()([a, b])
    model = keras.Model([a, b], [layers.Dense(2, name="small")(both), layers.Dense(4)(both)])
    graph = to_model_proto(model).graph
    assert [v.name for v in graph.input] == ["left", "right"]
    assert [v.name for v in graph.output] == ["small", "dense"]


def test_dict_inputs_and_outputs_are_named_by_their_keys(keras, parity):
    inputs = {"x": keras.Input((3,), name="x"), "a": keras.Input((3,), name="a")}
    outputs = {"sum": inputs["x"] + inputs["a"], "diff": inputs["x"] - inputs["a"]}
    graph = parity(keras.Model(inputs, outputs)).graph
    assert {v.name for v in graph.input} == {"x", "a"}
    assert {v.name for v in graph.output} == {"sum", "diff"}


def test_one_layer_with_several_outputs_gives_each_a_name(keras, layers, parity):
    x = keras.Input((5, 3))
    graph = parity(keras.Model(x, layers.LSTM(2, return_state=True)(x))).graph
    assert [v.name for v in graph.output] == ["lstm", "lstm_1", "lstm_2"]


def test_nested_layers_are_named_by_their_path(keras, layers):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="part")], name="inner")
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, name="end")(inner(x)))
    names = {node.name for node in to_model_proto(model).graph.node}
    assert names == {"inner/part/MatMul", "end/MatMul"}


@pytest.mark.parametrize("opset", [13, 15, 17, 18])
def test_opsets(cnn, parity, opset):
    assert parity(cnn, opset=opset).opset_import[0].version == opset


@pytest.mark.parametrize("cell", ["SimpleRNN", "GRU", "LSTM"])
@pytest.mark.parametrize("both", [False, True])
def test_text_model(keras, layers, parity, counts, cell, both):
    wrap = layers.Bidirectional if both else lambda layer: layer
    make = getattr(layers, cell)
    model = keras.Sequential(
        [
            keras.Input((9,), dtype="int32"),
            layers.Embedding(20, 8),
            wrap(make(6, return_sequences=True)),
            layers.Dropout(0.2),
            wrap(make(4)),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ]
    )
    # one-way: a Transpose to time first, a Squeeze of the one direction a layer;
    # both ways: directions beside each other by a Transpose and a Reshape a layer
    layout = {"Reshape": 2, "Transpose": 3} if both else {"Squeeze": 2, "Transpose": 1}
    node = {"SimpleRNN": "RNN"}.get(cell, cell)
    expected = {"Gather": 1, node: 2, "MatMul": 1, "Add": 1, "Softmax": 1, **layout}
    assert counts(parity(model)) == dict(sorted(expected.items()))
