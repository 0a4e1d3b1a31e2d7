"""The commands of ``scratch-onnx``, a module each, and the group that they make.

A command is imported when it is called, so that ``run`` loads nothing that it
does not use. Errors that the project raises on purpose are one line and exit
code 1; wrong usage is exit code 2.
"""

from __future__ import annotations

import errno
import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from scratch_onnx import __version__, missing_extra
from scratch_onnx.cli import INTERRUPTED
from scratch_onnx.interpreter.errors import ScratchOnnxError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# name → (where the command is, its line in the list of commands)
COMMANDS = {
    "run": ("scratch_onnx.commands.run:run", "Run a model on input from files."),
    "inspect": ("scratch_onnx.commands.inspect:inspect", "Show what a model is, node by node."),
    "view": ("scratch_onnx.commands.view:view", "Open a model's graph in Netron."),
    "trace": ("scratch_onnx.commands.trace:trace", "Show every value of a run as it is computed."),
    "compare": (
        "scratch_onnx.commands.compare:compare",
        "Compare node by node with onnxruntime, Keras, a file.",
    ),
    "profile": ("scratch_onnx.commands.profile:profile", "Measure each node: time, bytes, FLOPs."),
    "explain": ("scratch_onnx.commands.explain:explain", "Explain an operator, or a node at work."),
    "ops": ("scratch_onnx.commands.ops:ops", "List all operators and what is supported."),
    "export": ("scratch_onnx.export.command:export", "Export a Keras model to ONNX."),
    "experiments": (
        "scratch_onnx.experiments.command:experiments",
        "Train, score and report the experiments.",
    ),
    "completion": (
        "scratch_onnx.commands.completion:completion",
        "Print the completion script for a shell.",
    ),
}
# The extra that brings the packages that a command may lack.
EXTRAS = {"export": "export", "experiments": "experiments", "view": "view"}

_DEBUG = "scratch_onnx.debug"


class Commands(click.Group):
    """A group that imports a command when it is called, and prints errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("scratch_onnx"):
                raise
            raise click.ClickException(
                str(missing_extra(f"'{cmd_name}'", EXTRAS.get(cmd_name, cmd_name), error))
            ) from error
        finally:
            gc.freeze()
            gc.enable()
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params.append(_debug_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the table: help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table, too: a press of Tab imports no command."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            broken_pipe = isinstance(error, OSError) and error.errno == errno.EPIPE
            if broken_pipe or ctx.meta.get(_DEBUG):
                raise
            name = ctx.invoked_subcommand or ""
            if isinstance(error, ModuleNotFoundError) and name in EXTRAS:
                error = missing_extra(f"'{name}'", EXTRAS[name], error)
            raise click.ClickException(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    """One line for an error; what nobody foresaw is called by its name."""
    text = " ".join(str(error).split())
    if isinstance(error, ScratchOnnxError):
        return text
    if isinstance(error, MemoryError):
        return f"not enough memory: {text or 'use a smaller --batch-size'}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the output cannot be written: No space left on device"
    return f"unexpected {type(error).__name__}: {text} (--debug shows where)"


def _remember(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_DEBUG] = True


def _debug_option() -> click.Option:
    """``--debug``, which may stand before and behind the command's name."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Show the traceback of an error.",
    )


@click.command(cls=Commands, params=[_debug_option()])
@click.version_option(__version__, "--version", prog_name="scratch-onnx")
@click.help_option("-h", "--help")
def cli() -> None:
    """Run ONNX models in pure NumPy, and see every step.

    \b
    Example:
      scratch-onnx run model.onnx x.npy --top 3

    Shell completion: scratch-onnx completion --help
    """
