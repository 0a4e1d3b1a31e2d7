"""The runner: what is trained, what is kept, and what an interruption loses.

Training and measuring are replaced by stand-ins that count and can be interrupted;
``test_end_to_end.py`` runs the real ones.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scratch_onnx.experiments import runner
from scratch_onnx.experiments.catalogue import FAMILIES
from scratch_onnx.experiments.datasets import Texts
from scratch_onnx.experiments.errors import DataError, ExperimentError
from scratch_onnx.experiments.models import Prepared, Split
from scratch_onnx.experiments.progress import LineProgress
from scratch_onnx.experiments.records import load_records, read_json
from scratch_onnx.experiments.runner import Options
from scratch_onnx.experiments.training import Trained
from scratch_onnx.experiments.variants import select


class Killed(BaseException):
    """Stands for a signal: nothing in the runner may catch it."""


class Stage:
    """The stand-ins: they count what they are asked, and fail where told."""

    def __init__(self, make_record: Callable[..., dict[str, Any]]) -> None:
        self.trained: list[str] = []
        self.measured: list[str] = []
        self.fail_training: BaseException | None = None
        self.fail_measuring: BaseException | None = None
        self._record = make_record("rnn/layers/1", [[3, 1], [0, 2]])

    def prepare(self, *_: Any) -> Prepared:
        split = Split(np.array([[1, 0]]), np.array([0]))
        return Prepared(split, split, split, ("negative", "positive"), ("", "[UNK]"))

    def train(self, *arguments: Any) -> Trained:
        _, _, seed, title, _ = arguments
        self.trained.append(title)
        if self.fail_training:
            raise self.fail_training
        model = SimpleNamespace(save=lambda path: path.write_text(title))
        return Trained(model, {"loss": [float(seed)], "val_loss": [0.5]}, 1.5)

    def measure(self, *arguments: Any) -> dict[str, Any]:
        folder = arguments[2]
        self.measured.append((folder / "model.keras").read_text())
        if self.fail_measuring:
            raise self.fail_measuring
        names = "keras interpreter comparison files versions machine finished".split()
        return {"parameters": 7, **{name: self._record[name] for name in names}}


@pytest.fixture
def stage(make_record: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(make_record)
    texts = SimpleNamespace(source="csv files", digest="0" * 64)
    monkeypatch.setattr(runner.nusax, "load", lambda _: texts)
    for name in ("prepare", "train", "measure"):
        monkeypatch.setattr(runner, name, getattr(made, name))
    return made


def run(out: Path, *names: str, **options: Any) -> tuple[list[str], str]:
    log = io.StringIO()
    failures = runner.run(select(FAMILIES, names), Options(out, **options), LineProgress(log))
    return failures, log.getvalue()


def seeds_recorded(out: Path) -> list[tuple[str, int]]:
    return [(r["variant"]["name"], r["seed"]) for r in load_records(out / "records")]


@pytest.mark.usefixtures("stage")
def test_each_variant_leaves_its_record(tmp_path: Path) -> None:
    failures, log = run(tmp_path, "rnn/direction", seeds=(42, 43))
    assert failures == []
    assert seeds_recorded(tmp_path) == [
        ("rnn/direction/bidirectional", 42),
        ("rnn/direction/bidirectional", 43),
        ("rnn/direction/unidirectional", 42),
        ("rnn/direction/unidirectional", 43),
    ]
    record = read_json(tmp_path / "records/rnn/direction/bidirectional/seed-43.json")
    assert record["history"] == {"loss": [43.0], "val_loss": [0.5]}
    assert record["variant"]["reported"] == {"f1": 0.4732, "average": "macro"}
    assert record["model"]["config"]["bidirectional"] == [True, True]
    assert record["data"]["padding"] == 0.5
    assert (record["quick"], record["limit"]) == (False, None)
    assert "[4/4] rnn/direction/unidirectional seed 43" in log


def test_the_same_model_is_trained_once(stage: Stage, tmp_path: Path) -> None:
    same = ("rnn/layers/2", "rnn/units/128", "rnn/direction/unidirectional")
    run(tmp_path, *same)
    assert stage.trained == ["rnn/layers/2 seed 42"]
    records = load_records(tmp_path / "records")
    assert {record["variant"]["name"] for record in records} == set(same)
    assert len({json.dumps(record["keras"]) for record in records}) == 1
    assert [r["variant"]["reported"]["f1"] for r in records] == [0.4411, 0.3147, 0.5284]


def test_the_same_model_in_a_later_run_is_not_trained_again(stage: Stage, tmp_path: Path) -> None:
    run(tmp_path, "rnn/layers/2")
    run(tmp_path, "rnn/units/128")
    assert len(stage.trained) == len(stage.measured) == 1
    assert len(seeds_recorded(tmp_path)) == 2


def test_what_is_finished_is_skipped(stage: Stage, tmp_path: Path) -> None:
    run(tmp_path, "lstm/units")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")}
    _, log = run(tmp_path, "lstm/units")
    assert len(stage.trained) == 3
    assert log.count("finished before") == 3
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.json")} == before


def test_force_trains_again(stage: Stage, tmp_path: Path) -> None:
    run(tmp_path, "lstm/units/32")
    run(tmp_path, "lstm/units/32", force=True)
    assert len(stage.trained) == len(stage.measured) == 2


def test_killed_while_training(stage: Stage, tmp_path: Path) -> None:
    run(tmp_path, "lstm/layers/1")
    stage.fail_training = Killed()
    with pytest.raises(Killed):
        run(tmp_path, "lstm/layers")
    assert seeds_recorded(tmp_path) == [("lstm/layers/1", 42)], "what was finished stays"
    stage.fail_training = None
    run(tmp_path, "lstm/layers")
    assert stage.trained == [f"lstm/layers/{k} seed 42" for k in (1, 2, 2, 3)]
    assert len(seeds_recorded(tmp_path)) == 3


def test_killed_while_measuring_keeps_the_training(stage: Stage, tmp_path: Path) -> None:
    stage.fail_measuring = Killed()
    with pytest.raises(Killed):
        run(tmp_path, "lstm/layers/1")
    assert not (tmp_path / "records").exists()
    stage.fail_measuring = None
    run(tmp_path, "lstm/layers/1")
    assert len(stage.trained) == 1
    assert seeds_recorded(tmp_path) == [("lstm/layers/1", 42)]


@pytest.mark.parametrize("victim", ["history.json", "result.json", "seed-42.json"])
def test_killed_while_writing(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """The rename is the moment in which a file appears; killed before it, there is none."""
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if Path(target).name == victim:
            raise Killed
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            run(tmp_path, "lstm/layers/1")
    assert not list(tmp_path.rglob(victim))
    run(tmp_path, "lstm/layers/1")
    assert seeds_recorded(tmp_path) == [("lstm/layers/1", 42)]
    assert len(stage.trained) == (2 if victim == "history.json" else 1)
    assert len(stage.measured) == (2 if victim == "result.json" else 1)


@pytest.mark.parametrize("content", ["", '{"format": 1', '{"format": 1}'])
def test_a_damaged_record_is_made_again(stage: Stage, tmp_path: Path, content: str) -> None:
    run(tmp_path, "lstm/layers/1")
    path = tmp_path / "records/lstm/layers/1/seed-42.json"
    path.write_text(content)
    run(tmp_path, "lstm/layers/1")
    assert seeds_recorded(tmp_path) == [("lstm/layers/1", 42)]
    assert len(stage.trained) == 1


def test_one_failure_does_not_stop_the_others(stage: Stage, tmp_path: Path) -> None:
    stage.fail_measuring = ExperimentError("the export refuses it")
    failures, log = run(tmp_path, "lstm/layers")
    assert [f.split(":")[0] for f in failures] == [f"lstm/layers/{k} seed 42" for k in (1, 2, 3)]
    assert "lstm/layers/1 seed 42 failed: the export refuses it" in log
    stage.fail_measuring = None
    assert run(tmp_path, "lstm/layers")[0] == []
    assert len(stage.trained) == 3


def test_bad_data_stops_the_run(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Any) -> Texts:
        raise DataError("no data")

    monkeypatch.setattr(runner.nusax, "load", load)
    with pytest.raises(DataError, match="no data"):
        run(tmp_path, "lstm/layers")
    assert stage.trained == []


@pytest.mark.usefixtures("stage")
def test_a_diverged_training_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diverged = Trained(None, {"loss": [1.0, float("nan")], "val_loss": [1.0, 2.0]}, 1.0)
    monkeypatch.setattr(runner, "train", lambda *_: diverged)
    failures, _ = run(tmp_path, "lstm/layers/1")
    assert "the training diverged: loss by epoch" in failures[0]
    assert not (tmp_path / "records").exists()


def test_quick_passes_never_stand_for_the_real_thing(stage: Stage, tmp_path: Path) -> None:
    run(tmp_path, "lstm/layers/1", limit=8)
    run(tmp_path, "lstm/layers/1", epochs=1)
    run(tmp_path, "lstm/layers/1", limit=8, epochs=1)
    records = load_records(tmp_path / "records")
    assert [(r["quick"], r["limit"]) for r in records] == [(True, None), (True, 8), (True, 8)]
    epochs = [r["model"]["config"]["training"]["epochs"] for r in records]
    assert sorted(epochs) == [1, 1, 10]
    assert len({r["model"]["id"] for r in records}) == 2
    run(tmp_path, "lstm/layers/1")
    assert len(stage.trained) == 4
    assert sum(not r["quick"] for r in load_records(tmp_path / "records")) == 1


def test_the_epochs_that_are_specified_anyway_are_no_quick_pass(
    stage: Stage, tmp_path: Path
) -> None:
    run(tmp_path, "lstm/layers/1", epochs=10)
    run(tmp_path, "lstm/layers/1")
    assert len(stage.trained) == 1
    assert [r["quick"] for r in load_records(tmp_path / "records")] == [False]
