"""The command ``scratch-onnx export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from .errors import ExportError, first_line
from .keras_export import ATOL, RTOL, from_keras

__all__ = ["export"]

_EXAMPLES = """\b
Examples:
  scratch-onnx export model.keras -o model.onnx
  scratch-onnx export cnn.h5 -o cnn.onnx --class-names names.txt --sample x.npy
  scratch-onnx export -o net.onnx --builder mynet:build --weights net.weights.h5
  scratch-onnx export text.keras -o text.onnx --vocabulary words.txt --sequence-length 72
"""


@click.command(epilog=_EXAMPLES)
@click.argument("model", required=False)
@click.option("-o", "--output", required=True, metavar="FILE", help="The ONNX file to write.")
@click.option("--opset", default=18, show_default=True, help="Version of the ONNX operators.")
@click.option("--sample", metavar="FILE", help="Input to compare with: .npy, or .npz by name.")
@click.option("--class-names", metavar="FILE", help="Names of the classes, one a line.")
@click.option("--builder", metavar="MODULE:FUNCTION", help="Python function that makes the model.")
@click.option("--weights", metavar="FILE", help="A .weights.h5 for the builder's model.")
@click.option("--vocabulary", metavar="FILE", help="Tokens of a text model, one a line.")
@click.option("--sequence-length", type=int, metavar="N", help="Token ids of one sentence.")
@click.option("--no-check", is_flag=True, help="Do not compare the file with Keras.")
@click.option("--rtol", default=RTOL, show_default=True, help="Of an output's largest value.")
@click.option("--atol", default=ATOL, show_default=True, help="Absolute tolerance.")
def export(
    model: str | None,
    output: str,
    opset: int,
    sample: str | None,
    class_names: str | None,
    builder: str | None,
    weights: str | None,
    vocabulary: str | None,
    sequence_length: int | None,
    no_check: bool,
    rtol: float,
    atol: float,
) -> None:
    """Export a Keras model to ONNX.

    MODEL is a .keras file, a full-model .h5 or a SavedModel folder; with
    --builder it is left out. The file is compared with Keras before it is
    written, and the largest difference is printed.
    """
    if model is None and builder is None:
        raise click.UsageError("Missing argument 'MODEL' (or --builder).")
    report = from_keras(
        model,
        output,
        opset=opset,
        class_names=_lines(class_names) if class_names else None,
        sample=_arrays(sample) if sample else None,
        check=not no_check,
        rtol=rtol,
        atol=atol,
        builder=builder,
        weights=weights,
        vocabulary=_lines(vocabulary) if vocabulary else None,
        text={"output_sequence_length": sequence_length} if sequence_length else None,
    )
    click.echo(str(report))


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"cannot read {path!r}: {error}") from error
    return text.removesuffix("\n").split("\n")


def _arrays(path: str) -> Any:
    """The array of a .npy, or those of an .npz by name. Objects are never unpickled."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return {name: loaded[name] for name in loaded.files}
        return loaded
    except FileNotFoundError as error:
        raise ExportError(f"there is no file {path!r}") from error
    except (OSError, ValueError, EOFError) as error:
        raise ExportError(f"the sample {path!r} cannot be read: {first_line(error)}") from error
