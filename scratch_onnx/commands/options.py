"""Arguments that several commands share, and how a session is made for them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

MODEL = click.argument("model", metavar="MODEL", type=click.Path())
INPUTS = click.argument("inputs", metavar="[INPUT]...", nargs=-1, type=click.Path())
CAST = click.option("--cast", is_flag=True, help="Convert inputs to the dtype the model takes.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
TEXT = click.option(
    "--text",
    "texts",
    multiple=True,
    metavar="SENTENCE",
    help="Feed a sentence instead of a file (may be repeated).",
)
THREADS = click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Threads of a run; default: all cores."
)
PRECISION = click.option(
    "--precision",
    type=click.Choice(["default", "strict", "fast"]),
    default="default",
    show_default=True,
    help="Forms of 3×3 convolution: strict the direct one, fast also the less exact.",
)
NO_OPTIMIZE = click.option(
    "--no-optimize", is_flag=True, help="Run the graph node by node as the file has it."
)


def examples(*lines: str) -> Callable[[F], F]:
    """Add an example to the end of a command's help."""

    def add(function: F) -> F:
        text = "\n".join(f"  {line}" for line in lines)
        function.__doc__ = f"{cleandoc(function.__doc__ or '')}\n\n\b\nExample:\n{text}\n"
        return function

    return add
