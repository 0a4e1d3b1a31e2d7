"""What is written is compared with Keras, described in its metadata, and whole or not there."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from scratch_onnx.export import ExportError, ExportReport, check, from_keras, to_model_proto

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def model(keras, layers):
    return keras.Sequential(
        [
            keras.Input((6, 6, 2), name="image"),
            layers.Conv2D(3, 3, activation="relu", name="first"),
            layers.Flatten(),
            layers.Dense(4, name="second"),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )


@pytest.fixture
def broken_sum(monkeypatch):
    """An interpreter whose MatMul is off, from the layer ``second`` on."""
    run = check.run_onnx

    def wrong(proto, feeds):
        broken = onnx.ModelProto()
        broken.CopyFrom(proto)
        for value in broken.graph.initializer:
            if value.name.startswith("second/MatMul"):
                array = onnx.numpy_helper.to_array(value) + np.float32(0.25)
                value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))
        return run(broken, feeds)

    monkeypatch.setattr(check, "run_onnx", wrong)


def test_report(model, tmp_path):
    path = tmp_path / "model.onnx"
    report = from_keras(model, path)
    assert isinstance(report, ExportReport)
    assert report.path == path
    assert report.opset == 18
    assert (report.inputs, report.outputs) == (("image",), ("scores",))
    assert report.nodes == len(onnx.load(path).graph.node)
    assert report.max_abs_diff is not None
    assert 0 <= report.max_abs_diff < 1e-6
    assert f"largest difference from Keras {report.max_abs_diff:.3g}" in str(report)
    unchecked = from_keras(model, path, check=False)
    assert unchecked.max_abs_diff is None
    assert "not compared with Keras" in str(unchecked)


@pytest.mark.usefixtures("broken_sum")
def test_a_difference_names_the_first_layer_and_leaves_no_file(model, tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match=r"output 'scores' is off by up to .* 'second'; no file"):
        from_keras(model, path)
    assert list(tmp_path.iterdir()) == []
    from_keras(model, path, atol=1.0)
    assert path.exists()


@pytest.mark.usefixtures("broken_sum")
def test_an_older_file_survives_a_failed_export(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")
    with pytest.raises(ExportError, match="differs from Keras"):
        from_keras(model, path)
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.usefixtures("broken_sum")
def test_the_first_layer_is_found_inside_a_nested_model(keras, layers, tmp_path):
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3), layers.ReLU()], name="inner")
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(2, name="second")(inner(layers.Dense(3)(x))))
    with pytest.raises(ExportError, match="first layer that differs is 'second'"):
        from_keras(model, tmp_path / "m.onnx")


def test_tolerance_is_relative_to_the_largest_value():
    tolerance = check.Tolerance(rtol=1e-3, atol=0.0)
    want = np.array([100.0, 0.0], np.float32)
    assert tolerance.allows(np.array([100.0, 0.09], np.float32), want)
    assert not tolerance.allows(np.array([100.0, 0.11], np.float32), want)
    assert not tolerance.allows(want[:1], want)
    nan = np.array([np.nan, 1.0], np.float32)
    assert tolerance.allows(nan, nan)
    assert not tolerance.allows(nan, np.array([0.0, 1.0], np.float32))
    assert not tolerance.allows(np.array([1]), np.array([2]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_given_sample_is_used(model, tmp_path, dtype):
    sample = np.ones((2, 6, 6, 2), dtype)
    from_keras(model, tmp_path / "a.onnx", sample=sample)
    from_keras(model, tmp_path / "b.onnx", sample={"image": sample})


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (np.zeros((2, 5, 6, 2)), r"sample for 'image' has shape \(2, 5, 6, 2\), and the model"),
        ({"picture": np.zeros((2, 6, 6, 2))}, r"sample has \['picture'\], and the model takes"),
        (np.full((1, 6, 6, 2), "a"), "numbers expected"),
    ],
)
def test_sample_that_does_not_fit(model, tmp_path, sample, text):
    with pytest.raises(ExportError, match=text):
        from_keras(model, tmp_path / "m.onnx", sample=sample)


def test_metadata(model, tmp_path):
    import keras
    import tensorflow
    import tf2onnx

    path = tmp_path / "m.onnx"
    names = ["kucing", "anjing", "burung ☺"]
    from_keras(model, path, class_names=names, metadata={"source": "a test"})
    proto = onnx.load(path)
    found = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(found.pop("class_names")) == names
    assert found == {
        "keras_version": keras.__version__,
        "tensorflow_version": tensorflow.__version__,
        "tf2onnx_version": tf2onnx.__version__,
        "source": "a test",
    }
    assert proto.producer_name == "scratch-onnx"
    assert proto.producer_version


def test_refused_arguments(model, tmp_path):
    with pytest.raises(ExportError, match="2 class names are given, and the model has 3 classes"):
        from_keras(model, tmp_path / "m.onnx", class_names=["a", "b"])
    with pytest.raises(ExportError, match="opset 99 cannot be written"):
        to_model_proto(model, opset=99)
    with pytest.raises(ExportError, match="there is no folder"):
        from_keras(model, tmp_path / "no" / "m.onnx")
    with pytest.raises(ExportError, match="a Keras model or its path is needed, and not int"):
        from_keras(3, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match="cannot write"):
        from_keras(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_input_of_text_is_refused(keras, layers, tmp_path):
    model = keras.Sequential(
        [keras.Input((), dtype="string"), layers.TextVectorization(vocabulary=["a", "b"])]
    )
    with pytest.raises(ExportError, match="is text, and a file takes token ids"):
        from_keras(model, tmp_path / "m.onnx")
