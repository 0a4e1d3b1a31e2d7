"""The shapes in an ONNX graph: named dimensions, inference, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx
from onnx import shape_inference

from .signature import InputSpec

__all__ = ["Dim", "infer_shapes", "known_shapes", "name_dimensions", "name_open_dimensions"]

Dim = int | str | None  # a size, the name of a variable one, or neither known

_INVENTED = "unk__"  # the names that onnx's inference gives to dimensions that it does not know


def name_dimensions(graph: onnx.GraphProto, specs: Sequence[InputSpec]) -> None:
    """Name the variable dimensions of the inputs: the first is ``batch``, shared by all of them."""
    for value, spec in zip(graph.input, specs, strict=True):
        names = [
            size if size is not None else _dimension_name(spec, axis, alone=len(specs) == 1)
            for axis, size in enumerate(spec.shape)
        ]
        _set_shape(value, names)


def _dimension_name(spec: InputSpec, axis: int, *, alone: bool) -> str:
    if axis == 0:
        return "batch"
    spatial = {4: ("height", "width"), 5: ("depth", "height", "width")}.get(
        len(spec.shape), ("length",)
    )
    name = spatial[axis - 1] if axis <= len(spatial) else f"dim_{axis}"
    return name if alone else f"{spec.name}_{name}"


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer all shapes from the inputs' alone, forgetting what was claimed before.

    Raises:
        onnx.shape_inference.InferenceError: the graph contradicts itself.
    """
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    model = shape_inference.infer_shapes(model, data_prop=True)
    if _complete_top_k(model.graph):
        model = shape_inference.infer_shapes(model, data_prop=True)
    return model


def _complete_top_k(graph: onnx.GraphProto) -> bool:
    """TopK changes one dimension alone; with K computed, onnx's inference gives up all of them."""
    shapes, changed = known_shapes(graph), False
    for node in graph.node:
        before = shapes.get(node.input[0]) if node.op_type == "TopK" else None
        if before is None:
            continue
        axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
        axis = (axes[0] if axes else -1) % len(before)
        for value in graph.value_info:
            known = shapes.get(value.name)
            if value.name in node.output and known is not None and known[0] is None:
                _set_shape(value, [*before[:axis], known[axis], *before[axis + 1 :]])
                changed = True
    if changed:  # what follows was inferred from less
        tops = {name for n in graph.node if n.op_type == "TopK" for name in n.output}
        kept = [value for value in graph.value_info if value.name in tops]
        del graph.value_info[:]
        graph.value_info.extend(kept)
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
    return changed


def known_shapes(graph: onnx.GraphProto) -> dict[str, list[Dim]]:
    """The shape of each value and initializer whose rank is known."""
    shapes: dict[str, list[Dim]] = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            shapes[value.name] = [_dim(dimension) for dimension in tensor.shape.dim]
    return shapes


def _dim(dimension: onnx.TensorShapeProto.Dimension) -> Dim:
    if dimension.HasField("dim_value"):
        return dimension.dim_value
    name = dimension.dim_param
    return name if name and not name.startswith(_INVENTED) else None


def _set_shape(value: onnx.ValueInfoProto, dims: Iterable[Dim]) -> None:
    shape = value.type.tensor_type.shape
    shape.ClearField("dim")
    shape.SetInParent()  # a scalar has a shape, without dimensions
    for dim in dims:
        dimension = shape.dim.add()
        if isinstance(dim, int):
            dimension.dim_value = dim
        elif dim is not None:
            dimension.dim_param = dim


def name_open_dimensions(
    graph: onnx.GraphProto, traced: Mapping[str, Sequence[int | None]]
) -> None:
    """Complete the outputs' shapes, and take invented names away from the values between.

    Args:
        graph: a graph with inferred shapes.
        traced: the shapes that TensorFlow knows of the outputs. A variable first
            dimension is Keras's batch.
    """
    shapes = known_shapes(graph)
    for value in graph.output:
        inferred = shapes.get(value.name)
        known = list(traced.get(value.name, inferred or []))
        dims: list[Dim] = list(inferred) if inferred is not None else [None] * len(known)
        for axis, dim in enumerate(dims):
            if dim is None and len(known) == len(dims) and known[axis] is not None:
                dims[axis] = known[axis]
            elif dim is None:
                dims[axis] = "batch" if axis == 0 else f"{value.name}_dim_{axis}"
        _set_shape(value, dims)
    for value in graph.value_info:
        if value.name in shapes:
            _set_shape(value, shapes[value.name])
