"""Types and shapes of every value, by onnx's own inference."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

# What onnx.shape_inference wraps: from bytes to bytes, and without the rest of onnx.
from onnx.onnx_cpp2py_export.shape_inference import infer_shapes
from onnx.onnx_pb import GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto

from .errors import ModelError
from .graph import Function, Graph, Node
from .support import walk
from .types import TensorType, Type, type_of_proto

# Inference reads the values of small tensors only (shapes, axes, pads, scales);
# larger ones would just be copied into its serialised model.
_SMALL = 256

# Where it follows the values of shapes (``data_prop``), inference takes every vector for a shape
# and makes a message for each of its elements: a Range to 2**40 would fill any memory.
_LONG = 2**16

_TERM = r"[A-Za-z]*(\.\.\.)?[A-Za-z]*"
_EQUATION = f"{_TERM}(,{_TERM})*(->{_TERM})?"

# What inference says of valid models: it reads axes and the like as int64 only, where int32 is
# allowed too, and does not know the default axes of MeanVarianceNormalization.
_FAULTS_OF_ONNX = (
    "expected to have type but instead is null",  # behind an operator that onnx does not know
    "of input 'sizes' (0) must be",  # of Resize, where their number is not known
    "already exists",  # data propagation, where two subgraphs have a name in common
    "ParseData type mismatch",
    "op_type:MeanVarianceNormalization",
)

# onnx knows no operators of onnxruntime's: operators of its own that give the same type, with the
# inputs (from the first on, every so many) that decide it, and since when they take bytes.
_STAND_INS = {
    "QLinearAdd": ("Max", slice(0, 6, 3), 12),
    "QLinearMul": ("Max", slice(0, 6, 3), 12),
    "QLinearConcat": ("Concat", slice(2, None, 3), 4),
    "QLinearLeakyRelu": ("Identity", slice(0, 1), 1),
    "QLinearSigmoid": ("Identity", slice(0, 1), 1),
    "QLinearSoftmax": ("Identity", slice(0, 1), 1),
}


def infer_types(proto: ModelProto, graph: Graph, functions: Sequence[Function]) -> dict[str, Type]:
    """The type of every value by name, as far as it can be known.

    ``graph`` and ``functions`` are the proto's own with their nodes in order,
    which inference needs.

    Raises ``ModelError`` where the model contradicts itself: shapes that do not
    fit an operator, or element types that its specification does not allow.
    """
    for node in (*walk(graph), *(node for function in functions for node in function.nodes)):
        _check_trusted(node)
    light = _without_weights(proto)
    _put_in_order(light.graph.node, graph.nodes)
    for message, function in zip(light.functions, functions, strict=True):
        _put_in_order(message.node, function.nodes)
    types = _infer(light, data_prop=False)
    # What happens inside functions cannot be seen.
    if functions or any(_is_long(known) for known in types.values()):
        return types
    return _infer(light, data_prop=True)


def _check_trusted(node: Node) -> None:
    """Refuse what onnx's inference takes for granted: it would crash, or never end."""
    if node.op_type == "Split" and not node.domain:
        parts = node.attributes.get("num_outputs", len(node.outputs))
        if isinstance(parts, int) and parts != len(node.outputs):
            raise ModelError(f"{node} has {len(node.outputs)} outputs, and num_outputs is {parts}")
    if node.op_type == "Einsum" and not node.domain:
        equation = node.attributes.get("equation")
        if isinstance(equation, str) and not re.fullmatch(_EQUATION, equation.replace(" ", "")):
            raise ModelError(
                f"{node}: the equation {equation!r} is not made of terms like 'ij' or '...i', "
                f"with commas between them and one '->' at most"
            )


def _is_long(known: Type) -> bool:
    shape = known.shape if isinstance(known, TensorType) else None
    return shape is not None and len(shape) == 1 and isinstance(shape[0], int) and shape[0] > _LONG


