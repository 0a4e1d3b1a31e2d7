"""``scratch-onnx run``: a model's outputs for input from files, whole or as a stream of batches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import click

from scratch_onnx.commands import options
from scratch_onnx.feeding import Batches, read_inputs
from scratch_onnx.files import Writer
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.labels import check_labels, class_names, has_classes, ranked
from scratch_onnx.output import on_terminal
from scratch_onnx.results import Best, JsonResults, TextResults
from scratch_onnx.texts import encode_texts


@click.command()
@options.MODEL
@options.INPUTS
@options.TEXT
@click.option("-o", "--output", metavar="FILE", help="Write the outputs to a .npy or .npz.")
@click.option("--top", type=click.IntRange(1), metavar="K", help="Print each row's K best classes.")
@click.option("--labels", metavar="FILE", help="Names of the classes, one a line.")
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Stream N rows at a time.")
@options.CAST
@click.option("--expect", metavar="FILE", help="Compare with a .npy or .npz; exit 1 if different.")
@click.option("--rtol", type=click.FloatRange(0), default=1e-5, show_default=True)
@click.option("--atol", type=click.FloatRange(0), default=1e-5, show_default=True)
@options.JSON
@options.THREADS
@options.PRECISION
@options.NO_OPTIMIZE
@click.pass_context
@options.examples(
    "scratch-onnx run model.onnx x.npy --top 3",
    "scratch-onnx run model.onnx left=a.npy right=b.npy -o out.npz",
    "scratch-onnx run model.onnx big.npy --batch-size 64 -o out.npy",
    "scratch-onnx run reviews.onnx --text 'bagus sekali'",
)
def run(
    ctx: click.Context,
    model: str,
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    output: str | None,
    top: int | None,
    labels: str | None,
    batch_size: int | None,
    cast: bool,
    expect: str | None,
    rtol: float,
    atol: float,
    as_json: bool,
    threads: int | None,
    precision: str,
    no_optimize: bool,
) -> None:
    """Run MODEL on INPUT and print its outputs.

    INPUT is x.npy, NAME=x.npy where there are several inputs, an .npz whose keys are input names,
    or - for a .npy on standard input.
    """
    if texts and inputs:
        raise click.UsageError("give INPUT or --text, not both")
    session = InferenceSession(
        model, optimize=not no_optimize, threads=threads, precision=precision
    )
    feed = encode_texts(session, model, texts) if texts else read_inputs(session, inputs)
    batches = Batches.of(session, feed, cast, batch_size)
    names = [value.name for value in session.get_outputs()]
    if top is None and (labels is not None or texts):
        top = 1
    classes = class_names(session.model.metadata, labels) if top else None
    show = JsonResults(names, keep=output is None) if as_json else TextResults(names)
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(output, names, batches.rows)) if output else None
        expected = None
        if expect:
            from scratch_onnx.expected import Expected

            expected = Expected(expect, names, batches.rows, rtol, atol)
        start = 0
        for count, fed in stack.enter_context(_progress(batches)):
            outputs = session.run(None, fed)
            batches.check_rows(names, outputs, count)
            if writer is not None:
                writer.add(outputs)
            if expected is not None:
                expected.add(outputs)
            if top:
                show.best(start, outputs, _best(names, outputs, top, classes, labels), texts)
            elif writer is None:
                show.values(outputs, streamed=batches.rows is not None)
            start += count
        if writer is not None:
            writer.finish()
    show.finish(output, batches.rows)
    if expected is not None:
        show.expectation(expected)
    show.close()
    if expected is not None and not expected.equal:
        ctx.exit(1)


def _best(
    names: Sequence[str],
    outputs: Sequence[Any],
    top: int,
    classes: Sequence[str] | None,
    labels: str | None,
) -> Best:
    """For each output that has classes: its rows, each with (class, name, score)."""
    scored = [
        (name, output) for name, output in zip(names, outputs, strict=True) if has_classes(output)
    ]
    if not scored:
        raise InputError("--top needs an output of shape [classes] or [rows, classes]")
    if classes is not None and labels is not None:
        check_labels(classes, [output.shape[-1] for _, output in scored], labels)
    result = []
    for name, output in scored:
        titles = classes if classes is not None and len(classes) == output.shape[-1] else None
        rows = [
            [(index, titles[index] if titles else "", score) for index, score in row]
            for row in ranked(output, top)
        ]
        result.append((name, rows))
    return result


class _progress:  # noqa: N801 - used as a function
    """The batches, with a progress bar on standard error where that is a terminal."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.stack = ExitStack()

    def __enter__(self) -> Iterable[tuple[int, dict[str, Any]]]:
        rows = self.batches.rows
        if rows is None or rows <= (self.batches.size or 0) or not on_terminal(sys.stderr):
            return self.batches
        bar = self.stack.enter_context(
            click.progressbar(length=rows, label="rows", show_pos=True, file=sys.stderr)
        )
        return self._advancing(bar)

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _advancing(self, bar: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        for count, fed in self.batches:
            yield count, fed
            bar.update(count)
