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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from unittest import mock

from .framework import Array

__all__ = ["HANDLERS", "adjusted_tf2onnx", "native_einsum", "onnx_op", "values"]

_CARRIER = "XlaCallModule"
_MODULE_VERSION = 9  # any version that the operation's registration accepts; nothing reads it


def onnx_op(
    op_type: str,
    inputs: Sequence[Any | None],
    outputs: Sequence[tuple[Any, Sequence[int | None]]],
    **attributes: Any,
) -> list[Any]:
    """Add one ONNX node to the TensorFlow graph that is being traced.

    Args:
        op_type: an operator of the standard ONNX domain.
        inputs: tensors; None for an optional input that is left out.
        outputs: (dtype, shape) of each output.
        attributes: the node's attributes: numbers, strings, and lists of them.

    Returns:
        One tensor for each output.
    """
    from tensorflow import TensorShape
    from tensorflow.compiler.tf2xla.python import xla

    description = {
        "op_type": op_type,
        "attributes": attributes,
        "inputs": [value is not None for value in inputs],
    }
    results: list[Any] = xla.call_module(
        [value for value in inputs if value is not None],
        version=_MODULE_VERSION,
        module=json.dumps(description),
        Tout=[dtype for dtype, _ in outputs],
        Sout=[TensorShape(shape) for _, shape in outputs],
        platforms=["CPU"],
    )
    return results


def values(variable: Any) -> Array:
    """A layer's weight as an array, also in the middle of a trace."""
    import tensorflow as tf

    with tf.init_scope():
        return cast(Array, tf.convert_to_tensor(variable).numpy())


@contextmanager
def native_einsum() -> Iterator[None]:
    """While active, ``keras.ops.einsum`` adds one Einsum.

    Keras's attention layers and EinsumDense are written in it, and its
    TensorFlow form reshapes around a matrix product with sizes read at run time.
    """
    from keras.src import backend

    original = backend.numpy.einsum

    def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
        tensors = [backend.convert_to_tensor(operand) for operand in operands]
        terms, arrow, result = subscripts.replace(" ", "").partition("->")
        one_float = len({t.dtype for t in tensors}) == 1 and tensors[0].dtype.is_floating
        if not arrow or "." in subscripts or not one_float:
            return original(subscripts, *operands, **kwargs)
        sizes: dict[str, int | None] = {}
        for term, tensor in zip(terms.split(","), tensors, strict=True):
            for label, size in zip(term, tensor.shape, strict=True):
                sizes[label] = sizes.get(label) or size
        shape = [sizes[label] for label in result]
        (output,) = onnx_op(
            "Einsum", tensors, [(tensors[0].dtype, shape)], equation=f"{terms}->{result}"
        )
        return output

    with mock.patch.object(backend.numpy, "einsum", einsum):
        yield


@contextmanager
def adjusted_tf2onnx() -> Iterator[None]:
    """While active, two things are otherwise in tf2onnx, for which it has no argument.

    It passes over an attribute that it cannot read, a list of shapes; and it
    keeps Einsum, which it would spell out in reshapes of sizes read at run time.
    """
    from tf2onnx import optimizer, tf_utils

    ignored, optimizers = tf_utils.TF_IGNORED_NODE_ATTRS, optimizer._optimizers
    with (
        mock.patch.object(tf_utils, "TF_IGNORED_NODE_ATTRS", {*ignored, "Sout"}),
        mock.patch.dict(optimizers),
    ):
        optimizers.pop("einsum_optimizer", None)
        yield


def _write_node(ctx: Any, node: Any, name: str, _args: Any) -> None:
    """Replace the carrier by the ONNX node that it describes (a tf2onnx handler)."""
    description = json.loads(node.get_attr_value("module"))
    given, outputs = iter(node.input[:]), node.output[:]
    shapes, dtypes = node.output_shapes, node.output_dtypes
    ctx.remove_node(name)
    ctx.make_node(
        description["op_type"],
        [next(given) if present else "" for present in description["inputs"]],
        attr=description["attributes"],
        outputs=outputs,
        name=name,
        shapes=shapes,
        dtypes=dtypes,
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


def _write_where(ctx: Any, node: Any, name: str, _args: Any) -> None:
    """SelectV2 is Where; tf2onnx would multiply by the condition, and 0 times NaN is NaN."""
    inputs, outputs = node.input[:], node.output[:]
    shapes, dtypes = node.output_shapes, node.output_dtypes
    ctx.remove_node(name)
    ctx.make_node("Where", inputs, outputs=outputs, name=name, shapes=shapes, dtypes=dtypes)


HANDLERS: dict[str, tuple[Callable[..., None], list[Any]]] = {
    _CARRIER: (_write_node, []),
    "Erfc": (_write_erfc, []),
    "SelectV2": (_write_where, []),
}
