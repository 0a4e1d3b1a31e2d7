"""Keras to a first ONNX graph: trace a tf.function, and let tf2onnx convert it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnx

from .errors import ExportError, first_line
from .framework import load_frameworks, quiet
from .graphs import nodes_below
from .layers import layer_of, marked_layers
from .lowering import lowering
from .native import HANDLERS, adjusted_tf2onnx, native_einsum
from .signature import InputSpec, functional, pack

__all__ = ["Traced", "supported_opsets", "trace"]


@dataclass
class Traced:
    """What tf2onnx made of a model, and how to read it.

    Inputs and outputs of ``proto`` are in the order of ``inputs`` and ``outputs``.
    """

    proto: onnx.ModelProto
    inputs: Sequence[InputSpec]
    outputs: list[str] = field(default_factory=list)
    shapes: list[tuple[int | None, ...]] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)


def supported_opsets() -> range:
    """The opsets that tf2onnx writes and Keras's layers need."""
    from tf2onnx import constants

    return range(13, max(constants.OPSET_TO_IR_VERSION) + 1)


def trace(
    model: Any,
    specs: Sequence[InputSpec],
    opset: int,
    *,
    sample: Any = None,
    probe: bool = False,
) -> Traced:
    """Convert ``model`` for inference with tf2onnx.

    Args:
        model: a Keras model.
        specs: its inputs.
        opset: the version of the standard ONNX operators to write.
        sample: an input with the structure that a subclassed model takes.
        probe: give the outputs of all layers too, behind the model's own.

    Raises:
        ExportError: TensorFlow cannot trace the model, or tf2onnx cannot express it.
    """
    tensorflow, keras = load_frameworks()
    signature = [
        tensorflow.TensorSpec(spec.shape, spec.dtype, name=f"input_{i}")
        for i, spec in enumerate(specs)
    ]
    traced = Traced(onnx.ModelProto(), specs)

    def record(path: str, outputs: Any) -> None:
        for tensor in keras.tree.flatten(outputs):
            # what a loop's body computes is no value of the graph
            if getattr(tensor, "graph", None) is tensorflow.compat.v1.get_default_graph():
                recorded.append((path, tensor))

    recorded: list[tuple[str, Any]] = []

    def call(*flat: Any) -> list[Any]:
        traced.outputs.clear()
        traced.shapes.clear()
        recorded.clear()
        result = model(pack(model, flat, sample), training=False)
        outputs = keras.tree.flatten_with_path(result)
        traced.outputs += output_names(model, [path for path, _ in outputs])
        tensors = [tensor for _, tensor in outputs]
        if probe:
            traced.outputs += [path for path, _ in recorded]
            tensors += [tensor for _, tensor in recorded]
        traced.shapes += [tuple(tensor.shape) for tensor in tensors]
        return tensors

    def inlined(*flat: Any) -> list[Any]:
        tensorflow.config.run_functions_eagerly(True)
        try:
            return call(*flat)
        finally:
            tensorflow.config.run_functions_eagerly(False)

    lower = functools.partial(lowering, opset=opset)
    layers = marked_layers(model, lower, record if probe else None)
    with quiet(), adjusted_tf2onnx(), native_einsum(), layers as traced.paths:
        # a tf.function that a layer compiles by itself stays a call, unless it is inlined
        for body in (call, inlined):
            traced.proto = _convert(body, signature, opset, model.name)
            unknown = _unknown_operators(traced)
            if not any("PartitionedCall" in operator for operator in unknown):
                break
    if unknown:
        raise ExportError(
            "tf2onnx cannot express these TensorFlow operations in ONNX: " + ", ".join(unknown)
        )
    return traced


def _convert(
    body: Callable[..., list[Any]], signature: Sequence[Any], opset: int, name: str
) -> onnx.ModelProto:
    """Trace one function and convert it."""
    import tensorflow
    import tf2onnx

    function = tensorflow.function(body, input_signature=signature, autograph=False)
    try:
        proto, _ = tf2onnx.convert.from_function(
            function,
            input_signature=signature,
            opset=opset,
            custom_op_handlers=dict(HANDLERS),
        )
        _store_captures(proto, function.get_concrete_function(), len(signature))
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(f"the model {name!r} cannot be converted: {first_line(error)}") from error
    return cast(onnx.ModelProto, proto)


def _store_captures(proto: onnx.ModelProto, function: Any, inputs: int) -> None:
    """Turn tensors that the trace captured (a Normalization's mean) from inputs to initializers."""
    values = {internal.name: external for external, internal in function.graph.captures}
    for value in proto.graph.input[inputs:]:
        array = np.asarray(values[value.name])
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    del proto.graph.input[inputs:]


def output_names(model: Any, paths: Sequence[tuple[Any, ...]]) -> list[str]:
    """Name the outputs as Keras does: a dict's keys, else the layers that give them."""
    graph = functional(model)
    layers = list(getattr(graph, "output_names", None) or [])
    names: list[str] = []
    for index, path in enumerate(paths):
        if path and isinstance(path[-1], str):
            names.append(path[-1])
        elif len(layers) == len(paths):
            names.append(layers[index])
        else:
            names.append("output" if len(paths) == 1 else f"output_{index}")
    return names


def _unknown_operators(traced: Traced) -> list[str]:
    """The TensorFlow operations that tf2onnx left as they were, each with its layer."""
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    unknown = {
        f"{node.op_type} in {layer_of(node.name, traced.paths) or 'the model'}"
        for node in nodes_below(traced.proto.graph)
        if node.domain not in ("", "ai.onnx") or node.op_type not in known
    }
    return sorted(unknown)
