"""What one node was given, in a folder, so that its fault can be shown again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper

from scratch_onnx.files import Array, Writer, storable
from scratch_onnx.interpreter.inspection.compare import Finding
from scratch_onnx.interpreter.types import enum_of_dtype


def save_repro(folder: str, model: str, finding: Finding) -> str:
    """Write the node's inputs, what the other side gave, and the node as a model of its own.

    Returns the command that shows the fault again, or where the inputs are
    where the node cannot be a model: it takes sequences, or was inlined.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    inputs, wanted = _arrays(finding.inputs), _arrays(finding.want)
    for file, arrays in (("inputs.npz", inputs), ("expected.npz", wanted)):
        with Writer(str(place / file), list(arrays)) as writer:
            writer.add(list(arrays.values()))
            writer.finish()
    proto = onnx.load(model, load_external_data=False)
    node = _node_of(proto, finding)
    if node is None or len(inputs) < len(finding.inputs):
        return f"its inputs are in {place / 'inputs.npz'}"
    alone = _model_of(proto, node, inputs, wanted)
    onnx.save(alone, place / "node.onnx")
    return (
        f"scratch-onnx run {place / 'node.onnx'} {place / 'inputs.npz'} "
        f"--expect {place / 'expected.npz'}"
    )


def _arrays(values: Any) -> dict[str, Array]:
    return {
        name: storable(name, np.asarray(value))
        for name, value in values.items()
        if isinstance(value, np.ndarray)
    }


def _node_of(proto: onnx.ModelProto, finding: Finding) -> NodeProto | None:
    wanted = [name for name in finding.node.outputs if name]
    node: NodeProto
    for node in proto.graph.node:
        if node.op_type == finding.node.op_type and [n for n in node.output if n] == wanted:
            return node
    return None


def _model_of(
    proto: onnx.ModelProto, node: NodeProto, inputs: dict[str, Array], wanted: dict[str, Array]
) -> onnx.ModelProto:
    def value(name: str, array: Array) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, enum_of_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        [node],
        "one node",
        [value(name, array) for name, array in inputs.items()],
        [value(name, array) for name, array in wanted.items()],
    )
    return helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
