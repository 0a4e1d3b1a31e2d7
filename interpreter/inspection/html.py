"""HTML of sessions, inspections and traces: tables for notebooks, and a page that stands alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Node
from .gates import RECURRENT, gates_of
from .pictures import feature_maps, heat_map, histogram_svg
from .summary import Summary, histogram, summarise

if TYPE_CHECKING:
    from ..session import InferenceSession, NodeArg
    from .inspecting import Inspection
    from .trace import NodeTrace, Trace

_STYLE = """
.so table {border-collapse: collapse; font-variant-numeric: tabular-nums}
.so th, .so td {padding: .15rem .6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent)}
.so th {font-weight: 600; white-space: nowrap}
.so .number {text-align: right; white-space: nowrap}
.so .sick {color: #c00; font-weight: 600}
.so .histogram {fill: currentColor; opacity: .75; margin: 0 .4rem}
.so .scroll {overflow-x: auto}
.so figure {margin: .4rem 1.2rem .4rem 0; display: inline-block; vertical-align: top;
  width: min-content; min-width: 12rem; max-width: 100%}
.so img {image-rendering: pixelated; max-width: 100%; display: block; background: #fff}
.so figcaption {font-size: .85em; opacity: .75}
"""

_PAGE_STYLE = """
:root {color-scheme: light dark; --head: #fff; --line: #8884}
@media (prefers-color-scheme: dark) {:root {--head: #121212}}
body {font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; overflow-wrap: anywhere}
h1 {font-size: 1.35rem; margin: 0 0 .3rem}
h2 {font-size: 1.1rem; margin: 2rem 0 .5rem}
thead th {position: sticky; top: 0; background: var(--head)}
.table {max-height: 75vh; overflow: auto; border: 1px solid var(--line)}
.table td, .table th {overflow-wrap: normal; white-space: nowrap}
section {border-top: 1px solid var(--line); padding: .6rem 0}
section h3 {font-size: 1rem; margin: 0 0 .2rem}
a {color: inherit}
@media (max-width: 40rem) {body {margin: .6rem}}
"""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int]) -> str:
    """A table; cells are HTML already, the columns ``numeric`` are aligned to the right."""
    right = set(numeric)

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if index in right else ''}>{cell}</{tag}>"
            for index, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{line(header, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _framed(inner: str) -> str:
    return f'<div class="so"><style>{_STYLE}</style>{inner}</div>'


def session_table(session: InferenceSession) -> str:
    """What goes in and comes out, and the steps between."""

    def rows(kind: str, values: Sequence[NodeArg]) -> list[list[str]]:
        return [
            [kind, escape(v.name), escape(v.type), escape(" × ".join(str(d) for d in v.shape))]
            for v in values
        ]

    values = rows("input", session.get_inputs()) + rows("output", session.get_outputs())
    steps = [
        [
            str(index),
            escape(step.node.name),
            escape(step.node.op_type),
            escape(", ".join(name for name in step.node.inputs if name)),
            escape(", ".join(name for name in step.node.outputs if name)),
        ]
        for index, step in enumerate(session.plan.steps)
    ]
    return _framed(
        f"<p><b>InferenceSession</b> {escape(session.model.graph.name)}</p>"
        f'<div class="scroll">{_table(["", "name", "type", "shape"], values, ())}</div>'
        f"<details><summary>{len(steps)} steps</summary>"
        f'<div class="scroll">{_table(["#", "name", "op", "reads", "writes"], steps, (0,))}</div>'
        "</details>"
    )


def inspection_table(seen: Inspection) -> str:
    """The nodes with their types and costs."""
    rows = [
        [
            str(node.index),
            escape(node.name),
            escape(node.op),
            escape(", ".join(str(value) for value in node.outputs)),
            f"{node.parameters:,}",
            "?" if node.flops is None else f"{node.flops:,}",
        ]
        for node in seen.nodes
    ]
    header = ["#", "name", "op", "outputs", "parameters", "FLOPs"]
    return _framed(
        f"<p><b>{len(seen.nodes)} nodes</b>, {seen.parameters:,} parameters, "
        f"{seen.flops:,} FLOPs</p>"
        f'<div class="scroll">{_table(header, rows, (0, 4, 5))}</div>'
    )


_COLUMNS = ["#", "node", "op", "output", "dtype", "shape", "min", "max", "mean", "std", "zeros"]
_COLUMNS += ["NaN", "inf", "ms"]
_NUMERIC = (0, 6, 7, 8, 9, 10, 11, 12, 13)


def trace_table(trace: Trace) -> str:
    """The values of a trace with their statistics."""
    return _framed(f'<div class="scroll">{_trace_rows(trace.nodes, linked=False)}</div>')


def _trace_rows(nodes: Sequence[NodeTrace], linked: bool) -> str:
    rows = []
    for position, node in enumerate(nodes):
        for value in node.outputs:
            title = escape(node.name)
            if linked:
                title = f'<a href="#node-{position}">{title}</a>'
            rows.append(
                [
                    str(node.index),
                    "&emsp;" * node.depth + title + (f" ({node.call})" if node.call else ""),
                    escape(node.op),
                    escape(value.name),
                    *_statistics(value.summary),
                    f"{node.seconds * 1e3:.3f}",
                ]
            )
    return _table(_COLUMNS, rows, _NUMERIC)


def _statistics(summary: Summary) -> list[str]:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    def count(value: int) -> str:
        return f"<span class=sick>{value:,}</span>" if value else ""

    shape = "" if summary.shape is None else " × ".join(map(str, summary.shape)) or "scalar"
    return [
        escape(summary.dtype),
        shape,
        *(shown(v) for v in (summary.min, summary.max, summary.mean, summary.std)),
        f"{summary.zeros:,}" if summary.zeros else "",
        count(summary.nans),
        count(summary.infs),
    ]


_MAPS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "Relu", "LeakyRelu", "Elu")


def paint(node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[str, list[str]]:
    """Pictures for a page: gates and states of recurrent nodes; of each output a histogram, and
    the feature maps of convolutions and what follows them."""
    picture = ""
    if node.op_type in RECURRENT and not node.domain and inputs[0].size:
        both = node.attributes.get("direction") == "bidirectional"
        for direction in range(2 if both else 1):
            side = ("forward: ", "reverse: ")[direction] if both else ""
            for name, values in gates_of(node, inputs, direction).items():
                picture += heat_map(values, side + name)
        steps, units = values.shape
        picture = (
            f"<p>The first sequence: {steps} steps to the right, {units} units downwards.</p>"
            + picture
        )
    return picture, [_paint_value(node, value) for value in outputs]


def _paint_value(node: Node, value: Any) -> str:
    if not isinstance(value, np.ndarray) or not value.size or value.dtype.kind not in "fiuV":
        return ""
    summary = summarise(value)
    if summary.min is None:
        return ""
    limits = (f"{summary.min:.4g}", f"{summary.max:.4g}")
    shown = histogram_svg(histogram(value, summary), limits)
    if node.op_type in _MAPS and value.ndim == 4:
        shown += feature_maps(value[0].astype(np.float64))
    return shown


def trace_page(trace: Trace) -> str:
    """A page of its own: it needs no network and no script."""
    sections = []
    for position, node in enumerate(trace.nodes):
        shown = "".join(
            f"<div>{escape(value.name)}: {escape(_short(value.summary))}{value.picture}</div>"
            for value in node.outputs
        )
        sections.append(
            f'<section id="node-{position}"><h3>{escape(node.name)} '
            f"<small>{escape(node.op)}</small></h3>{shown}{node.picture}</section>"
        )
    stopped = ""
    if trace.stopped is not None:
        stopped = (
            f"<p class=sick>Stopped: {escape(trace.stopped.name)} ({escape(trace.stopped.op)}) "
            "gave the first NaN or infinity.</p>"
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Trace of {escape(trace.model)}</title>"
        f"<style>{_STYLE}{_PAGE_STYLE}</style></head><body class=so>"
        f"<h1>Trace of {escape(trace.model)}</h1>"
        f"<p>{len(trace.nodes)} calls of nodes, in the order of computation.</p>{stopped}"
        f'<div class="table" tabindex="0">{_trace_rows(trace.nodes, linked=True)}</div>'
        f"<h2>Values</h2>{''.join(sections)}</body></html>\n"
    )


def _short(summary: Summary) -> str:
    shape = "" if summary.shape is None else f" {list(summary.shape)}"
    return f"{summary.dtype}{shape}"
