"""Small rewrites of the ONNX graph that tf2onnx wrote, until it is as small as the model.

tf2onnx's own optimiser has cancelled transposes, folded constants and merged
equal nodes before. What it leaves is shapes: TensorFlow computes at run time
what the inferred shapes know. Each pass is one function over the graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import UnsupportedError

from .graphs import captured, rename_input, subgraphs
from .shapes import Dim, infer_shapes, known_shapes, name_dimensions
from .signature import InputSpec

__all__ = ["tidy"]


def tidy(model: onnx.ModelProto, specs: Sequence[InputSpec]) -> onnx.ModelProto:
    """Return the model with named dimensions and without nodes that only carry shapes."""
    name_dimensions(model.graph, specs)
    model = infer_shapes(model)
    while _make_reshapes_constant(model.graph) or _join_reshapes(model.graph):
        _remove_unused(model.graph)
        model = infer_shapes(model)
    _fold_constants(model)
    _remove_unused(model.graph)
    return model


def _make_reshapes_constant(graph: onnx.GraphProto) -> bool:
    """Give Reshape a constant shape wherever the inferred ones say enough.

    For a batch of any size TensorFlow computes the shape (Shape, Gather, Cast,
    Slice, Concat). A constant can say it: 0 copies a dimension of the input,
    and -1 is the one that is left over. 0 is preferred: it keeps the name.
    A Transpose that only moves dimensions of size 1 is a Reshape too.
    """
    shapes = known_shapes(graph)
    constants = {value.name: value for value in graph.initializer}
    changed = False
    for node in graph.node:
        if node.op_type == "Transpose" and _moves_ones(node, shapes.get(node.input[0])):
            node.op_type = "Reshape"
            del node.attribute[:]
            node.input.append("")
        elif node.op_type != "Reshape" or _allows_zero(node):
            continue
        target = _target(shapes.get(node.input[0]), shapes.get(node.output[0]))
        constant = constants.get(node.input[1])
        if target is not None and (constant is None or not _same(constant, target)):
            _set_target(graph, node, target)
            changed = True
    return changed


def _set_target(graph: onnx.GraphProto, node: onnx.NodeProto, target: list[int]) -> None:
    name = f"{node.output[0]}/shape_{len(graph.initializer)}"
    graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
    node.input[1] = name


def _moves_ones(node: onnx.NodeProto, shape: list[Dim] | None) -> bool:
    """Whether a Transpose keeps the order of all dimensions but those of size 1."""
    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
    if shape is None or perm is None or None in shape:
        return False
    moved = [axis for axis in perm if shape[axis] != 1]
    after = [shape[axis] for axis in perm]
    return moved == sorted(moved) and _target(shape, after) is not None


def _allows_zero(node: onnx.NodeProto) -> bool:
    return any(a.name == "allowzero" and a.i for a in node.attribute)


def _same(constant: onnx.TensorProto, target: list[int]) -> bool:
    return list(numpy_helper.to_array(constant)) == target


def _target(before: list[Dim] | None, after: list[Dim] | None) -> list[int] | None:
    """The constant for a Reshape from one shape to another, or None if there is none."""
    if before is None or after is None or 0 in before or 0 in after:
        return None
    target = []
    for axis, dim in enumerate(after):
        if isinstance(dim, int):
            target.append(dim)
        else:
            copied = dim is not None and dim in before[axis : axis + 1]
            target.append(0 if copied else -1)
    if target.count(-1) > 1:
        return None
    if -1 in target:
        axis = target.index(-1)
        variable = [i for i, dim in enumerate(before) if not isinstance(dim, int)]
        # the one variable dimension on both sides, in one place, is the same one
        copied = variable == [axis] and 0 not in target
        if copied and _product(before) == _product([d for d in target if d > 0]):
            target[axis] = 0
    return target


def _product(dims: Sequence[Dim]) -> int:
    return int(np.prod([dim for dim in dims if isinstance(dim, int)], dtype=np.int64))


def _join_reshapes(graph: onnx.GraphProto) -> bool:
    """Let a Reshape read past the Reshape before it, and drop one that changes nothing."""
    shapes = known_shapes(graph)
    producers = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    changed = False
    for node in graph.node:
        if node.op_type != "Reshape":
            continue
        source, result = node.input[0], node.output[0]
        before, after = shapes.get(source), shapes.get(result)
        if before is not None and before == after and None not in before:
            if result not in outputs:
                rename_input(graph, result, source)
                changed = True
            continue
        previous = producers.get(source)
        if previous is None or previous.op_type != "Reshape":
            continue
        target = _target(shapes.get(previous.input[0]), after)
        if target is not None and not _allows_zero(node):
            node.input[0] = previous.input[0]
            _set_target(graph, node, target)
            changed = True
    return changed


def _fold_constants(model: onnx.ModelProto) -> None:
    """Compute what no input reaches, unless it is larger than what it is made of.

    tf2onnx folds as it goes; this is what became constant afterwards, and a
    few operators that it does not fold (the condition in front of a Loop).
    """
    graph = model.graph
    constant = {value.name for value in graph.initializer}
    nodes = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if inputs and constant.issuperset(inputs) and not any(subgraphs(node)):
            nodes.append(node)
            constant.update(node.output)
    outputs = [name for node in nodes for name in node.output if name]
    if not outputs:
        return
    part = onnx.ModelProto()
    part.CopyFrom(model)
    for field in ("node", "input", "output", "value_info"):
        part.graph.ClearField(field)
    part.graph.node.extend(nodes)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    try:
        session = InferenceSession(shape_inference.infer_shapes(part))
    except UnsupportedError:  # leave it to whoever runs the file
        return
    arrays = dict(zip(outputs, session.run(None, {}), strict=True))
    sizes = {value.name: int(np.prod(value.dims)) for value in graph.initializer}
    sizes |= {name: array.size for name, array in arrays.items()}
    folded = [
        node
        for node in nodes
        if sum(sizes[name] for name in node.output if name)
        <= max(1, sum(sizes[name] for name in node.input if name))
    ]
    for node in folded:
        graph.node.remove(node)
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(arrays[name]), name) for name in node.output if name
        )


def _remove_unused(graph: onnx.GraphProto) -> None:
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
