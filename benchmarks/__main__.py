"""Times this interpreter beside its peers and prints a table of medians and ratios.

Each side runs in a process of its own with the same number of threads, and they
take turns: spinning thread pools in one process spoil each other's times.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from . import results
from .models import CASES, make
from .sides import SIDES

PAUSE = 0.1
"""Seconds before each turn: the threads of the side before still spin for a while, on our core."""
SLOW = 20.0
"""Seconds: a side is not asked for more rounds of a case than fit in it."""


def environment(threads: int) -> dict[str, str]:
    """The variables of a process in which no library takes more threads than that."""
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    return {**os.environ, **limits, "TF_CPP_MIN_LOG_LEVEL": "3"}


class Side:
    """A running side."""

    def __init__(self, side: str, name: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.sides", side, name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(threads),
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
            repeats[side] = max(1, min(100, int(0.25 / max(first, 1e-6))))
            worker.ask(batch, repeats[side])
        for _ in range(rounds):
            for side, worker in running.items():
                if sum(turns[side]) * repeats[side] > SLOW:
                    continue
                time.sleep(PAUSE)
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


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| model | threads | batch | side | median | over onnxruntime | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        lines.append(
            f"| {row['model']} | {row['threads']} | {row['batch']} | {row['side']} | "
            f"{row['median'] * 1e3:.3f} ms | {ratio} | {row['peak'] / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


CASE = ("model", "threads", "batch")


def _saved(name: str, case: tuple[str, int, int]) -> set[str]:
    """The sides that this machine's file of results has of a case."""
    rows = results.kept(name)
    return {row["side"] for row in rows if tuple(row[field] for field in CASE) == case}


@click.command(epilog="Example: python -m benchmarks cnn lstm --threads 2 --batch 32")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option("--threads", type=int, multiple=True, default=(2,), show_default=True)
@click.option("--batch", type=int, multiple=True, help="Default: each model's own.")
@click.option("--side", "sides", type=click.Choice(list(SIDES)), multiple=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option(
    "--save",
    metavar="NAME",
    help="Write benchmarks/results/NAME.json and NAME.md after each case; other cases stay.",
)
@click.option("--resume", is_flag=True, help="Leave out the cases that NAME.json has already.")
def main(
    names: tuple[str, ...],
    threads: tuple[int, ...],
    batch: tuple[int, ...],
    sides: tuple[str, ...],
    rounds: int,
    save: str | None,
    resume: bool,
) -> None:
    """Time MODELs (default: cnn) on this interpreter and on its peers."""
    unknown = sorted(set(names) - CASES.keys())
    if unknown:
        raise click.UsageError(f"no model {unknown[0]}; there are: {', '.join(CASES)}")
    if resume and not save:
        raise click.UsageError("--resume needs --save: the file that it goes on with")
    asked = list(sides or SIDES)
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for name in names or ("cnn",):
        make(name)
        for count in threads:
            for size in batch or CASES[name].batches:
                if resume and save and _saved(save, (name, count, size)) >= set(asked):
                    continue
                try:
                    measured = measure(name, count, size, asked, rounds)
                except RuntimeError as error:  # a side that ended amid its turns
                    click.echo(f"  {name} at batch {size}: {error}", err=True)
                    measured = []
                if len(measured) < len(asked):
                    failed.append(f"{name} at batch {size} with {count} threads")
                rows += (fresh := [vars(row) for row in measured])
                click.echo(table(fresh), err=True)
                if save and fresh:
                    results.save(save, fresh, CASE, table)
    click.echo(table(rows))
    if failed:
        raise click.ClickException(f"not every side ran: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
