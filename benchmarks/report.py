"""Builds the documents' tables from the results: ``python -m benchmarks.report``.

A table stands between ``<!-- benchmarks: NAME -->`` and ``<!-- end -->``; what is between is
replaced by what ``BLOCKS[NAME]`` makes of ``benchmarks/results/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from . import results, tables

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "docs" / "performance.md", ROOT / "README.md")

BLOCKS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], str]]] = {
    "mission": ("mission", tables.mission),
    "mission-short": ("mission", tables.mission_short),
    "variants": ("variants", tables.times),
    "networks": ("networks", tables.times),
    "memory": ("networks", tables.memory),
    "cnn": ("cnn", tables.peers),
    "recurrent": ("recurrent", tables.peers),
    "int8": ("int8", tables.times),
    "startup": ("startup", tables.startup),
    "growth": ("growth", tables.growth),
    "exponents": ("growth", tables.exponents),
}
"""Name → the file of results, and what makes Markdown of its rows."""

MARKED = re.compile(r"(<!-- benchmarks: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def block(name: str) -> str:
    """The table of that name and where its figures are from, or how to get them."""
    file, make = BLOCKS[name]
    record = results.read(file)
    if record is None:
        return f"Not measured yet: `python -m benchmarks.all {file}` does it.\n"
    machine = record["machine"]
    days = _range(row["date"] for row in record["rows"])
    source = (
        f"`python -m benchmarks.all {file}`, {days}: {machine['processor']}, "
        f"{machine['cores']} cores, Python {machine['python']}, NumPy {machine['numpy']}, "
        f"onnxruntime {machine['onnxruntime']}."
    )
    return f"{make(record['rows'])}\n\n{source}\n"


def _range(days: Iterable[str]) -> str:
    ordered = sorted(set(days))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def render(text: str) -> str:
    """A document with its tables made anew; raises KeyError for a marker of no table."""
    return MARKED.sub(lambda match: match[1] + block(match[2]) + match[3], text)


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit 1 where a table is out of date.")
def main(check: bool) -> None:
    """Bring the tables of docs/performance.md and README.md up to date."""
    stale = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        fresh = render(text)
        if fresh == text:
            continue
        stale.append(str(document.relative_to(ROOT)))
        if not check:
            document.write_text(fresh, encoding="utf-8")
    if check and stale:
        raise click.ClickException(f"out of date: {', '.join(stale)}")
    click.echo(f"written: {', '.join(stale)}" if stale else "all tables are up to date")


if __name__ == "__main__":
    main()
