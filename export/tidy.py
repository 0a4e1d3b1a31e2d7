"""Small rewrites of the ONNX graph that tf2onnx wrote: as small and as readable as the model.

Each pass is one function over the graph; :func:`tidy` runs them in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from .signature import InputSpec

__all__ = ["name_dimensions", "nodes_below", "subgraphs", "tidy"]


def tidy(model: onnx.ModelProto, specs: Sequence[InputSpec]) -> onnx.ModelProto:
    """Return the model with named dimensions, constant shapes and every value's shape inferred."""
    name_dimensions(model.graph, specs)
    model = infer_shapes(model)
    while make_reshapes_constant(model.graph):
        remove_unused(model.graph)
        model = infer_shapes(model)
    remove_unused(model.graph)
    return model


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of a Loop, an If or a Scan."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def nodes_below(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of the bodies inside it."""
    for node in graph.node:
        yield node
        for body in subgraphs(node):
            yield from nodes_below(body)


def name_dimensions(graph: onnx.GraphProto, specs: Sequence[InputSpec]) -> None:
    """Name the variable dimensions of the inputs: the first is ``batch``, shared by all of them."""
    for value, spec in zip(graph.input, specs, strict=True):
        shape = value.type.tensor_type.shape
        shape.ClearField("dim")
        for axis, size in enumerate(spec.shape):
            dimension = shape.dim.add()
            if size is not None:
                dimension.dim_value = size
            else:
                dimension.dim_param = _dimension_name(spec, axis, alone=len(specs) == 1)


def _dimension_name(spec: InputSpec, axis: int, *, alone: bool) -> str:
    if axis == 0:
        return "batch"
    rank = len(spec.shape)
    spatial = {4: ("height", "width"), 5: ("depth", "height", "width")}.get(rank, ("length",))
    name = spatial[axis - 1] if axis <= len(spatial) else f"dim_{axis}"
    return name if alone else f"{spec.name}_{name}"


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer all shapes from the inputs' alone, forgetting what was claimed before."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return shape_inference.infer_shapes(model, data_prop=True)


def make_reshapes_constant(graph: onnx.GraphProto) -> int:
    """Give Reshape a constant shape wherever the inferred one says enough; return how many.

    TensorFlow computes the shape at run time (Shape, Gather, Cast, Slice and
    Concat) for a batch of any size. 0 copies a dimension of the input, and -1
    is the one dimension that is left over.
    """
    known = {v.name: v.type.tensor_type.shape for v in [*graph.value_info, *graph.output]}
    known |= {v.name: v.type.tensor_type.shape for v in graph.input}
    constants = {initializer.name for initializer in graph.initializer}
    changed = 0
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] in constants:
            continue
        shape = _reshape_target(known.get(node.input[0]), known.get(node.output[0]))
        if shape is not None:
            name = f"{node.name or node.output[0]}/shape"
            graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
            node.input[1] = name
            changed += 1
    return changed


def _reshape_target(
    before: onnx.TensorShapeProto | None, after: onnx.TensorShapeProto | None
) -> list[int] | None:
    if after is None or not after.dim:
        return None
    source = [d.dim_param for d in before.dim] if before is not None else []
    target: list[int] = []
    for axis, dimension in enumerate(after.dim):
        if dimension.HasField("dim_value"):
            target.append(dimension.dim_value)
        elif dimension.dim_param and dimension.dim_param in source[axis : axis + 1]:
            target.append(0)
        else:
            target.append(-1)
    empty = any(d.HasField("dim_value") and d.dim_value == 0 for d in after.dim)
    return None if empty or target.count(-1) > 1 else target


def remove_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes whose outputs nothing reads, and initializers that no node takes."""
    wanted = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if wanted.isdisjoint(node.output):
            continue
        _forget_optional_values(node, wanted)
        kept.append(node)
        wanted.update(node.input)
        wanted.update(name for body in subgraphs(node) for name in captured(body))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    initializers = [value for value in graph.initializer if value.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(initializers)


def _forget_optional_values(node: onnx.NodeProto, wanted: set[str]) -> None:
    """Take from a node the optional outputs that nothing reads, and empty names at the end."""
    formals = onnx.defs.get_schema(node.op_type).outputs
    for index, (name, formal) in enumerate(zip(node.output, formals, strict=False)):
        if (
            name not in wanted
            and formal.option == onnx.defs.OpSchema.FormalParameterOption.Optional
        ):
            node.output[index] = ""
    for values in (node.input, node.output):
        while values and not values[-1]:
            del values[-1]


def captured(body: onnx.GraphProto) -> set[str]:
    """The names that a body reads from the graphs around it."""
    own = {value.name for value in (*body.input, *body.initializer)}
    own |= {name for node in body.node for name in node.output}
    read = {name for node in body.node for name in node.input}
    read |= {name for node in body.node for inner in subgraphs(node) for name in captured(inner)}
    read |= {value.name for value in body.output}
    return read - own
