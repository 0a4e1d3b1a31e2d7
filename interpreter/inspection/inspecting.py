"""What a model is: inputs, outputs, nodes with types, parameters and costs. Nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from ..errors import InputError, ModelError
from ..graph import Graph, Model, Node, Value
from ..loading import Source, convert, read_proto
from ..session import InferenceSession
from ..support import problem_of, walk
from ..types import Array, TensorType, Type, dtype_name
from .costs import Cost, cost_of

__all__ = ["Inspection", "NodeInfo", "ValueInfo", "inspect"]


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """A value: ``type`` as ONNX names it, ``shape`` with names for free dimensions.

    ``shape`` is None where not even the rank is known.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None
    constant: bool = False

    def __str__(self) -> str:
        shape = "?" if self.shape is None else "×".join(_dim(d) for d in self.shape) or "scalar"
        return f"{self.name} {self.type} {shape}"


def _dim(dim: int | str | None) -> str:
    return "?" if dim is None else str(dim)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node; ``depth`` counts the subgraphs that it is in. Costs are None where unknown."""

    index: int
    name: str
    op: str
    opset: int
    depth: int
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    attributes: Mapping[str, str]
    parameters: int
    output_bytes: int | None
    macs: int | None
    flops: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model seen from outside; costs hold for one run with ``assumed`` dimensions."""

    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    nodes: tuple[NodeInfo, ...]
    opsets: Mapping[str, int]
    ir_version: int
    producer: str
    description: str
    metadata: Mapping[str, str]
    parameters: int
    parameter_bytes: int
    file_bytes: int | None = None
    assumed: tuple[str, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)

    @property
    def unsupported(self) -> dict[str, list[str]]:
        """What cannot be run, and the nodes that ask for it."""
        problems: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.problem:
                problems.setdefault(node.problem, []).append(node.name)
        return problems

    @property
    def macs(self) -> int:
        """The multiply-accumulates of all nodes whose cost is known, subgraphs counted once."""
        return sum(node.macs or 0 for node in self.nodes)

    @property
    def flops(self) -> int:
        """The floating-point operations likewise."""
        return sum(node.flops or 0 for node in self.nodes)

    @property
    def unknown_costs(self) -> list[str]:
        """The nodes whose cost is not known."""
        return [node.name for node in self.nodes if node.flops is None]

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return {
            **asdict(self),
            "macs": self.macs,
            "flops": self.flops,
            "unsupported": self.unsupported,
        }

    def _repr_html_(self) -> str:
        from .html import inspection_table

        return inspection_table(self)


def inspect(
    model: Source | InferenceSession, shapes: Mapping[str, Sequence[int]] | None = None
) -> Inspection:
    """Look at a model, one that cannot be run included.

    Parameters
    ----------
    model : a path, bytes, a ``ModelProto``, or a session (then as it was loaded).
    shapes : sets free dimensions: by input name all of its dimensions or the
        first ones, or by a dimension's name its size. The costs hold for these;
        dimensions that stay free count as 1.

    Raises
    ------
    LoadError : the file cannot be read.
    InputError : ``shapes`` names no input, or contradicts the model.
    """
    if isinstance(model, InferenceSession):
        if shapes:
            raise InputError("shapes can be set for a file, and not for a loaded session")
        return _describe(model.model, model.model.graph.types, (), None)
    proto, folders = read_proto(model)
    title, size = "the model", None
    if isinstance(model, (str, PathLike)):
        title, size = str(model), Path(model).stat().st_size
    if shapes:
        proto = with_shapes(proto, shapes)
    seen = convert(proto, folders, title=title, supported=False)
    free = _free_dimensions(proto)
    types: Mapping[str, Type] = seen.graph.types
    if free:
        try:
            fixed = with_shapes(proto, {}, rest=1)
            types = convert(fixed, folders, supported=False).graph.types
        except ModelError:  # some kernel is larger than 1
            types = {}
    return _describe(seen, types, tuple(free), size)


def _describe(
    model: Model, sizes: Mapping[str, Type], assumed: tuple[str, ...], file_bytes: int | None
) -> Inspection:
    arrays = dict(_constants(model.graph))
    weights = [array for array in arrays.values() if _is_parameter(array)]
    nodes = tuple(_nodes(model.graph, model.graph.types, sizes, arrays, 0))
    graph = model.graph
    return Inspection(
        inputs=tuple(_value(v.name, v.type, v.name in graph.initializers) for v in graph.inputs),
        outputs=tuple(
            _value(v.name, _better(v, graph.types), constant=False) for v in graph.outputs
        ),
        nodes=nodes,
        opsets=model.opsets,
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        description=model.description,
        metadata=model.metadata,
        parameters=sum(array.size for array in weights),
        parameter_bytes=sum(array.nbytes for array in weights),
        file_bytes=file_bytes,
        assumed=assumed,
        operators=dict(Counter(node.op for node in nodes).most_common()),
    )


def _better(value: Value, types: Mapping[str, Type]) -> Type | None:
    return types.get(value.name, value.type)


def _constants(graph: Graph) -> Iterator[tuple[str, Array]]:
    yield from graph.initializers.items()
    for node in graph.nodes:
        value = node.attributes.get("value")
        if node.op_type == "Constant" and isinstance(value, np.ndarray):
            yield node.outputs[0], value
        for inner in node.subgraphs:
            yield from _constants(inner)


def _is_parameter(array: Array) -> bool:
    """Shapes, axes and indices (int64), masks and strings are no parameters."""
    return array.dtype != np.int64 and array.dtype.kind not in "bOU"


