"""``scratch-onnx export``, through click's runner."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from scratch_onnx.commands import cli

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def saved(keras, layers, tmp_path):
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")]).save(path)
    return path


def invoke(*arguments):
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def test_export(saved, tmp_path):
    names, sample, target = tmp_path / "names.txt", tmp_path / "x.npy", tmp_path / "m.onnx"
    names.write_text("satu\ndua\ntiga\n")
    np.save(sample, np.ones((2, 4), np.float32))
    result = invoke(saved, "-o", target, "--class-names", names, "--sample", sample, "--opset", 17)
    assert result.exit_code == 0, result.output
    assert "opset 17" in result.output
    assert "largest difference from Keras" in result.output
    found = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert json.loads(found["class_names"]) == ["satu", "dua", "tiga"]


def test_no_check(saved, tmp_path):
    result = invoke(saved, "-o", tmp_path / "m.onnx", "--no-check")
    assert "not compared with Keras" in result.output


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--opset", "99"], "opset 99 cannot be written"),
        (["--sample", "missing.npy"], "there is no file 'missing.npy'"),
        (["--class-names", "missing.txt"], "cannot read 'missing.txt'"),
        (["--weights", "a.weights.h5"], "a model file has its own"),
        (["--sequence-length", "3"], "text= describes a vocabulary, and none is given"),
    ],
)
def test_bad_input_is_one_line(saved, tmp_path, more, text):
    target = tmp_path / "m.onnx"
    result = invoke(saved, "-o", target, *more)
    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not target.exists()


def test_sample_is_never_unpickled(saved, tmp_path):
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    result = invoke(saved, "-o", tmp_path / "m.onnx", "--sample", tmp_path / "x.npy")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_as_a_process_nothing_but_the_report_is_printed(saved, tmp_path):
    """TensorFlow logs a good deal to standard error, unless it is told before it is imported."""
    code = "from scratch_onnx.cli import main; main()"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    result = subprocess.run(
        [sys.executable, "-c", code, "export", str(saved), "-o", str(tmp_path / "m.onnx")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.count("\n") == 1


def test_the_package_loads_no_framework():
    code = "import scratch_onnx.export, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tensorflow", "keras", "tf2onnx"}.isdisjoint(run.stdout.split())


def test_wrong_usage():
    assert invoke("-o", "m.onnx").exit_code == 2
    assert invoke("model.keras").exit_code == 2
    assert "scratch-onnx export model.keras -o model.onnx" in invoke("--help").output
