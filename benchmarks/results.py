"""The files of results: rows, each with its day, and the machine that they were measured on."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

FOLDER = Path(__file__).parent / "results"

Record = dict[str, Any]
"""``{"machine": {...}, "rows": [...]}``, as a file of results has it."""


def machine() -> dict[str, Any]:
    """What is measured on."""
    import onnxruntime

    info = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def read(name: str) -> Record | None:
    """The record of that name, or None where nothing was measured."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def kept(name: str) -> list[Record]:
    """The rows saved under that name, where this machine is the one that measured them."""
    record = read(name)
    return record["rows"] if record and record["machine"] == machine() else []


def save(
    name: str,
    rows: Sequence[Record],
    case: tuple[str, ...],
    table: Callable[[Sequence[Any]], str],
) -> None:
    """Write NAME.json and NAME.md: these rows in place of those of the same cases, others kept.

    A case is what rows share in the fields ``case``: its rows are measured together, and replaced
    together, so that a ratio is never of figures of different days. Rows of another machine go.
    """
    old = read(name)
    before = kept(name)
    if old and not before:
        click.echo(f"{name}.json was of another machine: it begins anew", err=True)
    cases: dict[tuple[Any, ...], list[Record]] = {}
    for row in before:
        cases.setdefault(tuple(row[field] for field in case), []).append(row)
    fresh: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        dated = {**row, "date": time.strftime("%Y-%m-%d")}
        fresh.setdefault(tuple(row[field] for field in case), []).append(dated)
    merged = [row for rows in (cases | fresh).values() for row in rows]
    FOLDER.mkdir(exist_ok=True)
    record = {"machine": machine(), "rows": merged}
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (FOLDER / f"{name}.md").write_text(table(merged) + "\n", encoding="utf-8")
