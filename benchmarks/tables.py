"""The documents' tables: Markdown made of the rows of a file of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import bars
from .growth import CURVES, exponent
from .growth import SIDES as GROWTH_SIDES
from .models import CASES

Row = dict[str, Any]
THREADS = (1, 2)
MIB = 2**20
NONE = "–"
"""A figure that was not measured."""


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first are figures, at the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def figure(value: float | None) -> str:
    """Three digits that count, and no exponent."""
    if value is None:
        return NONE
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}"


def ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def met(values: Sequence[float | None], bar: float | None, *, least: bool = False) -> str:
    """Whether all are at or below the bar (``least``: above); only said where all were measured."""
    if bar is None:
        return ""
    known = [value for value in values if value is not None]
    if any(value <= bar if least else value > bar for value in known):
        return "no"
    return "yes" if len(known) == len(values) else NONE


class Rows:
    """Rows by model, side, batch and threads."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = {(r["model"], r["side"], r["batch"], r["threads"]): r for r in rows}

    def get(self, model: str, side: str, batch: int, threads: int, field: str) -> float | None:
        row = self.rows.get((model, side, batch, threads))
        return None if row is None else row[field]

    def cases(self, *sides: str) -> list[tuple[str, str, int]]:
        """Model, side and batch of these sides, in the order of ``CASES``."""
        order = list(CASES)
        models = sorted({model for model, *_ in self.rows}, key=order.index)
        batches = sorted({batch for _, _, batch, _ in self.rows})
        return [
            (model, side, batch)
            for model in models
            for side in sides
            for batch in batches
            if any((model, side, batch, threads) in self.rows for threads in THREADS)
        ]


def title(model: str, side: str) -> str:
    """How a table names a model on a side of ours."""
    return f'{model}, `precision="fast"`' if side == "ours-fast" else model


def times(rows: Sequence[Row]) -> str:
    """Ours and onnxruntime's time and their ratio, with one thread and with two, and the bar."""
    found = Rows(rows)
    lines = []
    for model, side, batch in found.cases("ours", "ours-fast"):
        cells = [title(model, side), str(batch)]
        ratios = [found.get(model, side, batch, threads, "ratio") for threads in THREADS]
        for threads, over in zip(THREADS, ratios, strict=True):
            for one in (side, "onnxruntime"):
                seconds = found.get(model, one, batch, threads, "median")
                cells.append(figure(None if seconds is None else seconds * 1e3))
            cells.append(ratio(over))
        bar = bars.TIME.get((model, side, batch))
        lines.append([*cells, "" if bar is None else f"{bar:g}", met(ratios, bar)])
    columns = [
        column
        for name in ("1 thread", "2 threads")
        for column in (f"{name}: ours, ms", "onnxruntime, ms", "ratio")
    ]
    return markdown(["model", "batch", *columns, "bar", "met"], lines)


def mean(rows: Sequence[Row]) -> tuple[float, int] | None:
    """The geometric mean of the mission's ratios at default precision, and how many they are."""
    ratios = [
        row["ratio"]
        for row in rows
        if row["side"] == "ours" and row["model"] in bars.MISSION and row["ratio"] is not None
    ]
    if not ratios:
        return None
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios)), len(ratios)


def _mean(rows: Sequence[Row]) -> str:
    found = mean(rows)
    if found is None:
        return "No ratios were measured."
    value, count = found
    wanted = len(bars.MISSION) * 3 * len(THREADS)
    told = f"all {count}"
    verdict = "met" if value <= bars.MEAN else "not met"
    if count < wanted:
        told, verdict = f"the {count} of {wanted}", "not all measured yet"
    return (
        f"The geometric mean of {told} ratios of the models that have a bar, at default precision: "
        f"{value:.2f} (bar {bars.MEAN}: {verdict})."
    )


def mission(rows: Sequence[Row]) -> str:
    return f"{times(rows)}\n\n{_mean(rows)}"


def mission_short(rows: Sequence[Row]) -> str:
    """The mission's models at two threads: time, and how many times onnxruntime's it is."""
    found = Rows(rows)
    batches = (1, 32, 256)
    lines = []
    for model in dict.fromkeys(model for model, *_ in found.cases("ours")):
        cells = []
        for batch in batches:
            seconds = found.get(model, "ours", batch, 2, "median")
            over = found.get(model, "ours", batch, 2, "ratio")
            cells.append(NONE if seconds is None else f"{figure(seconds * 1e3)} ms, ×{ratio(over)}")
        lines.append([model, *cells])
    header = ["model", *(f"batch {size}" for size in batches)]
    return f"{markdown(header, lines)}\n\n{_mean(rows)}"