def _infer(light: ModelProto, *, data_prop: bool) -> dict[str, Type]:
    try:
        graph = _run(light, data_prop, strict=True)
    except ModelError as error:
        if not any(fault in str(error.__cause__) for fault in _FAULTS_OF_ONNX):
            raise
        graph = _run(light, data_prop, strict=False)
    types: dict[str, Type] = {}
    _collect(graph, types)
    return types


def _run(light: ModelProto, data_prop: bool, strict: bool) -> GraphProto:
    check_type = True
    try:
        inferred = infer_shapes(light.SerializeToString(), check_type, strict, data_prop)
        graph: GraphProto = ModelProto.FromString(inferred).graph
    except Exception as error:  # its own, its checker's, or C++'s about what it did not expect
        raise ModelError(_sentence(str(error))) from error
    return graph


def _collect(graph: GraphProto, types: dict[str, Type]) -> None:
    for values in (graph.value_info, graph.input, graph.output):
        for value in values:
            known = type_of_proto(value.type)
            if known is not None:
                types[value.name] = known
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _collect(attribute.g, types)


def _without_weights(proto: ModelProto) -> ModelProto:
    light = ModelProto()
    light.ir_version = proto.ir_version
    light.opset_import.extend(proto.opset_import)
    standard = {entry.domain: entry.version for entry in proto.opset_import}
    for name, other in (("", "ai.onnx"), ("ai.onnx", "")):  # the one domain under both its names
        if name not in standard:
            version = standard.get(other, 1)
            light.opset_import.append(OperatorSetIdProto(domain=name, version=version))
    light.functions.extend(proto.functions)
    graph = light.graph
    graph.name = proto.graph.name
    graph.node.extend(proto.graph.node)
    version = max(entry.version for entry in light.opset_import if entry.domain in ("", "ai.onnx"))
    for node in graph.node:  # inference names the node in its message
        node.name = node.name or next((name for name in node.output if name), "")
        if node.domain == "com.microsoft":
            _stand_in(node, version)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    for tensor in proto.graph.initializer:
        external = tensor.data_location == TensorProto.EXTERNAL
        if external or math.prod(tensor.dims) > _SMALL:
            graph.initializer.append(
                TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            )
        else:
            graph.initializer.append(tensor)
    for sparse in proto.graph.sparse_initializer:  # dense wherever it is read
        values = sparse.values
        graph.initializer.append(
            TensorProto(name=values.name, data_type=values.data_type, dims=sparse.dims)
        )
    return light


def _stand_in(node: NodeProto, version: int) -> None:
    op_type, deciding, since = _STAND_INS.get(node.op_type, ("", slice(0), 0))
    if not op_type or version < since:
        return
    inputs = list(node.input)[deciding]
    node.op_type, node.domain = op_type, ""
    node.input[:] = inputs
    if op_type != "Concat":
        del node.attribute[:]


def _put_in_order(protos: Any, nodes: Sequence[Node]) -> None:
    """Put messages of nodes, and of those in their subgraphs, into the order of ``nodes``."""
    order = [node.index for node in nodes]
    if order != sorted(order):
        copies = [NodeProto.FromString(protos[index].SerializeToString()) for index in order]
        del protos[:]
        protos.extend(copies)
    for proto, node in zip(protos, nodes, strict=True):
        for attribute in proto.attribute:
            value = node.attributes.get(attribute.name)
            if isinstance(value, Graph):
                _put_in_order(attribute.g.node, value.nodes)


def _sentence(message: str) -> str:
    """One line of onnx's message: the first inner error, with its node."""
    match = re.search(
        r"\(op_type:\s*(\w+)(?:,\s*node name:\s*(.*?))?\):\s*(.*)", message, flags=re.DOTALL
    )
    if match is None:
        return f"the model contradicts itself: {' '.join(message.split())}"
    op_type, name, rule = match.groups()
    rule = " ".join(re.sub(r"\[\w+\]\s*", "", rule).split())
    where = f"node '{name}' ({op_type})" if name else f"a node of type {op_type}"
    return f"{where}: {rule}"
