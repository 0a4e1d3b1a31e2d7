"""The commands' options, names and errors, without training anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scratch_onnx.experiments import command, runner
from scratch_onnx.experiments.command import experiments
from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.records import record_path, write_json


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(experiments, [str(argument) for argument in arguments])


def test_list_shows_every_variant(tmp_path: Path, make_record: Any) -> None:
    for seed in (42, 43):
        record = make_record("lstm/layers/3", [[9, 1], [1, 9]], seed=seed)
        write_json(record_path(tmp_path, "lstm/layers/3", seed), record)
    lines = invoke("list", "--out", tmp_path).output.splitlines()
    assert len(lines) == 46  # a header, 28 of the report and 17 improved
    assert lines[0].split() == ["name", "model", "reported", "F1", "records"]
    row = next(line for line in lines if line.startswith("lstm/layers/3 "))
    assert row.split("  ")[-1].strip() == "42, 43"
    assert "LSTM 64-32-16, length 72, 10 epochs" in row
    assert "0.5756 weighted" in row


def test_list_of_a_family_and_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[variant]]\nname = "cnn/mine/a"\nlike = "cnn/layers/1"\nkernels = [5]\n')
    lines = invoke("list", "cnn/mine", "--config", own).output.splitlines()
    assert lines[1].startswith("cnn/mine/a  CNN filters 32 kernels 5 max pooling")
    assert len(lines) == 2


def test_the_options_of_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(runner, "run", lambda *arguments: seen.append(arguments) or [])
    arguments = "run cnn/layers rnn/units/64 --seed 7 --seeds 3 --epochs 2 --limit 9 --force"
    result = invoke(*arguments.split(), "--data", tmp_path, "--data", ".", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    variants, options, _ = seen[0]
    assert [v.name for v in variants] == [*(f"cnn/layers/{k}" for k in "123"), "rnn/units/64"]
    assert options == runner.Options(
        tmp_path, (tmp_path, Path()), (7, 8, 9), epochs=2, limit=9, force=True
    )


def test_failures_end_in_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "run", lambda *_: ["cnn/layers/1 seed 42: no"])
    result = invoke("run", "cnn/layers/1", "--out", tmp_path)
    assert isinstance(result.exception, ExperimentError)
    assert str(result.exception) == "1 failed; cnn/layers/1 seed 42: no"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "cnn", "--limit", "0"),
        ("run", "cnn", "--epochs", "0"),
        ("run", "cnn", "--seeds", "0"),
        ("run", "cnn", "--seed", "-1"),
        ("run", "cnn", "--data", "/no/such/place"),
        ("run", "cnn", "--config", "/no/such/file"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_an_unknown_name_is_an_error_before_anything_is_loaded(tmp_path: Path) -> None:
    result = invoke("run", "cnn/layer", "--out", tmp_path)
    assert isinstance(result.exception, ExperimentError)
    assert "there is no experiment 'cnn/layer'" in str(result.exception)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "sklearn" else name)
    result = invoke("run", "cnn", "--out", tmp_path)
    assert isinstance(result.exception, ExperimentError)
    assert "needs sklearn: pip install 'scratch-onnx[experiments]'" in str(result.exception)


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from scratch_onnx.experiments.command import experiments\n"
        "experiments(['list', 'cnn/layers'], standalone_mode=False)\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'PIL', 'tf2onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
