"""The documents' tables are what the saved results say."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bars, growth, report, results, tables

MACHINE = {"processor": "P", "cores": 2, "python": "3", "numpy": "2", "onnxruntime": "1"}


def row(side: str, median: float, ratio: float | None, **changes: Any) -> dict[str, Any]:
    return {
        "model": "cnn", "side": side, "batch": 1, "threads": 2, "median": median,
        "fastest": median, "peak": 2**20, "ratio": ratio, "date": "2026-01-02", **changes,
    }  # fmt: skip


def cells(table: str) -> list[list[str]]:
    """The lines of a table below its rule."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("document", report.DOCUMENTS, ids=lambda path: path.name)
def test_the_documents_show_the_saved_results(document: Path) -> None:
    """If this fails: python -m benchmarks.report"""
    text = document.read_text(encoding="utf-8")
    assert report.render(text) == text


def test_every_table_is_in_a_document() -> None:
    texts = [path.read_text(encoding="utf-8") for path in report.DOCUMENTS]
    shown = [match[2] for text in texts for match in report.MARKED.finditer(text)]
    assert sorted(shown) == sorted(report.BLOCKS)
    opened = sum(len(re.findall("<!-- benchmarks: ", text)) for text in texts)
    assert opened == len(shown) == sum(text.count("<!-- end -->") for text in texts)


def test_what_was_not_measured_names_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    text = "a\n<!-- benchmarks: variants -->\n| old |\n<!-- end -->\nb\n"
    assert report.render(text) == (
        "a\n<!-- benchmarks: variants -->\n"
        "Not measured yet: `python -m benchmarks.all variants` does it.\n<!-- end -->\nb\n"
    )


def test_a_block_tells_the_days_and_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    rows = [row("ours", 0.001, None), row("ours", 0.001, None, batch=32, date="2026-01-05")]
    (tmp_path / "int8.json").write_text(json.dumps({"machine": MACHINE, "rows": rows}))
    assert report.block("int8").endswith(
        "\n\n`python -m benchmarks.all int8`, 2026-01-02 to 2026-01-05: P, 2 cores, Python 3, "
        "NumPy 2, onnxruntime 1.\n"
    )


@pytest.mark.parametrize(
    ("one", "two", "verdict"),
    [(2.0, 1.0, "yes"), (2.01, 1.0, "no"), (1.0, None, "–"), (None, 2.5, "no")],
)
def test_a_bar_is_met_where_both_ratios_are_within_it(
    one: float | None, two: float | None, verdict: str
) -> None:
    assert bars.TIME["cnn", "ours", 1] == 2.0
    rows = []
    for threads, over in ((1, one), (2, two)):
        if over is not None:
            rows.append(row("ours", 0.001 * over, over, threads=threads))
            rows.append(row("onnxruntime", 0.001, 1.0, threads=threads))
    ((*_, bar, met),) = cells(tables.times(rows))
    assert (bar, met) == ("2", verdict)


def test_times_are_milliseconds_of_three_digits() -> None:
    rows = [row("ours", 0.000_123_4, 0.123_4), row("onnxruntime", 1.2344, 1.0)]
    (line,) = cells(tables.times(rows))
    assert line == ["cnn", "1", "–", "–", "–", "0.123", "1,234", "0.12", "2", "–"]


def test_memory_is_over_onnxruntimes_of_the_same_threads() -> None:
    rows = [
        row(side, 1.0, 1.0, threads=threads, peak=peak * 2**20)
        for threads, side, peak in (
            (1, "ours", 30), (1, "onnxruntime", 20), (2, "ours", 31), (2, "onnxruntime", 20),
        )
    ]  # fmt: skip
    (line,) = cells(tables.memory(rows))
    assert line == ["cnn", "1", "30", "20", "1.50", "31", "20", "1.55", "1.5", "no"]


def test_the_mean_is_geometric_and_of_the_models_with_a_bar() -> None:
    rows = [
        row("ours", 1.0, 0.5),
        row("ours", 1.0, 8.0, batch=32),
        row("ours-fast", 1.0, 100.0),
        row("ours", 1.0, 100.0, model="gru-bidirectional"),
    ]
    assert tables.mean(rows) == (pytest.approx(2.0), 2)
    assert "the 2 of 48 ratios" in tables.mission(rows)
    assert "2.00 (bar 0.85: not all measured yet)" in tables.mission(rows)
    every = [
        row("ours", 1.0, 0.5, model=model, batch=batch, threads=threads)
        for model in bars.MISSION
        for batch in (1, 32, 256)
        for threads in (1, 2)
    ]
    assert "all 48 ratios" in tables.mission(every)
    assert "0.50 (bar 0.85: met)" in tables.mission(every)


def test_peers_are_told_as_multiples_of_ours() -> None:
    rows = [row("ours", 0.002, 1.0, batch=32), row("keras-call", 0.006, 3.0, batch=32)]
    slow, quick = (row("reference", seconds, 1.0, batch=32) for seconds in (0.3, 0.1))
    (line,) = cells(tables.peers([*rows, slow]))
    assert line == ["cnn", "2", "32", "2.00", "6.00", "3.00", "300", "150", "yes"]
    (line,) = cells(tables.peers([*rows, quick]))
    assert line[-1] == "no"


def test_the_exponent_is_the_slope_of_the_largest_sizes() -> None:
    rows = [{"size": size, "time": 3.0 * size**1.5} for size in (64, 16, 1024, 256)]
    rows += [{"size": 1, "time": 1e9}]
    assert math.isclose(growth.exponent(rows), 1.5)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import figure

    figure.draw(tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    for words in ("CNN by batch", "LSTM by sequence length", "4,096", "2,048", "proportional"):
        assert words in text
