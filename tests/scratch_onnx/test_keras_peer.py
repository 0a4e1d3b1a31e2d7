"""``compare --against keras:FILE``: layers matched to nodes, in either layout."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from small_models import saved, saved_array

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A convolutional and a recurrent Keras model, exported, with inputs."""
    keras = pytest.importorskip("keras")
    from scratch_onnx.export import from_keras

    folder = tmp_path_factory.mktemp("keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    cnn = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_a"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(4, 3, name="conv_b"),
            layers.Flatten(name="flat"),
            layers.Dense(5, activation="softmax", name="head"),
        ]
    )
    rnn = keras.Sequential(
        [
            keras.Input((6,), dtype="int32", name="ids"),
            layers.Embedding(20, 4, name="embedding"),
            layers.Bidirectional(layers.LSTM(5, return_sequences=True), name="both"),
            layers.GRU(3, name="gru"),
            layers.Dense(2, name="head"),
        ]
    )
    rng = np.random.default_rng(0)
    samples = {
        "cnn": (cnn, rng.random((2, 8, 8, 3), np.float32)),
        "rnn": (rnn, rng.integers(0, 20, (3, 6)).astype(np.int32)),
    }
    for name, (model, sample) in samples.items():
        model.save(folder / f"{name}.keras")
        from_keras(model, folder / f"{name}.onnx")
        saved_array(folder, sample, f"{name}.npy")
    return folder


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("cnn", ["conv_a", "pool", "conv_b", "flat", "head"]),
        ("rnn", ["embedding", "both", "gru", "head"]),
    ],
)
def test_every_layer_is_matched_and_the_same(call, exported, name, layers):
    result = call(
        "compare", exported / f"{name}.onnx", exported / f"{name}.npy",
        "--against", f"keras:{exported / name}.keras", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    nodes = json.loads(result.stdout)["nodes"]
    matched = [node["name"].rpartition("/")[0] for node in nodes if node["cumulative"]]
    assert matched == layers


@pytest.mark.parametrize(
    ("name", "weight", "layer"),
    [("cnn", "conv_b/Conv.W", "conv_b"), ("cnn", "conv_a/Conv.B", "conv_a"), ("rnn", "gru", "gru")],
)
@pytest.mark.parametrize("extra", [[], ["--bisect"]])
def test_an_altered_weight_is_found(call, exported, tmp_path, name, weight, layer, extra):
    proto = onnx.load(exported / f"{name}.onnx")
    tensor = next(
        t
        for t in proto.graph.initializer
        if t.name.startswith(weight) and t.data_type == onnx.TensorProto.FLOAT
    )
    array = numpy_helper.to_array(tensor).copy()
    array[0] += 0.3
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    altered = saved(tmp_path, proto)
    result = call(
        "compare", altered, exported / f"{name}.npy",
        "--against", f"keras:{exported / name}.keras",
        "--repro", tmp_path / "repro", "--json", *extra,
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    document = json.loads(result.stdout)
    for mode in ("first_cumulative", "first_isolated"):
        assert document[mode].startswith(f"{layer}/")


def test_a_keras_model_of_other_layers(fails, exported):
    line = fails(
        "compare", exported / "cnn.onnx", exported / "cnn.npy",
        "--against", f"keras:{exported / 'no.keras'}",
    )  # fmt: skip
    assert "no.keras" in line
