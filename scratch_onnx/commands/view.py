"""``scratch-onnx view``: the graph in Netron, on a local address, until Ctrl-C."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click
import onnx

from scratch_onnx import missing_extra
from scratch_onnx.commands import options
from scratch_onnx.interpreter.errors import ScratchOnnxError
from scratch_onnx.interpreter.loading import convert, read_proto
from scratch_onnx.netron_pages import server_of


@click.command()
@options.MODEL
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="The port of the local address.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@options.examples("scratch-onnx view model.onnx --no-browser --port 8080")
def view(model: str, port: int, no_browser: bool) -> None:
    """Open the graph of MODEL in Netron, with the shapes on its edges.

    Ctrl-C stops it and frees the port. Nothing of the model leaves the machine.
    """
    proto, folders = read_proto(model)
    convert(proto, folders, title=model, supported=False)  # says what is wrong with the file
    data = with_inferred_shapes(proto).SerializeToString()
    try:
        server = server_of(Path(model).with_suffix(".onnx").name, data, port)
    except ModuleNotFoundError as error:
        raise missing_extra("'view'", "view", error) from error
    except OSError as error:
        raise ScratchOnnxError(f"port {port} cannot be used: {error.strerror}") from error
    with server:
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            click.echo(f"{model} is shown at {address} (Ctrl-C stops)")
            if not no_browser:
                webbrowser.open(address)
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo()


def with_inferred_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the inferred shape of every value, or as it is where inference fails."""
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return proto
