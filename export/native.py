"""ONNX operators inside a TensorFlow graph, for tf2onnx to carry over unchanged.

While a Keras layer is traced, its ``call`` may say which ONNX node it is
instead of spelling itself out in TensorFlow operations. :func:`onnx_op` puts
one operation into the graph: ``XlaCallModule``, the operation that jax2tf
uses for code that TensorFlow does not know. It takes any tensors, states
dtypes and (partly unknown) shapes of its results, and carries a text; it is
never executed. The text names the ONNX operator with its attributes, and
tf2onnx hands the operation to :func:`_write_node`, which writes that node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["HANDLERS", "onnx_op", "prepare_tf2onnx"]

_CARRIER = "XlaCallModule"
_MODULE_VERSION = 9  # any version that the operation's registration accepts; nothing reads it


def onnx_op(
    op_type: str,
    inputs: Sequence[Any | None],
    outputs: Sequence[tuple[Any, Sequence[int | None]] | None],
    **attributes: Any,
) -> list[Any]:
    """Add one ONNX node to the TensorFlow graph that is being traced.

    Args:
        op_type: an operator of the standard ONNX domain.
        inputs: tensors; None for an optional input that is left out.
        outputs: (dtype, shape) of each output; None for one that is not wanted.
        attributes: the node's attributes: numbers, strings, and lists of them.

    Returns:
        One tensor for each output that is not None.
    """
    from tensorflow import TensorShape
    from tensorflow.compiler.tf2xla.python import xla

    description = {
        "op_type": op_type,
        "attributes": attributes,
        "inputs": [value is not None for value in inputs],
        "outputs": [output is not None for output in outputs],
    }
    wanted = [output for output in outputs if output is not None]
    results: list[Any] = xla.call_module(
        [value for value in inputs if value is not None],
        version=_MODULE_VERSION,
        module=json.dumps(description),
        Tout=[dtype for dtype, _ in wanted],
        Sout=[TensorShape(shape) for _, shape in wanted],
        platforms=["CPU"],
    )
    return results


def prepare_tf2onnx() -> None:
    """Tell tf2onnx to pass over an attribute that it cannot read: a list of shapes."""
    from tf2onnx import tf_utils

    tf_utils.TF_IGNORED_NODE_ATTRS.add("Sout")


def _write_node(ctx: Any, node: Any, name: str, _args: Any) -> None:
    """Replace the carrier by the ONNX node that it describes (a tf2onnx handler)."""
    description = json.loads(node.get_attr_value("module"))
    given, results = iter(node.input[:]), iter(node.output[:])
    shapes, dtypes = node.output_shapes, node.output_dtypes
    ctx.remove_node(name)
    outputs = [next(results) if wanted else "" for wanted in description["outputs"]]
    known = iter(zip(shapes, dtypes, strict=True))
    kinds = [next(known) if wanted else (None, None) for wanted in description["outputs"]]
    ctx.make_node(
        description["op_type"],
        [next(given) if present else "" for present in description["inputs"]],
        attr=description["attributes"],
        outputs=outputs,
        name=name,
        shapes=[shape for shape, _ in kinds],
        dtypes=[dtype for _, dtype in kinds],
    )


def _write_erfc(ctx: Any, node: Any, name: str, _args: Any) -> None:
    """Erfc(x) = 1 - Erf(x): Keras's gelu uses it, and ONNX has Erf alone."""
    import numpy as np
    from tf2onnx import utils

    shapes, dtypes, outputs = node.output_shapes, node.output_dtypes, node.output[:]
    value = node.input[0]
    ctx.remove_node(name)
    dtype = utils.map_onnx_to_numpy_type(dtypes[0])
    one = ctx.make_const(utils.make_name(name), np.array(1, dtype))
    erf = ctx.make_node("Erf", [value], shapes=shapes, dtypes=dtypes)
    ctx.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=outputs, name=name,
        shapes=shapes, dtypes=dtypes,
    )  # fmt: skip


HANDLERS: dict[str, tuple[Callable[..., None], list[Any]]] = {
    _CARRIER: (_write_node, []),
    "Erfc": (_write_erfc, []),
}
