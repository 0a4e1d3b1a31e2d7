"""Models from files, and one sentence for each file that is none."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_onnx.export import ExportError, framework, from_keras, load_keras
from scratch_onnx.interpreter import InferenceSession

pytestmark = pytest.mark.tensorflow

BUILDER = """
import keras

def build():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)]
    )

def build_other():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(7)])

def number():
    return 3
"""


@pytest.fixture(scope="module")
def folder(keras, tmp_path_factory):
    """One model in every form that Keras writes."""
    folder = tmp_path_factory.mktemp("models")
    module = folder / "networks_of_the_loading_test.py"
    module.write_text(BUILDER)
    scope: dict = {}
    exec(BUILDER, scope)
    model = scope["build"]()
    with framework.quiet():
        for name in ("model.keras", "model.h5"):
            model.save(folder / name)
        model.save_weights(folder / "model.weights.h5")
        model.export(folder / "saved", verbose=False)
    inputs = {"left": keras.Input((3,), name="left"), "right": keras.Input((3,), name="right")}
    outputs = {"sum": inputs["left"] + inputs["right"], "twice": 2 * inputs["left"]}
    with framework.quiet():
        keras.Model(inputs, outputs).export(folder / "several", verbose=False)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    np.savez(folder / "io.npz", x=x, y=framework.predict(model, x)[0])
    return folder


def run(path, x):
    session = InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "saved"])
def test_file(folder, tmp_path, name):
    with np.load(folder / "io.npz") as io:
        x, y = io["x"], io["y"]
    report = from_keras(folder / name, tmp_path / "m.onnx")
    assert report.nodes <= 5
    np.testing.assert_allclose(run(tmp_path / "m.onnx", x), y, atol=1e-6)


def test_content_and_not_the_name_says_what_a_file_is(folder, tmp_path):
    for name in ("model.keras", "model.h5"):
        copy = tmp_path / f"{name}.copy"
        copy.write_bytes((folder / name).read_bytes())
        assert load_keras(copy).count_params() == 23


def test_saved_model_of_several_inputs_and_outputs(folder, tmp_path):
    report = from_keras(folder / "several", tmp_path / "m.onnx")
    assert set(report.inputs) == {"left", "right"}
    assert len(report.outputs) == 2


def test_builder_with_weights(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    builder = "networks_of_the_loading_test:build"
    from_keras(None, tmp_path / "m.onnx", builder=builder, weights=folder / "model.weights.h5")
    with np.load(folder / "io.npz") as io:
        np.testing.assert_allclose(run(tmp_path / "m.onnx", io["x"]), io["y"], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"builder": "nothing"}, "written package.module:function, and not 'nothing'"),
        ({"builder": "no_such_module:f"}, "the builder's module 'no_such_module': No module"),
        ({"builder": "networks_of_the_loading_test:f"}, "has no 'f'"),
        ({"builder": "networks_of_the_loading_test:number"}, "gave a int, no Keras model"),
        (
            {"builder": "networks_of_the_loading_test:build", "weights": "missing.weights.h5"},
            "there is no file 'missing.weights.h5'",
        ),
        (
            {
                "builder": "networks_of_the_loading_test:build_other",
                "weights": "model.weights.h5",
            },
            "do not fit the model of",
        ),
        ({"weights": "model.weights.h5"}, "give the builder of their architecture"),
        ({"path": "model.keras", "weights": "model.weights.h5"}, "a model file has its own"),
        ({"path": "model.keras", "builder": "a:b"}, "a model file or a builder, and not both"),
    ],
)
def test_builder_errors(folder, monkeypatch, arguments, text):
    monkeypatch.chdir(folder)
    with pytest.raises(ExportError, match=text) as error:
        load_keras(**arguments)
    assert "\n" not in str(error.value)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        (None, None, "there is no file"),
        ("model.keras", cut, "is truncated or damaged"),
        ("model.h5", cut, "is truncated or damaged"),
        ("model.keras", lambda _: b"hello, world", "is not a Keras model"),
        ("model.keras", lambda _: b"", "is not a Keras model"),
        ("model.weights.h5", lambda data: data, "holds weights alone: give the architecture"),
    ],
)
def test_file_that_is_no_model(folder, tmp_path, name, change, text):
    path = tmp_path / "bad.keras"
    if name is not None:
        path.write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(ExportError, match=text) as error:
        load_keras(path)
    assert "\n" not in str(error.value)


def test_archive_and_folder_that_are_no_models(tmp_path):
    np.savez(tmp_path / "arrays.npz", x=np.zeros(3))
    with pytest.raises(ExportError, match="is a zip archive, and no Keras model"):
        load_keras(tmp_path / "arrays.npz")
    with pytest.raises(ExportError, match=r"is no SavedModel: no saved_model\.pb in it"):
        load_keras(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(ExportError, match=r"SavedModel .* cannot be loaded"):
        load_keras(tmp_path)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_custom_object_that_is_not_known(keras, layers, tmp_path, suffix):
    class Strange(layers.Dense):
        pass

    path = tmp_path / f"m.{suffix}"
    with framework.quiet():
        keras.Sequential([keras.Input((3,)), Strange(2)]).save(path)
    with pytest.raises(ExportError, match=r"has a custom object .*Strange") as error:
        load_keras(path)
    assert "\n" not in str(error.value)


def test_lambda_layer_in_a_file_is_not_run(keras, layers, tmp_path):
    """A .keras file may hold Python code; Keras's safe mode stays on."""
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x + 1)]).save(path)
    with pytest.raises(ExportError, match="has a Lambda layer, which is code in a file") as error:
        load_keras(path)
    assert "\n" not in str(error.value)
