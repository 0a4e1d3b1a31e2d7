"""``scratch-onnx profile``: where a run's time goes."""

from __future__ import annotations

import json

import click

from scratch_onnx.commands import options
from scratch_onnx.feeding import one_feed
from scratch_onnx.files import write_text
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.inspection.profile import NodeProfile, OpProfile
from scratch_onnx.interpreter.inspection.profile import profile as profile_model
from scratch_onnx.output import dump_json, quantity, size_of, table

_NUMERIC = ("calls", "ms", "share", "moved", "FLOPs", "GFLOP/s")


@click.command()
@options.MODEL
@options.INPUTS
@options.TEXT
@options.CAST
@click.option("--repeats", type=click.IntRange(1), default=10, show_default=True)
@click.option("--warmup", type=click.IntRange(0), default=2, show_default=True)
@click.option("--trace", "chrome", metavar="FILE", help="Write a trace for Chrome and Perfetto.")
@options.NO_OPTIMIZE
@options.JSON
@options.examples(
    "scratch-onnx profile model.onnx x.npy",
    "scratch-onnx profile model.onnx x.npy --no-optimize --trace trace.json",
)
def profile(
    model: str,
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    cast: bool,
    repeats: int,
    warmup: int,
    chrome: str | None,
    no_optimize: bool,
    as_json: bool,
) -> None:
    """Measure each node of MODEL on INPUT: time, bytes moved, GFLOP/s, memory.

    Times are those of the repeat of median length. A trace opens in chrome://tracing and in
    ui.perfetto.dev.
    """
    session = InferenceSession(model, optimize=not no_optimize)
    feed = one_feed(session, model, inputs, texts, cast)
    seen = profile_model(session, feed, repeats=repeats, warmup=warmup)
    if chrome is not None:
        write_text(chrome, json.dumps(seen.chrome_trace()))
    if as_json:
        dump_json(seen.to_dict())
        return
    table(
        ("#", "node", "op", *_NUMERIC),
        [
            (node.index if node.index >= 0 else "", "  " * node.depth + node.name, *_row(node))
            for node in seen.nodes
        ],
        numeric=("#", *_NUMERIC),
    )
    click.echo()
    table(
        ("op", "nodes", *_NUMERIC),
        [(one.op, one.nodes, *_row(one)[1:]) for one in seen.operators],
        numeric=("nodes", *_NUMERIC),
    )
    together = sum(node.seconds for node in seen.nodes if not node.depth)
    click.echo(
        f"\na run: {seen.plain_seconds * 1e3:.3f} ms; watched node by node: "
        f"{seen.seconds * 1e3:.3f} ms, of which the nodes are {together * 1e3:.3f} ms\n"
        f"peak memory beyond inputs and weights: {size_of(seen.peak_bytes)}\n"
        f"the median of {seen.repeats} runs after {seen.warmup} to warm up"
    )
    if chrome is not None:
        click.echo(f"wrote {chrome}")


def _row(one: NodeProfile | OpProfile) -> tuple[object, ...]:
    return (
        one.op,
        one.calls,
        f"{one.seconds * 1e3:.3f}",
        f"{one.share:.1%}",
        size_of(one.bytes),
        "?" if one.flops is None else quantity(one.flops) if one.flops else "-",
        "-" if one.gflops is None else f"{one.gflops:.2f}",
    )
