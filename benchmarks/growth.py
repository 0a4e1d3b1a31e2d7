"""How time and memory grow with the batch and with the sequence: ``python -m benchmarks.growth``.

Each point is a process of its own (``point.py``), a few times, this interpreter and onnxruntime in
turn.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from . import results
from .__main__ import environment
from .models import make

SIDES = ("ours", "onnxruntime")


@dataclass(frozen=True)
class Curve:
    """A model and what grows: the batch, or the length at a fixed batch."""

    title: str
    model: str
    sizes: tuple[int, ...]
    batch: int | None = None
    """The fixed batch of a curve by length."""

    @property
    def axis(self) -> str:
        return "batch" if self.batch is None else "length"

    def point(self, size: int) -> tuple[int, int]:
        """Batch and length at a size; length 0 where the model has none."""
        return (size, 0) if self.batch is None else (self.batch, size)


LENGTHS = tuple(2**power for power in range(4, 12))
CURVES = {
    "cnn": Curve("CNN 32-64-128", "cnn", tuple(4**power for power in range(7))),
    "lstm-1": Curve("LSTM 64-32, batch 1", "lstm-any-length", LENGTHS, 1),
    "lstm-32": Curve("LSTM 64-32, batch 32", "lstm-any-length", LENGTHS, 32),
}


def measure(curve: Curve, size: int, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Side → time in seconds, memory and data in bytes, of one point: medians over the rounds."""
    batch, length = curve.point(size)
    answers: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, all_ in answers.items():
            arguments = [side, curve.model, str(threads), str(batch), str(length)]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.point", *arguments],
                capture_output=True,
                env=environment(threads),
                check=True,
            )
            all_.append(json.loads(done.stdout))
    return {
        side: {field: statistics.median(one[field] for one in all_) for field in all_[0]}
        for side, all_ in answers.items()
    }


def exponent(rows: Sequence[dict[str, Any]], field: str = "time", last: int = 4) -> float:
    """The slope of log(field) by log(size), fitted by least squares to the largest sizes."""
    rows = sorted(rows, key=lambda row: row["size"])[-last:]
    x = [math.log(row["size"]) for row in rows]
    y = [math.log(row[field]) for row in rows]
    return statistics.linear_regression(x, y).slope


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| curve | size | side | threads | median | memory of the run | input and output |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['curve']} | {row['size']} | {row['side']} | {row['threads']} | "
            f"{row['time'] * 1e3:.3f} ms | {row['memory'] / 2**20:.2f} MiB | "
            f"{row['data'] / 2**20:.2f} MiB |"
        )
    return "\n".join(lines)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(CURVES)), metavar="[CURVE]...")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--save", is_flag=True, help="Write results/growth.json, .md and the docs' figure.")
def main(names: tuple[str, ...], threads: int, rounds: int, save: bool) -> None:
    """Measure CURVEs (default: all) of time and memory by batch and by length."""
    for name in names or CURVES:
        curve = CURVES[name]
        make(curve.model)
        rows = [
            {"curve": name, "size": size, "side": side, "threads": threads, **figures}
            for size in curve.sizes
            for side, figures in measure(curve, size, threads, rounds).items()
        ]
        click.echo(table(rows))
        for side in SIDES:
            slope = exponent([row for row in rows if row["side"] == side])
            click.echo(f"{name}, {side}: time grows as {curve.axis}^{slope:.2f} at the large end")
        if save:
            results.save("growth", rows, ("curve",), table)
    if save:
        from .figure import draw

        draw()


if __name__ == "__main__":
    main()
