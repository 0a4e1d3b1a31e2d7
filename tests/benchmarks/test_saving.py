"""Results are saved case by case; nothing is timed here."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as compare
from benchmarks import all as every
from benchmarks import report, results

MACHINE = {"processor": "P"}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(results, "machine", lambda: MACHINE)
    monkeypatch.setattr(compare, "make", lambda name: Path(name))


def table(rows: Any) -> str:
    return f"{len(rows)} rows"


def saved(name: str = "x") -> list[tuple[Any, ...]]:
    record = results.read(name)
    assert record is not None
    return [(row["model"], row["side"], row["time"]) for row in record["rows"]]


def save(*rows: tuple[str, str, int]) -> None:
    fields = ("model", "side", "time")
    results.save("x", [dict(zip(fields, row, strict=True)) for row in rows], ("model",), table)


def test_a_case_is_replaced_as_a_whole_and_the_others_stay() -> None:
    save(("a", "ours", 1), ("a", "theirs", 2), ("b", "ours", 3))
    save(("a", "ours", 4), ("c", "ours", 5))
    assert saved() == [("a", "ours", 4), ("b", "ours", 3), ("c", "ours", 5)]
    assert (results.FOLDER / "x.md").read_text() == "3 rows\n"


def test_rows_of_another_machine_are_not_mixed_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(("a", "ours", 1))
    monkeypatch.setattr(results, "machine", lambda: {"processor": "Q"})
    save(("b", "ours", 2))
    assert saved() == [("b", "ours", 2)]
    assert "another machine" in capsys.readouterr().err


def measured(calls: list[tuple[Any, ...]], broken: str = "") -> Any:
    def measure(
        name: str, threads: int, batch: int, sides: list[str], rounds: int
    ) -> list[compare.Row]:
        del rounds
        calls.append((name, threads, batch))
        if name == broken:
            raise RuntimeError("the side ended")
        return [compare.Row(name, threads, batch, side, 1.0, 1.0, 1, 1.0) for side in sides]

    return measure


def run(*words: str) -> Any:
    arguments = [*words, "--side", "ours", "--batch", "1", "--save", "x"]
    return CliRunner().invoke(compare.main, arguments)


def test_a_case_that_fails_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(compare, "measure", measured(calls, broken="lstm"))
    done = run("cnn", "lstm", "gru")
    assert done.exit_code == 1
    assert "not every side ran: lstm at batch 1 with 2 threads" in done.output
    record = results.read("x")
    assert record is not None
    assert [row["model"] for row in record["rows"]] == ["cnn", "gru"]


def test_resume_leaves_out_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(compare, "measure", measured(calls))
    assert run("cnn").exit_code == 0
    assert run("cnn", "gru", "--threads", "1", "--threads", "2", "--resume").exit_code == 0
    assert calls == [("cnn", 2, 1), ("cnn", 1, 1), ("gru", 1, 1), ("gru", 2, 1)]


def test_every_table_has_a_suite_and_every_suite_a_table() -> None:
    assert {file for file, _ in report.BLOCKS.values()} == set(every.SUITES)


@pytest.mark.parametrize("resume", [False, True])
def test_the_suites_are_commands_that_there_are(resume: bool) -> None:
    for _, module, *arguments in every.plan(tuple(every.SUITES), resume):
        command = import_module("benchmarks.__main__" if module == "benchmarks" else module).main
        assert isinstance(command, click.Command)
        context = command.make_context(module, list(arguments))
        if module == "benchmarks":
            assert set(context.params["names"]) <= compare.CASES.keys()


def test_a_suite_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Done:
        def __init__(self, command: list[str]) -> None:
            assert command[0] == sys.executable
            started.append(command[2])
            self.returncode = int(command[2] == "benchmarks.startup")

    monkeypatch.setattr(every.subprocess, "run", Done)
    done = CliRunner().invoke(every.main, ["startup", "growth"])
    assert started == ["benchmarks.startup", "benchmarks.growth", "benchmarks.report"]
    assert done.exit_code == 1
    assert "failed: -m benchmarks.startup --save" in done.output
