"""``scratch-onnx inspect``: what a model is, without running it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from scratch_onnx.commands import options
from scratch_onnx.interpreter.inspection.inspecting import Inspection, NodeInfo, ValueInfo
from scratch_onnx.interpreter.inspection.inspecting import inspect as inspect_model
from scratch_onnx.output import dump_json, printable, quantity, size_of, table


def read_shapes(
    _ctx: click.Context, _option: click.Parameter, given: Sequence[str]
) -> dict[str, list[int]]:
    """``input=32,3,224,224`` or ``batch=32`` as a dict; wrong usage where it is neither."""
    shapes = {}
    for text in given:
        name, equals, dims = text.rpartition("=")
        sizes = dims.split(",")
        if not equals or not name or not all(d.isascii() and d.isdigit() for d in sizes):
            raise click.BadParameter(f"'{text}' is not of the form input=32,3 or dimension=32")
        shapes[name] = [int(size) for size in sizes]
    return shapes


SHAPES = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=N,...",
    callback=read_shapes,
    help="Set an input's dimensions (all, or the first), or a free dimension by its name.",
)


@click.command()
@options.MODEL
@SHAPES
@options.JSON
@click.option("--text", "as_text", is_flag=True, help="Print a record a line, for grep and cut.")
@options.examples(
    "scratch-onnx inspect model.onnx --shape input=32,3,224,224",
    "scratch-onnx inspect model.onnx --text | grep Conv",
)
def inspect(model: str, shapes: dict[str, list[int]], as_json: bool, as_text: bool) -> None:
    """Show what MODEL is: inputs, outputs, nodes, parameters, costs.

    Costs are of one run with the dimensions of --shape; free ones count as 1. One multiply-add (a
    MAC) is two FLOPs.
    """
    if as_json and as_text:
        raise click.UsageError("give --json or --text, not both")
    seen = inspect_model(model, shapes)
    if as_json:
        dump_json(seen.to_dict())
    elif as_text:
        _print_records(seen)
    else:
        _print_tables(model, seen)


def shape_text(value: ValueInfo) -> str:
    """``float 32×3×?`` for a value."""
    return str(value).removeprefix(value.name).strip()


def _named(value: ValueInfo) -> str:
    return f"{value.name or '(absent)'}: {shape_text(value)}" if value.name else "(absent)"


def _count(value: int | None) -> str:
    return "?" if value is None else quantity(value) if value else "-"


def _print_tables(model: str, seen: Inspection) -> None:
    opsets = ", ".join(f"{domain or 'ai.onnx'} {n}" for domain, n in seen.opsets.items())
    facts = [
        ("model", model),
        ("size", size_of(seen.file_bytes or 0)),
        ("producer", seen.producer or "-"),
        ("IR version, opsets", f"{seen.ir_version}; {opsets}"),
        ("parameters", f"{quantity(seen.parameters)} ({size_of(seen.parameter_bytes)})"),
        ("MACs, FLOPs", f"{quantity(seen.macs)}, {quantity(seen.flops)}" + _assumed(seen)),
        ("operators", ", ".join(f"{op} {count}" for op, count in seen.operators.items())),
    ]
    if seen.description:
        facts.insert(1, ("description", seen.description))
    table(("", ""), facts)
    values = [("input", v.name, shape_text(v)) for v in seen.inputs]
    values += [("output", v.name, shape_text(v)) for v in seen.outputs]
    click.echo()
    table(("", "name", "type"), values)
    if seen.metadata:
        click.echo()
        table(("metadata", "value"), list(seen.metadata.items()))
    click.echo()
    table(
        ("#", "name", "op", "inputs", "outputs", "attributes", "parameters", "MACs", "FLOPs"),
        [_node_row(node) for node in seen.nodes],
        numeric=("#", "parameters", "MACs", "FLOPs"),
    )
    _print_problems(seen)


def _assumed(seen: Inspection) -> str:
    text = f" (with {', '.join(seen.assumed)} = 1)" if seen.assumed else ""
    unknown = len(seen.unknown_costs)
    return text + (f"; {unknown} nodes of unknown cost not counted" if unknown else "")


def _node_row(node: NodeInfo) -> tuple[object, ...]:
    return (
        node.index if not node.depth else "",
        "  " * node.depth + node.name,
        node.op,
        ", ".join(_named(value) for value in node.inputs),
        ", ".join(_named(value) for value in node.outputs),
        ", ".join(f"{name}={text}" for name, text in node.attributes.items()),
        _count(node.parameters),
        _count(node.macs),
        _count(node.flops),
    )


def _print_problems(seen: Inspection) -> None:
    click.echo()
    if not seen.unsupported:
        click.echo("every operator is supported")
    for problem, nodes in seen.unsupported.items():
        click.echo(printable(f"not supported: {problem} (node {', '.join(nodes)})"))


def _print_records(seen: Inspection) -> None:
    """A kind, then fields, separated by tabs."""

    def record(*fields: object) -> None:
        click.echo("\t".join(printable(field) for field in fields))

    for name in ("producer", "description", "ir_version", "file_bytes"):
        record(name, getattr(seen, name))
    for domain, version in seen.opsets.items():
        record("opset", domain or "ai.onnx", version)
    for key, value in seen.metadata.items():
        record("metadata", key, value)
    for name in ("parameters", "parameter_bytes", "macs", "flops"):
        record(name, getattr(seen, name))
    for op, count in seen.operators.items():
        record("operator", op, count)
    for kind, values in (("input", seen.inputs), ("output", seen.outputs)):
        for value_ in values:
            record(kind, value_.name, shape_text(value_))
    for node in seen.nodes:
        record("node", *_node_row(node)[:6], node.parameters, node.macs, node.flops)
    for problem, nodes in seen.unsupported.items():
        record("unsupported", problem, *nodes)
