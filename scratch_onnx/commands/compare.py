"""``scratch-onnx compare``: node by node against another side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from scratch_onnx.commands import options
from scratch_onnx.feeding import one_feed
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.inspection.bisect import bisect as bisect_model
from scratch_onnx.interpreter.inspection.compare import Finding, NodeComparison
from scratch_onnx.interpreter.inspection.compare import compare as compare_models
from scratch_onnx.interpreter.inspection.difference import Difference
from scratch_onnx.output import dump_json, number, printable, table
from scratch_onnx.peers import peer_of
from scratch_onnx.repro import save_repro


@click.command()
@options.MODEL
@options.INPUTS
@options.TEXT
@options.CAST
@click.option(
    "--against",
    required=True,
    metavar="SIDE",
    help="onnxruntime, reference, keras:FILE, dir:TRACE (of trace --save), or another model.",
)
@click.option("--rtol", type=click.FloatRange(0), default=1e-4, show_default=True)
@click.option("--atol", type=click.FloatRange(0), default=1e-5, show_default=True)
@click.option("--bisect", is_flag=True, help="Find the node by halving the graph, in few runs.")
@click.option(
    "--repro",
    metavar="DIR",
    default="scratch-onnx-repro",
    show_default=True,
    help="Where the first differing node goes with its inputs.",
)
@options.JSON
@click.pass_context
@options.examples(
    "scratch-onnx compare model.onnx x.npy --against onnxruntime",
    "scratch-onnx compare model.onnx x.npy --against keras:model.keras",
    "scratch-onnx compare new.onnx x.npy --against old.onnx --bisect",
)
def compare(
    ctx: click.Context,
    model: str,
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    cast: bool,
    against: str,
    rtol: float,
    atol: float,
    bisect: bool,
    repro: str,
    as_json: bool,
) -> None:
    """Compare MODEL with another side on INPUT, node by node; exit 1 where they differ.

    Cumulative: each side goes on with its own values. Isolated: each node is fed with the other
    side's inputs, so that a fault shows at its own node only. A value may differ by ATOL + RTOL
    times the other side's largest element.
    """
    session = InferenceSession(model, optimize=False)
    feed = one_feed(session, model, inputs, texts, cast)
    peer = peer_of(against, model, session, feed)
    shown: list[str] = []

    def report(finding: Finding) -> None:
        shown.append(save_repro(repro, model, finding))

    if bisect:
        result = bisect_model(session, feed, peer, rtol=rtol, atol=atol, report=report)
        nodes = [result.found] if result.found else []
        summary: dict[str, Any] = {"runs": result.runs, "equal": result.found is None}
    else:
        nodes = list(compare_models(session, feed, peer, rtol=rtol, atol=atol, report=report))
        if all(node.cumulative is None for node in nodes):
            raise InputError(f"no value of the model is on the other side, {peer.name}")
        summary = {"equal": _first(nodes, "cumulative") is _first(nodes, "isolated") is None}
    summary |= {f"first_{mode}": _title(_first(nodes, mode)) for mode in ("cumulative", "isolated")}
    summary["repro"] = shown[0] if shown else None
    if as_json:
        dump_json({**summary, "nodes": [_plain(node) for node in nodes]})
    else:
        _print(nodes, summary, peer.name)
    if not summary["equal"]:
        ctx.exit(1)


def _first(nodes: Sequence[NodeComparison], mode: str) -> NodeComparison | None:
    for node in nodes:
        found: Difference | None = getattr(node, mode)
        if found is not None and not found.equal:
            return node
    return None


def _title(node: NodeComparison | None) -> str | None:
    return None if node is None else node.name


def _plain(node: NodeComparison) -> dict[str, Any]:
    document = asdict(node)
    for mode in ("cumulative", "isolated"):
        found: Difference | None = getattr(node, mode)
        if found is not None:
            document[mode] |= {"equal": found.equal, "message": str(found)}
            for side in ("got", "want"):
                document[mode][side] = None if found.equal else str(getattr(found, side))
    return document


def _print(nodes: Sequence[NodeComparison], summary: dict[str, Any], side: str) -> None:
    rows = [
        (node.index, node.name, node.op, _cell(node.cumulative), _cell(node.isolated))
        for node in nodes
    ]
    if rows:
        table(
            ("#", "node", "op", "cumulative", "isolated"),
            rows,
            numeric=("#", "cumulative", "isolated"),
        )
    if "runs" in summary:
        click.echo(f"{summary['runs']} runs of each side")
    if summary["equal"]:
        click.echo(f"no difference from {side}")
    for mode in ("cumulative", "isolated"):
        first = _first(nodes, mode)
        if first is not None:
            what = printable(f"{first.name} ({first.op}), output {getattr(first, mode)}")
            click.echo(f"first difference, {mode}: node {first.index} {what}")
    if summary["repro"]:
        click.echo(f"to see it again: {summary['repro']}")


def _cell(found: Difference | None) -> str:
    if found is None:
        return "-"
    if found.reason:
        return "DIFFERS in shape or kind"
    return number(found.largest, 3) if found.equal else f"DIFFERS {number(found.largest, 3)}"
