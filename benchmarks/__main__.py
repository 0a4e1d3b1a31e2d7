"""Times this interpreter beside its peers and prints a table of medians and ratios.

Each side runs in a process of its own with the same number of threads, and they
take turns: spinning thread pools in one process spoil each other's times.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from .models import CASES, make
from .sides import SIDES

RESULTS = Path(__file__).parent / "results"
SLOW = 20.0
"""Seconds: a side is not asked for more rounds of a case than fit in it."""


class Side:
    """A running side."""

    def __init__(self, side: str, name: str, threads: int) -> None:
        count = str(threads)
        limits = {f"{library}_NUM_THREADS": count for library in ("OMP", "OPENBLAS", "MKL")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sides", side, name, count],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **limits, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.load = self._answer()["load"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the side ended: it cannot run this model")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, batch: int, repeat: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps({"batch": batch, "repeat": repeat}), file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Row:
    """A side's figures for one model, batch and number of threads."""

    model: str
    threads: int
    batch: int
    side: str
    median: float
    fastest: float
    peak: int
    ratio: float | None = None
    """The median over turns of this side's time over onnxruntime's in the same turn."""


def measure(name: str, threads: int, batch: int, sides: list[str], rounds: int) -> list[Row]:
    """Let the sides take turns on one case."""
    running: dict[str, Side] = {}
    for side in sides:
        try:
            running[side] = Side(side, name, threads)
        except RuntimeError as error:
            click.echo(f"  {name}, {side}: {error}", err=True)
    turns: dict[str, list[float]] = {side: [] for side in running}
    peaks: dict[str, int] = {}
    repeats: dict[str, int] = {}
    try:
        for side, worker in list(running.items()):
            try:
                first = worker.ask(batch, 2)["times"][-1]
            except RuntimeError as error:
                click.echo(f"  {name} at batch {batch}, {side}: {error}", err=True)
                del running[side], turns[side]
                continue
            repeats[side] = max(1, min(20, int(0.25 / max(first, 1e-6))))
            worker.ask(batch, repeats[side])
        for _ in range(rounds):
            for side, worker in running.items():
                if sum(turns[side]) * repeats[side] > SLOW:
                    continue
                answer = worker.ask(batch, repeats[side])
                turns[side].append(statistics.median(answer["times"]))
                peaks[side] = answer["peak"]
    finally:
        for worker in running.values():
            worker.close()
    base = turns.get("onnxruntime", [])
    return [
        Row(
            name, threads, batch, side, statistics.median(times), min(times), peaks[side],
            statistics.median(a / b for a, b in zip(times, base, strict=False)) if base else None,
        )
        for side, times in turns.items()
    ]  # fmt: skip


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
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
        "date": time.strftime("%Y-%m-%d"),
    }


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| model | threads | batch | side | median | over onnxruntime | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            f"| {row.model} | {row.threads} | {row.batch} | {row.side} | "
            f"{row.median * 1e3:.3f} ms | {ratio} | {row.peak / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


@click.command(epilog="Example: python -m benchmarks cnn lstm --threads 2 --batch 32")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--threads", type=int, multiple=True, default=(2,), show_default=True)
@click.option("--batch", type=int, multiple=True, help="Default: each model's own.")
@click.option("--side", "sides", type=click.Choice(list(SIDES)), multiple=True)
@click.option("--rounds", type=int, default=9, show_default=True)
@click.option("--save", metavar="NAME", help="Write benchmarks/results/NAME.json and NAME.md.")
def main(
    names: tuple[str, ...],
    threads: tuple[int, ...],
    batch: tuple[int, ...],
    sides: tuple[str, ...],
    rounds: int,
    save: str | None,
) -> None:
    """Time MODELs (default: cnn) on this interpreter and on its peers."""
    unknown = sorted(set(names) - CASES.keys())
    if unknown:
        raise click.UsageError(f"no model {unknown[0]}; there are: {', '.join(CASES)}")
    rows: list[Row] = []
    for name in names or ("cnn",):
        make(name)
        for count in threads:
            for size in batch or CASES[name].batches:
                rows += measure(name, count, size, list(sides or SIDES), rounds)
                click.echo(table(rows[-len(sides or SIDES) :]), err=True)
    click.echo(table(rows))
    if save:
        RESULTS.mkdir(exist_ok=True)
        record = {"machine": machine(), "rows": [vars(row) for row in rows]}
        (RESULTS / f"{save}.json").write_text(json.dumps(record, indent=1) + "\n")
        (RESULTS / f"{save}.md").write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()
