"""``scratch-onnx completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from scratch_onnx.commands import options


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@options.examples(
    "scratch-onnx completion bash > ~/.local/share/bash-completion/completions/scratch-onnx",
    'eval "$(scratch-onnx completion zsh)"   # in ~/.zshrc, after compinit',
    "scratch-onnx completion fish > ~/.config/fish/completions/scratch-onnx.fish",
)
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "scratch-onnx", "_SCRATCH_ONNX_COMPLETE")
    click.echo(script.source())
