"""The whole command on a tiny subset, as a process of its own: train, export, run, record, report.

Every process imports TensorFlow, which is what makes these slow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import onnx
import pytest

from scratch_onnx.experiments.records import load_records
from scratch_onnx.interpreter import InferenceSession

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

COMMAND = [sys.executable, "-c", "from scratch_onnx.cli import main; main()", "experiments"]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def lines(stream: IO[str]) -> Iterator[str]:
    yield from iter(stream.readline, "")


def test_train_export_run_record_report(
    image_folder: Path, nusax_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    names = ("cnn/layers/2", "cnn/pooling/max", "rnn/units/64", "lstm/direction-masked/mixed")
    asked = ("run", *names, "--data", image_folder, "--data", nusax_folder, "--out", out)
    quick = ("--limit", 12, "--epochs", 1)
    done = call(*asked, *quick)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "epoch 1/1, accuracy" in done.stderr

    records = {record["variant"]["name"]: record for record in load_records(out / "records")}
    assert set(records) == set(names)
    for record in records.values():
        assert record["quick"]
        assert record["limit"] == 12
        comparison = record["comparison"]
        assert comparison["equal_scores"]
        assert comparison["classes_that_differ"] == 0
        assert comparison["max_absolute_difference"] <= 1e-5
        check_files(out, record)
    models = [record["model"]["id"] for record in records.values()]
    assert len(set(models)) == 3, "two of the four are one model"
    assert done.stderr.count("1 epochs of") == 3

    again = call(*asked, *quick)
    assert again.returncode == 0
    assert again.stderr.count("finished before") == 3
    assert "epochs of" not in again.stderr

    report = call("report", "--out", out)
    assert report.returncode == 0, report.stderr
    assert report.stdout.split() == [str(out / "report.md"), str(out / "report.html")]
    assert "Quick pass (12 samples of each split, 1 epochs)" in (out / "report.md").read_text()


def check_files(out: Path, record: dict[str, dict[str, dict[str, str]]]) -> None:
    """The files are there, the kept predictions are those of the kept ONNX file."""
    paths = {name: out / file["path"] for name, file in record["files"].items()}
    assert set(paths) == {"model.keras", "model.onnx", "predictions.npz"}
    metadata = {p.key: p.value for p in onnx.load(paths["model.onnx"]).metadata_props}
    assert "class_names" in metadata
    texts = not record["variant"]["name"].startswith("cnn")
    if texts:
        vocabulary = paths["model.onnx"].parent / metadata["text_vocabulary"]
        assert vocabulary.read_text(encoding="utf-8").split("\n")[:2] == ["", "[UNK]"]
    with np.load(paths["predictions.npz"]) as kept:
        classes = 3 if texts else 10
        assert kept["keras"].shape == kept["interpreter"].shape == (12, classes)
        assert kept["labels"].shape == (12,)
        np.testing.assert_allclose(kept["keras"].sum(axis=1), 1, rtol=1e-5)
    assert InferenceSession(str(paths["model.onnx"])).get_inputs()[0].type in (
        "tensor(float)",
        "tensor(int64)",
    )


def test_killed_while_training(nusax_folder: Path, tmp_path: Path) -> None:
    """SIGKILL in the second variant: the first stays, and the same command finishes the rest."""
    out = tmp_path / "out"
    names = ("lstm/units/32", "lstm/units/64")
    asked = ("run", *names, "--data", nusax_folder, "--out", out, "--limit", 6, "--epochs", 30)
    command = [*COMMAND, *map(str, asked)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in lines(process.stderr):
            if "lstm/units/64 seed 42: epoch 2/30" in line:
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    (record,) = load_records(out / "records")
    assert record["variant"]["name"] == "lstm/units/32"
    written = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}

    time.sleep(0.01)
    done = call(*asked)
    assert done.returncode == 0, done.stderr
    assert "lstm/units/32 seed 42: finished before" in done.stderr
    assert len(load_records(out / "records")) == 2
    for path, when in written.items():
        if "32-32" in str(path) or "units/32" in str(path):
            assert path.stat().st_mtime_ns == when, f"{path} was touched"
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "cnn/layers/1", "--data", "."), "no CIFAR-10 in ."),
        (("run", "rnn/units/64", "--data", "."), "no NusaX data in ."),
        (("run", "gru"), "there is no experiment 'gru'"),
        (("report",), "there are no records in"),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
