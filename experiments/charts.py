"""The report's figures, drawn by matplotlib into SVG text.

Colours are Okabe and Ito's, which people with any form of colour blindness can tell apart; a
marker says the same as the colour. The same records give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scratch_onnx.experiments.rows import Row, Table

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_STYLE: Any = {  # Any: matplotlib's stubs want its option names as literals
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e6e9",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "scratch-onnx",
}


def loss_curves(table: Table) -> str:
    """Training and validation loss by epoch, one colour a variant, both panels on one scale.

    With several seeds the line is their mean, and the band spans the lowest to the highest.
    """
    with _figure(1, 2, (9.0, 3.5), sharey=True) as (figure, axes):
        for axis, (name, title) in zip(
            axes, (("loss", "Training loss"), ("val_loss", "Validation loss")), strict=True
        ):
            for place, row in enumerate(table.rows):
                _curve(axis, row.curve(name), row.label, place)
            axis.set_title(title, loc="left", fontsize=10, fontweight="bold")
            axis.set_xlabel("Epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylabel("Cross-entropy")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
        return _svg(figure)


def _curve(axis: Any, curves: Sequence[Sequence[float]], label: str, place: int) -> None:
    length = min(len(curve) for curve in curves)
    columns = list(zip(*(curve[:length] for curve in curves), strict=True))
    epochs = range(1, length + 1)
    colour = COLOURS[place % len(COLOURS)]
    means = [sum(column) / len(column) for column in columns]
    axis.plot(
        epochs,
        means,
        color=colour,
        marker=MARKERS[place % len(MARKERS)],
        markersize=4,
        linewidth=1.8,
        label=label,
    )
    if len(curves) > 1:
        lowest, highest = [min(c) for c in columns], [max(c) for c in columns]
        axis.fill_between(epochs, lowest, highest, color=colour, alpha=0.15, linewidth=0)


def scores(rows: Sequence[Row]) -> str:
    """Reported F1 (hollow diamond) beside ours (filled dot a seed), a line a variant.

    Ours is the same average as the reported one: macro, or weighted for the LSTM column.
    """
    with _figure(1, 1, (9.0, 0.7 + 0.27 * len(rows))) as (figure, axis):
        for place, row in enumerate(rows):
            values = row.values("keras", f"{row.reported_average}_f1")
            axis.plot(
                values,
                [place] * len(values),
                "o",
                color=COLOURS[0],
                markersize=6,
                alpha=0.75,
                label="ours, one dot a seed" if place == 0 else None,
            )
            if row.reported is not None:
                axis.plot(
                    row.reported,
                    place,
                    "D",
                    color=COLOURS[1],
                    markerfacecolor="none",
                    markeredgewidth=1.6,
                    markersize=7,
                    label="reported" if place == 0 else None,
                )
        axis.set_yticks(range(len(rows)), [row.name.split("/", 1)[1] for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlabel(f"{'Weighted' if rows[0].reported_average == 'weighted' else 'Macro'} F1")
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
        return _svg(figure)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Counts of true (rows) by predicted (columns) classes, shaded by the share of the row."""
    shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
    side = 1.4 + 0.5 * len(classes)
    with _figure(1, 1, (side, side)) as (figure, axis):
        axis.grid(visible=False)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for i, row in enumerate(matrix):
            for j, count in enumerate(row):
                colour = "white" if shares[i][j] > 0.55 else "#1d2328"
                axis.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=9)
        numbers = range(len(classes))
        axis.set_xticks(numbers, classes, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(numbers, classes)
        axis.set_xlabel("Predicted class")
        axis.set_ylabel("True class")
        return _svg(figure)


@contextmanager
def _figure(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> Iterator[tuple[Any, Any]]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, columns, **options)


def _svg(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"[ \t]+$", "", text.getvalue(), flags=re.MULTILINE)
