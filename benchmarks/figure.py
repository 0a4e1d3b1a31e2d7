"""The figure of growth in the docs, drawn by matplotlib from the results."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratch_onnx.experiments.charts import COLOURS

from . import results
from .growth import CURVES

TARGET = Path(__file__).parents[1] / "docs" / "figures" / "growth.svg"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e6e9",
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "scratch-onnx",
}
LINES = {"ours": ("o", "-"), "onnxruntime": ("s", "--")}
UNITS = {"time": ("Time of a run, ms", 1e3), "memory": ("Memory of a run, MiB", 2**-20)}
PANELS = (("CNN by batch", ("cnn",)), ("LSTM by sequence length", ("lstm-1", "lstm-32")))
"""A title, and the curves in it."""


def draw(target: Path = TARGET) -> None:
    """Write the figure: time above and memory below, the CNN at the left, the LSTM at the right."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    record = results.read("growth")
    if record is None:
        raise FileNotFoundError("no results: python -m benchmarks.growth --save measures them")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.0, 7.0), layout="constrained")
        axes = figure.subplots(len(UNITS), len(PANELS))
        for row, field in zip(axes, UNITS, strict=True):
            for axis, (title, curves) in zip(row, PANELS, strict=True):
                _panel(axis, record["rows"], field, curves)
                if field == "time":
                    axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
                else:
                    axis.set_xlabel(CURVES[curves[0]].axis.capitalize())
            row[0].set_ylabel(UNITS[field][0])
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    target.parent.mkdir(exist_ok=True)
    svg = re.sub(r"[ \t]+$", "", text.getvalue(), flags=re.MULTILINE)
    target.write_text(svg, encoding="utf-8")


def _panel(axis: Any, rows: Sequence[dict[str, Any]], field: str, curves: Sequence[str]) -> None:
    """Both sides' lines, log by log, and what they are compared with."""
    scale = UNITS[field][1]
    for place, name in enumerate(curves):
        batch = "" if CURVES[name].batch is None else f", batch {CURVES[name].batch}"
        for side, (marker, dashes) in LINES.items():
            points = sorted(
                (row["size"], row[field] * scale)
                for row in rows
                if row["curve"] == name and row["side"] == side
            )
            if not points:
                continue
            label = f"{'this interpreter' if side == 'ours' else side}{batch}"
            axis.plot(
                *zip(*points, strict=True),
                color=COLOURS[place],
                marker=marker,
                linestyle=dashes,
                markerfacecolor=COLOURS[place] if side == "ours" else "white",
                label=label,
            )
            if side == "ours" and field == "time":
                (size, last), (first, _) = points[-1], points[0]
                axis.plot(
                    [first, size],
                    [last * first / size, last],
                    color="#555555",
                    linestyle=":",
                    label="proportional" if place == 0 else None,
                )
    if field == "memory" and len(curves) == 1:
        data = sorted((row["size"], row["data"] * scale) for row in rows if row["curve"] in curves)
        axis.plot(
            *zip(*data, strict=True), color="#555555", linestyle=":", label="input and output"
        )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    sizes = CURVES[curves[0]].sizes
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * (4 if len(curves) > 1 else 1))  # room for the legend
    axis.legend(frameon=False, fontsize=9.5, loc="upper left")
