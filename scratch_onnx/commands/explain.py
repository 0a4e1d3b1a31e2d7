"""``scratch-onnx explain``: what an operator, or one node of a model, does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np

from scratch_onnx.commands import options
from scratch_onnx.feeding import one_feed
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.graph import Node
from scratch_onnx.interpreter.inspection.explain import Explanation, Parameter
from scratch_onnx.interpreter.inspection.explain import explain as explain_operator
from scratch_onnx.interpreter.inspection.inspecting import attribute_text
from scratch_onnx.interpreter.inspection.worked import Worked, work_out
from scratch_onnx.interpreter.types import describe
from scratch_onnx.output import dump_json, on_terminal, printable, table


def _read_index(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"'{text}' is not of the form 0,3,1,1") from None


@click.command()
@click.argument("what", metavar="OP|MODEL", type=click.Path())
@options.INPUTS
@options.TEXT
@options.CAST
@click.option("--node", metavar="NAME", help="Explain this node of MODEL.")
@click.option("--at", metavar="I,J,...", callback=_read_index, help="The element to work out.")
@click.option("--opset", type=click.IntRange(1), help="The operator as this opset has it.")
@click.option("--no-source", is_flag=True, help="Leave the kernel's source out.")
@options.JSON
@options.examples(
    "scratch-onnx explain Conv",
    "scratch-onnx explain model.onnx x.npy --node conv2d/Conv --at 0,3,2,2",
)
def explain(
    what: str,
    inputs: tuple[str, ...],
    texts: tuple[str, ...],
    cast: bool,
    node: str | None,
    at: tuple[int, ...] | None,
    opset: int | None,
    no_source: bool,
    as_json: bool,
) -> None:
    """Explain an operator: specification, formula, attributes, versions, source.

    With --node a node of MODEL; given INPUT too, with the shapes that it meets and one output
    element worked out (by default the largest).
    """
    if node is None:
        if inputs or texts:
            raise click.UsageError("INPUT explains a node of a model: name it by --node")
        seen = explain_operator(what, opset=opset)
        if as_json:
            dump_json(seen.to_dict())
        else:
            _print_operator(seen, not no_source)
        return
    session = InferenceSession(what, optimize=False)
    found = _find(session, node)
    domain = found.domain
    seen = explain_operator(found.op_type, domain=domain, opset=found.opset)
    watched = _Watched(found)
    if inputs or texts:
        session.run(None, one_feed(session, what, inputs, texts, cast), observer=watched)
    worked = None
    if watched.outputs is not None:
        worked = work_out(found, watched.inputs, watched.outputs, at)
    if as_json:
        dump_json({**seen.to_dict(), "node": _node_document(found, watched, worked)})
        return
    _print_operator(seen, not no_source)
    _print_node(found, watched, worked)


def _find(session: InferenceSession, name: str) -> Node:
    nodes = session.model.graph.nodes
    for node in nodes:
        if node.name == name or name in [output for output in node.outputs if output]:
            return node
    near = [n.name for n in nodes if name.lower() in n.name.lower()] or [n.name for n in nodes]
    raise InputError(f"no node is called '{name}'; there are {', '.join(near[:10])}")


class _Watched:
    """An observer that keeps what one node is given and gives, the first time."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.inputs: list[Any] = []
        self.outputs: list[Any] | None = None

    def before(self, node: Node, inputs: Sequence[Any]) -> None:
        """Nothing yet."""

    def after(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Keep the values of the node."""
        if node is self.node and self.outputs is None:
            self.inputs = [v.copy() if isinstance(v, np.ndarray) else v for v in inputs]
            self.outputs = [v.copy() if isinstance(v, np.ndarray) else v for v in outputs]


def _heading(text: str) -> None:
    click.echo()
    click.echo(printable(text))


def _print_operator(seen: Explanation, with_source: bool) -> None:
    title = f"{seen.domain}.{seen.name}" if seen.domain else seen.name
    click.echo(f"{title}, opset {seen.version}")
    if seen.summary:
        click.echo()
        click.echo(seen.summary)
    if seen.url:
        click.echo(f"\n{seen.url}")
    for heading, parameters in (("Inputs", seen.inputs), ("Outputs", seen.outputs)):
        if parameters:
            _heading(heading)
            _print_parameters(parameters)
    if seen.attributes:
        _heading("Attributes")
        _print_parameters(seen.attributes)
    _heading(f"Versions: {_listed(seen.versions) or '-'}; with a kernel: {_listed(seen.supported)}")
    if not seen.source:
        click.echo("There is no kernel for it here.")
        return
    if with_source:
        _heading(f"The kernel ({seen.place})")
        _print_source(seen.source)
    else:
        _heading(f"The kernel ({seen.place}) says")
        click.echo(seen.kernel)


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions)) or "none"


def _print_parameters(parameters: Sequence[Parameter]) -> None:
    table(
        ("name", "type", "default", "what it is"),
        [(p.name, p.type, p.default, p.description) for p in parameters],
    )


def _print_source(source: str) -> None:
    if not on_terminal():
        click.echo(source)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(source, "python", background_color="default"))


def _print_node(node: Node, watched: _Watched, worked: Worked | None) -> None:
    _heading(f"In this model: {node}")
    rows: list[tuple[object, ...]] = []
    rows += [("attribute", name, attribute_text(v)) for name, v in node.attributes.items()]
    for kind, names, values in (
        ("input", node.inputs, watched.inputs),
        ("output", node.outputs, watched.outputs or ()),
    ):
        filled = [*values, *[None] * (len(names) - len(values))]
        known = watched.outputs is not None
        rows += [
            (kind, name or "(absent)", describe(value) if known else "")
            for name, value in zip(names, filled, strict=False)
        ]
    table(("", "name", "value"), rows)
    if worked is None:
        if watched.outputs is None:
            click.echo("\ngive INPUT to see its shapes and one element worked out")
        return
    place = ", ".join(map(str, worked.index))
    _heading(f"One element worked out: {worked.output}[{place}]")
    for line in worked.lines:
        click.echo(printable(line))
    click.echo(f"  = {worked.value:.8g}; the kernel gave {worked.computed:.8g}")


def _node_document(node: Node, watched: _Watched, worked: Worked | None) -> Mapping[str, Any]:
    document: dict[str, Any] = {
        "index": node.index,
        "name": node.name,
        "attributes": {name: attribute_text(v) for name, v in node.attributes.items()},
        "inputs": {n: describe(v) for n, v in zip(node.inputs, watched.inputs, strict=False) if n},
        "outputs": {
            n: describe(v) for n, v in zip(node.outputs, watched.outputs or (), strict=False) if n
        },
    }
    if worked is not None:
        document["worked"] = {
            "output": worked.output,
            "index": list(worked.index),
            "lines": list(worked.lines),
            "value": worked.value,
            "computed": worked.computed,
        }
    return document
