"""``scratch-onnx trace``: every value of a run, as it is computed."""

from __future__ import annotations

import click

from scratch_onnx.commands import options
from scratch_onnx.feeding import one_feed
from scratch_onnx.files import write_text
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.inspection.html import paint, trace_page
from scratch_onnx.interpreter.inspection.summary import Summary
from scratch_onnx.interpreter.inspection.trace import Selection, Trace
from scratch_onnx.interpreter.inspection.trace import trace as trace_model
from scratch_onnx.output import dump_json, number, printable, table

_NUMERIC = ("min", "max", "mean", "std", "zeros", "NaN", "inf", "ms")
_HEADER = ("#", "node", "op", "output", "dtype", "shape", *_NUMERIC)


@click.command()
@options.MODEL
@options.INPUTS
@options.TEXT
@options.CAST
@click.option("--node", "nodes", multiple=True, metavar="PATTERN", help="Only nodes so named.")
@click.option("--op", "ops", multiple=True, metavar="PATTERN", help="Only these operators.")
@click.option("--name", "names", multiple=True, metavar="PATTERN", help="Only these values.")
@click.option("--save", metavar="DIR", help="Write each value to a .npy in DIR, as it comes.")
@click.option(
    "--stop-on",
    type=click.Choice(["nan"]),
    help="Stop at the first NaN or infinity, with exit code 1.",
)
@click.option("--html", metavar="FILE", help="Write a page with pictures of the values.")
@options.JSON
@click.pass_context
@options.examples(
    "scratch-onnx trace model.onnx x.npy --html trace.html",
    "scratch-onnx trace model.onnx x.npy --op Conv --save values/",
    "scratch-onnx trace model.onnx x.npy --stop-on nan",
)
def trace(
    ctx: click.Context,
    model: str,
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    cast: bool,
    nodes: tuple[str, ...],
    ops: tuple[str, ...],
    names: tuple[str, ...],
    save: str | None,
    stop_on: str | None,
    html: str | None,
    as_json: bool,
) -> None:
    """Run MODEL on INPUT and show every node's outputs: statistics, values, pictures.

    PATTERN is a shell pattern, as in 'conv*'. The graph runs node by node as the file has it.
    """
    session = InferenceSession(model, optimize=False)
    feed = one_feed(session, model, inputs, texts, cast)
    seen = Trace(model)
    try:
        trace_model(
            session,
            feed,
            select=Selection(nodes, ops, names),
            save=save,
            stop_on_nan=stop_on is not None,
            paint=paint if html else None,
            into=seen,
        )
    finally:  # a run that fails shows how far it came
        if as_json:
            dump_json(seen.to_dict())
        elif seen.nodes:
            table(_HEADER, _rows(seen), numeric=("#", *_NUMERIC))
        if html is not None:
            write_text(html, trace_page(seen))
    if seen.stopped is not None:
        given = "; ".join(f"{name}: {_described(s)}" for name, s in seen.inputs.items())
        message = (
            f"node '{seen.stopped.name}' ({seen.stopped.op}) gave the first NaN or infinity; "
            f"it was given {given or 'nothing'}"
        )
        click.echo(printable(message), err=True)
        ctx.exit(1)


def _rows(seen: Trace) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for node in seen.nodes:
        title = "  " * node.depth + node.name + (f" ({node.call})" if node.call else "")
        for output in node.outputs:
            one = output.summary
            shape = "" if one.shape is None else "×".join(map(str, one.shape)) or "scalar"
            numbers = [
                "" if v is None else number(v) for v in (one.min, one.max, one.mean, one.std)
            ]
            counts = (one.zeros or "", one.nans or "", one.infs or "")
            spent = f"{node.seconds * 1e3:.3f}"
            rows.append(
                (
                    node.index,
                    title,
                    node.op,
                    output.name,
                    one.dtype,
                    shape,
                    *numbers,
                    *counts,
                    spent,
                )
            )
    return rows


def _described(summary: Summary) -> str:
    shape = "" if summary.shape is None else f" {list(summary.shape)}"
    text = f"{summary.dtype}{shape}"
    if summary.min is not None and summary.max is not None:
        text += f" from {summary.min:.4g} to {summary.max:.4g}"
    if not summary.finite:
        text += f", {summary.nans} NaN, {summary.infs} infinite"
    return text
