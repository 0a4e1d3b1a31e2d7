"""``scratch-onnx view``: the graph in Netron, on a local address, until Ctrl-C."""

from __future__ import annotations

import logging
import socket

import click
import onnx

from scratch_onnx.commands import options
from scratch_onnx.interpreter.errors import ScratchOnnxError
from scratch_onnx.interpreter.loading import convert, read_proto


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

    Ctrl-C stops it and frees the port.
    """
    import netron

    proto, folders = read_proto(model)
    convert(proto, folders, title=model, supported=False)  # says what is wrong with the file
    logging.getLogger("netron").setLevel(logging.WARNING)
    data = bytearray(with_inferred_shapes(proto).SerializeToString())
    try:
        if port:
            _check_free(port)
        _, chosen = netron.serve(model, data, ("localhost", port), browse=not no_browser)
    except OSError as error:
        raise ScratchOnnxError(f"port {port} cannot be used: {error.strerror}") from error
    click.echo(f"{model} is shown at http://localhost:{chosen} (Ctrl-C stops)")
    netron.wait()  # until Ctrl-C, after which it stops the server


def _check_free(port: int) -> None:
    """Netron waits for ever where its port is taken: find out before."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("localhost", port))


def with_inferred_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the inferred shape of every value, or as it is where inference fails."""
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return proto