def memory(rows: Sequence[Row]) -> str:
    """The peak memory of the processes, as ``times``."""
    found = Rows(rows)
    lines = []
    for model, side, batch in found.cases("ours", "ours-fast"):
        cells = [title(model, side), str(batch)]
        ratios: list[float | None] = []
        for threads in THREADS:
            ours = found.get(model, side, batch, threads, "peak")
            theirs = found.get(model, "onnxruntime", batch, threads, "peak")
            ratios.append(ours / theirs if ours and theirs else None)
            cells += [f"{peak / MIB:.0f}" if peak else NONE for peak in (ours, theirs)]
            cells.append(ratio(ratios[-1]))
        lines.append([*cells, f"{bars.MEMORY:g}", met(ratios, bars.MEMORY)])
    columns = [
        column
        for name in ("1 thread", "2 threads")
        for column in (f"{name}: ours, MiB", "onnxruntime, MiB", "ratio")
    ]
    return markdown(["model", "batch", *columns, "bar", "met"], lines)


PEERS = {
    "keras-call": "Keras `model(x)`",
    "keras-predict": "Keras `predict`",
    "reference": "reference evaluator",
}


def peers(rows: Sequence[Row]) -> str:
    """Keras's and the reference evaluator's times, and how many times ours they are."""
    found = Rows(rows)
    sides = [side for side in PEERS if any(row["side"] == side for row in rows)]
    lines = []
    for model, _, batch in found.cases("ours"):
        for threads in THREADS:
            ours = found.get(model, "ours", batch, threads, "median")
            if ours is None:
                continue
            cells, verdicts = [model, str(threads), str(batch), figure(ours * 1e3)], []
            for side in sides:
                theirs = found.get(model, side, batch, threads, "median")
                over = None if theirs is None else theirs / ours
                cells += [figure(None if theirs is None else theirs * 1e3), figure(over)]
                bar = bars.PEERS.get((model, side, batch))
                verdicts.append(met([over], bar, least=True))
            told = [verdict for verdict in verdicts if verdict]
            worst = next((word for word in ("no", NONE, "yes") if word in told), "")
            lines.append([*cells, worst])
    columns = [
        column for side in sides for column in (f"{PEERS[side]}, ms", "over ours")
    ]  # fmt: skip
    return markdown(["model", "threads", "batch", "ours, ms", *columns, "bar met"], lines)


def startup(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        bar = bars.STARTUP.get(row["name"])
        told = ["" if bar is None else f"{bar:g}", met([row["ratio"]], bar)]
        lines.append([row["name"], figure(row["median"] * 1e3), ratio(row["ratio"]), *told])
    return markdown(["what", "ms", "over onnxruntime", "bar", "met"], lines)


def growth(rows: Sequence[Row]) -> str:
    """A line a point: both sides' time and memory, and the bytes of input and output."""
    points = {(row["curve"], row["size"], row["side"]): row for row in rows}
    lines = []
    for name, curve in CURVES.items():
        for size in curve.sizes:
            sides = [points.get((name, size, side)) for side in GROWTH_SIDES]
            if sides[0] is None:
                continue
            cells = [curve.title, f"{curve.axis} {size:,}"]
            cells += [figure(row["time"] * 1e3 if row else None) for row in sides]
            cells += [f"{row['memory'] / MIB:.2f}" if row else NONE for row in sides]
            lines.append([*cells, f"{sides[0]['data'] / MIB:.2f}"])
    return markdown(
        [
            "model", "size", "ours, ms", "onnxruntime, ms",
            "ours, MiB", "onnxruntime, MiB", "input and output, MiB",
        ],
        lines,
    )  # fmt: skip


def exponents(rows: Sequence[Row]) -> str:
    """The exponents of time at the large end, and what memory holds beyond input and output."""
    lines = []
    for name, curve in CURVES.items():
        for side in GROWTH_SIDES:
            own = [row for row in rows if row["curve"] == name and row["side"] == side]
            own.sort(key=lambda row: row["size"])
            if len(own) < 4:
                continue
            beyond = [f"{(row['memory'] - row['data']) / MIB:.1f}" for row in own[-3:]]
            sizes = f"{own[-4]['size']:,} to {own[-1]['size']:,}"
            lines.append(
                [
                    f"{curve.title}, by {curve.axis}", side, sizes,
                    f"{exponent(own):.2f}", ", ".join(beyond),
                ]
            )  # fmt: skip
    header = [
        "curve", "side", "fitted over", "exponent of time",
        "MiB beyond input and output, at the last three",
    ]  # fmt: skip
    return markdown(header, lines)
