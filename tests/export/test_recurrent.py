"""Recurrent layers: one Keras layer is one ONNX node, and gives what Keras gives."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_onnx.export import from_keras, to_model_proto
from scratch_onnx.interpreter import InferenceSession

pytestmark = pytest.mark.tensorflow

CELLS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
each_cell = pytest.mark.parametrize("cell", CELLS)


def recurrent_nodes(counts, proto):
    return {k: n for k, n in counts(proto).items() if k in ("RNN", "GRU", "LSTM", "Loop")}


@each_cell
@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("backwards", [False, True])
def test_sequences_and_states(keras, layers, parity, counts, cell, length, backwards):
    make = getattr(layers, cell)
    x = keras.Input((length, 3))
    outputs = [
        make(4, return_sequences=True, return_state=True, go_backwards=backwards)(x),
        make(4, go_backwards=backwards, use_bias=False)(x),
    ]
    proto = parity(keras.Model(x, outputs))
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: 2}


@each_cell
@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
def test_bidirectional(keras, layers, parity, counts, cell, merge):
    make = getattr(layers, cell)
    x = keras.Input((5, 3))
    outputs = [
        layers.Bidirectional(make(4, return_sequences=True), merge_mode=merge)(x),
        layers.Bidirectional(make(4, return_state=True), merge_mode=merge)(x),
    ]
    proto = parity(keras.Model(x, outputs))
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: 2}


@each_cell
def test_bidirectional_of_two_different_layers(keras, layers, parity, counts, cell):
    """One node where the two fit together (other activations, no bias); else two."""
    make = getattr(layers, cell)
    x = keras.Input((5, 3))
    fitting = make(4, go_backwards=True, activation="relu", use_bias=False)
    wider = make(6, go_backwards=True)
    outputs = [
        layers.Bidirectional(make(4, activation="hard_sigmoid"), backward_layer=fitting)(x),
        layers.Bidirectional(make(4), backward_layer=wider)(x),
    ]
    proto = parity(keras.Model(x, outputs))
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: 3}


@each_cell
def test_initial_state(keras, layers, parity, counts, cell):
    make = getattr(layers, cell)
    x = keras.Input((5, 3))
    state = [layers.Dense(4)(x[:, 0]) for _ in range(2 if cell == "LSTM" else 1)]
    encoder = make(4, return_state=True)(x, initial_state=state)
    outputs = [
        *encoder,
        make(4, return_sequences=True)(x, initial_state=encoder[1:]),
        layers.Bidirectional(make(4))(x, initial_state=state + state),
    ]
    proto = parity(keras.Model(x, outputs))
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: 3}


@each_cell
def test_other_forms(keras, layers, parity, counts, cell):
    make = getattr(layers, cell)
    cell_class = getattr(layers, f"{cell}Cell")
    x = keras.Input((3, 4, 2))
    y = layers.TimeDistributed(make(3, return_sequences=True, name="inner"))(x)
    y = layers.Reshape((12, 3))(y)
    y = make(4, unroll=True, return_sequences=True, dropout=0.3, recurrent_dropout=0.3)(y)
    y = layers.RNN(cell_class(3), return_sequences=True)(y)
    proto = parity(keras.Model(x, layers.TimeDistributed(layers.Dense(2))(y)))
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: 3}
    assert "time_distributed/inner/" + CELLS[cell] in {node.name for node in proto.graph.node}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_gru_that_resets_before(keras, layers, parity, both, bias):
    layer = layers.GRU(4, reset_after=False, use_bias=bias, return_sequences=True)
    layer = layers.Bidirectional(layer) if both else layer
    proto = parity(keras.Sequential([keras.Input((5, 3)), layer]))
    (node,) = [node for node in proto.graph.node if node.op_type == "GRU"]
    assert {a.name: a.i for a in node.attribute}["linear_before_reset"] == 0


ACTIVATIONS = "tanh sigmoid relu hard_sigmoid linear elu softsign softplus leaky_relu".split()


@each_cell
def test_activations_that_onnx_knows(keras, layers, parity, counts, cell):
    make = getattr(layers, cell)
    x = keras.Input((4, 3))
    outputs = []
    for activation, recurrent in zip(ACTIVATIONS, reversed(ACTIVATIONS), strict=True):
        more = {} if cell == "SimpleRNN" else {"recurrent_activation": recurrent}
        outputs.append(make(3, activation=activation, **more)(x))
    proto = parity(keras.Model(x, outputs))
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: len(ACTIVATIONS)}


@each_cell
def test_activation_that_onnx_lacks_stays_a_loop(keras, layers, parity, counts, cell):
    make = getattr(layers, cell)
    x = keras.Input((None, 3))
    outputs = [
        make(3, activation="gelu", return_sequences=True)(x),
        layers.Bidirectional(make(3, activation="silu"))(x),
    ]
    proto = parity(keras.Model(x, outputs))
    assert recurrent_nodes(counts, proto) == {"Loop": 3}


@each_cell
def test_stateful_starts_from_the_state_at_export(keras, layers, parity, cell, tmp_path):
    make = getattr(layers, cell)
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(2, 4, 3)),
            make(3, stateful=True, return_sequences=True),
            make(3, stateful=True, activation="gelu"),
        ]
    )
    parity(model)
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((2, 2, 4, 3)).astype(np.float32)
    model(first)  # moves the states
    states = [np.asarray(state) for layer in model.layers for state in layer.states]
    from_keras(model, tmp_path / "m.onnx")
    after = [np.asarray(state) for layer in model.layers for state in layer.states]
    for before, now in zip(states, after, strict=True):
        np.testing.assert_array_equal(before, now, "the export left a state changed")
    session = InferenceSession(tmp_path / "m.onnx")
    feeds = {session.get_inputs()[0].name: second}
    (got,) = session.run(None, feeds)
    np.testing.assert_array_equal(got, session.run(None, feeds)[0])  # the file keeps no state
    np.testing.assert_allclose(got, np.asarray(model(second)), atol=1e-5)


def test_layer_called_twice_shares_its_weights(keras, layers, parity):
    layer = layers.LSTM(4)
    a, b = keras.Input((5, 3)), keras.Input((5, 3))
    proto = parity(keras.Model([a, b], layer(a) - layer(b)))
    one, other = [node for node in proto.graph.node if node.op_type == "LSTM"]
    assert list(one.input[1:]) == list(other.input[1:])
    assert {one.name, other.name} == {"lstm/LSTM", "lstm/LSTM_1"}


def test_convolution_inside_a_cell(keras, layers, parity, counts):
    model = keras.Sequential(
        [
            keras.Input((3, 6, 6, 2)),
            layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True),
            layers.Bidirectional(layers.ConvLSTM2D(2, 3)),
        ]
    )
    assert recurrent_nodes(counts, parity(model)) == {"Loop": 3}


@pytest.mark.parametrize("length", [5, None])
def test_custom_and_stacked_cells(keras, layers, parity, counts, length):
    class Cell(layers.Layer):
        state_size = output_size = 3

        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 3))
            self.recurrent = self.add_weight(shape=(3, 3))

        def call(self, inputs, states):
            state = keras.ops.sin(inputs @ self.kernel + states[0] @ self.recurrent)
            return state, [state]

    class Doubled(layers.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return 2 * super().call(sequences, initial_state, mask, training)

    x = keras.Input((length, 3))
    outputs = [
        layers.RNN(Cell(), return_sequences=True)(x),
        layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])(x),
        Doubled(3)(x),
    ]
    # the cells are loops; in the subclass tf2onnx finds Keras's own LSTM by itself
    assert recurrent_nodes(counts, parity(keras.Model(x, outputs))) == {"LSTM": 1, "Loop": 2}


# Masks ----------------------------------------------------------------------------------------

MASKS = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 1, 0, 0, 0],  # padded at the right
        [0, 0, 1, 1, 1, 1],  # at the left
        [1, 0, 1, 1, 0, 1],  # in between
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],  # nothing counts
    ],
    bool,
)


@each_cell
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_mask_of_any_pattern(keras, layers, parity, counts, cell, backwards, zero):
    make = getattr(layers, cell)
    x, mask = keras.Input((6, 3)), keras.Input((6,), dtype="bool")
    options = {"go_backwards": backwards, "zero_output_for_mask": zero, "return_state": True}
    outputs = [
        make(4, return_sequences=True, **options)(x, mask=mask),
        make(4, **options)(x, mask=mask),
    ]
    values = np.random.default_rng(3).standard_normal((6, 6, 3)).astype(np.float32)
    proto = parity(keras.Model([x, mask], outputs), values, MASKS)
    assert recurrent_nodes(counts, proto) == {CELLS[cell]: 2}


@each_cell
def test_mask_with_an_initial_state(keras, layers, parity, cell):
    make = getattr(layers, cell)
    x, mask = keras.Input((6, 3)), keras.Input((6,), dtype="bool")
    state = [layers.Dense(4)(x[:, 0]) for _ in range(2 if cell == "LSTM" else 1)]
    outputs = make(4, return_state=True)(x, initial_state=state, mask=mask)
    values = np.random.default_rng(3).standard_normal((6, 6, 3)).astype(np.float32)
    parity(keras.Model([x, mask], outputs), values, MASKS)


@each_cell
@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_masked_text_model(keras, layers, parity, counts, cell, merge):
    """The mask of an Embedding goes through all layers; its nodes are there once."""
    make = getattr(layers, cell)
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(ids)
    x = layers.Bidirectional(make(4, return_sequences=True), merge_mode=merge)(x)
    x = layers.Bidirectional(make(3))(layers.Dropout(0.2)(x))
    values = np.where(MASKS, np.arange(36).reshape(6, 6) % 8 + 1, 0).astype(np.int32)
    proto = parity(keras.Model(ids, layers.Dense(2)(x)), values)
    found = counts(proto)
    assert found[CELLS[cell]] == 2
    assert found["TopK"] == found["CumSum"] == found["Equal"] == 1
    assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_unrolled_backwards_mask_is_wrong_as_in_keras(keras, layers, parity, counts):
    """Keras 3.15 zeroes the masked outputs without turning the mask around."""
    x, mask = keras.Input((6, 3)), keras.Input((6,), dtype="bool")
    layer = layers.Bidirectional(layers.GRU(3, unroll=True, return_sequences=True))
    values = np.random.default_rng(3).standard_normal((6, 6, 3)).astype(np.float32)
    proto = parity(keras.Model([x, mask], layer(x, mask=mask)), values, MASKS)
    assert recurrent_nodes(counts, proto) == {"GRU": 1}  # forwards; backwards it is spelt out


def test_mask_of_a_loop(keras, layers, parity, counts):
    x, mask = keras.Input((6, 3)), keras.Input((6,), dtype="bool")
    y = layers.Bidirectional(layers.LSTM(3, activation="gelu", return_sequences=True))(x, mask=mask)
    values = np.random.default_rng(3).standard_normal((6, 6, 3)).astype(np.float32)
    proto = parity(keras.Model([x, mask], y), values, MASKS)
    assert recurrent_nodes(counts, proto) == {"Loop": 2}


def test_empty_batch(keras, layers):
    """Keras refuses this itself; the file need not."""
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(9, 4)])
    model.add(layers.Bidirectional(layers.LSTM(3)))
    proto = to_model_proto(model)
    ids = np.zeros((0, 5), np.int32)
    (got,) = InferenceSession(proto).run(None, {proto.graph.input[0].name: ids})
    assert got.shape == (0, 6)
