"""Tables on terminals of any width."""

from __future__ import annotations

import re

import pytest

import scratch_onnx.output
from scratch_onnx.output import table

HEADER = ("row", "class", "score")
ROWS = [(0, "a long name of a class", "0.123456789"), (1, "b", "-1.5e-12")]


@pytest.mark.parametrize("width", [1, 10, 20, 30, 40, 80])
def test_no_number_is_cut(monkeypatch, capsys, width):
    """A terminal too narrow for a number must not show another number."""
    monkeypatch.setattr(scratch_onnx.output, "on_terminal", lambda *_: True)
    monkeypatch.setenv("COLUMNS", str(width))
    table(HEADER, ROWS, title="scores", numeric=("row", "score"))
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "scores" in re.sub(r"\s", "", printed)
    for _, _, score in ROWS:
        assert score in printed