def _value(name: str, kind: Type | None, constant: bool) -> ValueInfo:
    if isinstance(kind, TensorType):
        dtype = "?" if kind.dtype is None else dtype_name(kind.dtype)
        return ValueInfo(name, dtype, kind.shape, constant)
    return ValueInfo(name, "?" if kind is None else str(kind), None, constant)


def _nodes(
    graph: Graph,
    types: Mapping[str, Type],
    sizes: Mapping[str, Type],
    arrays: Mapping[str, Array],
    depth: int,
) -> Iterator[NodeInfo]:
    counted: set[str] = set()
    for node in graph.nodes:
        cost = _cost(node, sizes, arrays)
        used = [n for n in node.inputs if n in arrays and n not in counted]
        counted.update(used)
        yield NodeInfo(
            index=node.index,
            name=node.name or next((name for name in node.outputs if name), ""),
            op=f"{node.domain}.{node.op_type}" if node.domain else node.op_type,
            opset=node.opset,
            depth=depth,
            inputs=tuple(_seen(name, types, arrays) for name in node.inputs),
            outputs=tuple(_seen(name, types, arrays) for name in node.outputs if name),
            attributes={name: attribute_text(v) for name, v in node.attributes.items()},
            parameters=sum(arrays[n].size for n in used if _is_parameter(arrays[n])),
            output_bytes=_bytes(node, sizes),
            macs=cost.macs if cost else None,
            flops=cost.flops if cost else None,
            problem=problem_of(node),
        )
        for inner in node.subgraphs:
            yield from _nodes(inner, types, sizes, arrays, depth + 1)


def _seen(name: str, types: Mapping[str, Type], arrays: Mapping[str, Array]) -> ValueInfo:
    if name in arrays:
        array = arrays[name]
        return ValueInfo(name, dtype_name(array.dtype), array.shape, constant=True)
    return _value(name, types.get(name), constant=False)


def _shape(
    name: str, sizes: Mapping[str, Type], arrays: Mapping[str, Array]
) -> tuple[int, ...] | None:
    if name in arrays:
        return arrays[name].shape
    kind = sizes.get(name)
    if not name or not isinstance(kind, TensorType) or kind.shape is None:
        return None
    dims = tuple(dim for dim in kind.shape if isinstance(dim, int))
    return dims if len(dims) == len(kind.shape) else None


def _cost(node: Node, sizes: Mapping[str, Type], arrays: Mapping[str, Array]) -> Cost | None:
    if any(True for _ in node.subgraphs):
        return Cost(0, 0)  # its nodes have rows of their own
    return cost_of(
        node,
        [_shape(name, sizes, arrays) for name in node.inputs],
        [_shape(name, sizes, {}) for name in node.outputs],
    )


def _bytes(node: Node, sizes: Mapping[str, Type]) -> int | None:
    total = 0
    for name in node.outputs:
        kind, shape = sizes.get(name), _shape(name, sizes, {})
        if not name:
            continue
        if shape is None or not isinstance(kind, TensorType) or kind.dtype is None:
            return None
        total += prod(shape) * kind.dtype.itemsize
    return total


def attribute_text(value: Any) -> str:
    """An attribute's value in a few words."""
    if isinstance(value, np.ndarray):
        if value.size <= 8:
            return f"{value.dtype} {value.tolist()}"
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, Graph):
        return f"graph of {sum(1 for _ in walk(value))} nodes"
    if isinstance(value, tuple):
        return "[" + ", ".join(attribute_text(item) for item in value) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _free_dimensions(proto: ModelProto) -> dict[str, None]:
    """The dimensions that inputs leave open, by name or as ``input[axis]``."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    free: dict[str, None] = {}
    for value in proto.graph.input:
        if value.name in constants:
            continue
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                free[dim.dim_param or f"{value.name}[{axis}]"] = None
    return free


def with_shapes(
    proto: ModelProto, shapes: Mapping[str, Sequence[int]], rest: int | None = None
) -> ModelProto:
    """A copy of the model with free dimensions of its inputs set, those left over to ``rest``.

    Raises ``InputError`` for a name that is neither an input's nor a
    dimension's, and for a dimension that the model sets otherwise.
    """
    copy = ModelProto()
    copy.CopyFrom(proto)
    inputs = {value.name: value for value in copy.graph.input}
    sizes: dict[str, int] = {}
    named = {d.dim_param for v in copy.graph.input for d in v.type.tensor_type.shape.dim} - {""}
    for name, wanted in shapes.items():
        if name in inputs:
            dims = inputs[name].type.tensor_type.shape.dim
            if len(wanted) > len(dims):
                raise InputError(f"input '{name}' has {len(dims)} dimensions, not {len(wanted)}")
            for axis, (dim, size) in enumerate(zip(dims, wanted, strict=False)):
                if dim.HasField("dim_value") and dim.dim_value != size:
                    raise InputError(
                        f"dimension {axis} of input '{name}' is {dim.dim_value} and not {size}"
                    )
                if sizes.setdefault(dim.dim_param, size) != size and dim.dim_param:
                    raise InputError(
                        f"the dimension '{dim.dim_param}' cannot be both {sizes[dim.dim_param]} "
                        f"and {size}"
                    )
                dim.dim_value = size
        elif name in named and len(wanted) == 1:
            sizes[name] = wanted[0]
        else:
            known = ", ".join(f"'{known}'" for known in [*inputs, *sorted(named)])
            raise InputError(f"no input or dimension is called '{name}'; there are: {known}")
    sizes.pop("", None)
    for value in copy.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value"):
                continue
            chosen = sizes.get(dim.dim_param, rest)
            if chosen is not None:
                dim.dim_value = chosen
    # What the file says of other values was inferred with free dimensions.
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_param"):
                dim.ClearField("dim_param")
    return copy
