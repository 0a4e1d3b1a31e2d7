"""Function calls replaced by the nodes of the function's body.

Two kinds of function: those that the model defines itself, and those operators
of the standard that have no kernel here but a body in the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from onnx.onnx_pb import FunctionProto, TypeProto

from .checking import value_names
from .errors import ModelError
from .gradients import TRAINING
from .graph import AttributeRef, Function, Graph, Node
from .support import problem_of, schema_of
from .types import OptionalType, SequenceType, TensorType, Type, enum_of_dtype

FunctionKey = tuple[str, str, str]

MAX_NODES = 1_000_000
"""How many nodes functions may grow to: a few short ones that call each other twice would
otherwise fill any memory."""
MAX_CALLS = 100
"""How deep functions may call each other."""


def inline_functions(
    graph: Graph,
    functions: Mapping[FunctionKey, Function],
    types: Callable[[], Mapping[str, Type]],
) -> Graph:
    """The graph with no calls left of local functions, nor of operators that have a body but no
    kernel.

    ``types`` gives the types of the model's values; it is asked only where an
    operator's body depends on them. Raises ``ModelError`` for a function that
    calls itself, and for a call that does not fit its function.
    """
    inliner = _Inliner(functions, types)
    inliner.taken.update(value_names(graph))
    return inliner.graph(graph, ())


class _Inliner:
    def __init__(
        self,
        functions: Mapping[FunctionKey, Function],
        types: Callable[[], Mapping[str, Type]],
    ) -> None:
        self.functions = functions
        self.types = types
        self.taken: set[str] = set()
        self.made = 0

    def graph(self, graph: Graph, stack: tuple[FunctionKey, ...]) -> Graph:
        nodes = [inner for node in graph.nodes for inner in self.node(node, stack)]
        nodes = [replace(node, index=index) for index, node in enumerate(nodes)]
        return replace(graph, nodes=tuple(nodes))

    def node(self, node: Node, stack: tuple[FunctionKey, ...]) -> Iterator[Node]:
        if any(True for _ in node.subgraphs):
            attributes = {
                name: _map_graphs(value, lambda inner: self.graph(inner, stack))
                for name, value in node.attributes.items()
            }
            node = replace(node, attributes=attributes)
        key = (node.domain, node.op_type, node.overload)
        function = self.functions.get(key)
        if function is None and problem_of(node):
            function = standard_body(node, self.types)
        if function is None:
            self.made += 1
            if stack and self.made > MAX_NODES:
                raise ModelError(f"the functions of the model grow to over {MAX_NODES:,} nodes")
            yield node
            return
        if key in stack:
            raise ModelError(f"{node} is a function that calls itself, which ONNX does not allow")
        if len(stack) >= MAX_CALLS:
            raise ModelError(f"{node}: functions call each other over {MAX_CALLS} deep")
        for inner in instantiate(function, node, self.fresh):
            yield from self.node(inner, (*stack, key))

    def fresh(self, name: str) -> str:
        """The name, or one made from it where it is taken."""
        while name in self.taken:
            name += "'"
        self.taken.add(name)
        return name


def instantiate(function: Function, call: Node, fresh: Callable[[str], str]) -> Iterator[Node]:
    """The function's nodes with the call's names and attributes put in; ``fresh`` makes a name
    unique in the model."""
    for what, given, takes in (
        ("inputs", call.inputs, function.inputs),
        ("outputs", call.outputs, function.outputs),
    ):
        if len(given) > len(takes):
            raise ModelError(f"{call} has {len(given)} {what}; its function takes {len(takes)}")
    for name in call.attributes:
        if name not in function.attributes:
            known = ", ".join(function.attributes) or "none"
            raise ModelError(
                f"{call} has an attribute '{name}', which its function does not know "
                f"(it knows: {known})"
            )
    prefix = next((name for name in call.outputs if name), call.op_type)
    names = dict.fromkeys(function.inputs, "")
    names.update(zip(function.inputs, call.inputs, strict=False))
    passed_through = []
    for formal, name in zip(function.outputs, call.outputs, strict=False):
        if not name:
            continue
        if formal in names:
            passed_through.append((names[formal], name))
        else:
            names[formal] = name

    def rename(name: str) -> str:
        if name and name not in names:
            names[name] = fresh(f"{prefix}/{name}")
        return names[name] if name else ""

    attributes = {**function.attributes, **call.attributes}
    title = call.name or call.op_type
    for node in function.nodes:
        inner = _instantiate_node(node, rename, attributes)
        yield replace(inner, name=f"{title}/{node.name or node.op_type}")
    for source, target in passed_through:
        yield Node("Identity", (source,), (target,), name=f"{title}/Identity", opset=1)


def _instantiate_node(node: Node, rename: Callable[[str], str], values: Mapping[str, Any]) -> Node:
    attributes = {}
    for name, value in node.attributes.items():
        if isinstance(value, AttributeRef):
            if values.get(value.name) is None:
                continue  # an optional attribute that the caller leaves out
            value = values[value.name]
        attributes[name] = _map_graphs(
            value, lambda graph: _instantiate_graph(graph, rename, values)
        )
    if (node.domain, node.op_type) == (TRAINING, "Gradient"):  # its attributes name values
        for name in ("xs", "zs"):
            if isinstance(attributes.get(name), tuple):
                attributes[name] = tuple(map(rename, attributes[name]))
        if isinstance(attributes.get("y"), str):
            attributes["y"] = rename(attributes["y"])
    return replace(
        node,
        inputs=tuple(rename(name) for name in node.inputs),
        outputs=tuple(rename(name) for name in node.outputs),
        attributes=attributes,
    )


def _instantiate_graph(
    graph: Graph, rename: Callable[[str], str], values: Mapping[str, Any]
) -> Graph:
    return replace(
        graph,
        nodes=tuple(_instantiate_node(node, rename, values) for node in graph.nodes),
        inputs=tuple(replace(value, name=rename(value.name)) for value in graph.inputs),
        outputs=tuple(replace(value, name=rename(value.name)) for value in graph.outputs),
        initializers={rename(name): array for name, array in graph.initializers.items()},
        types={rename(name): type_ for name, type_ in graph.types.items()},
    )


def _map_graphs(value: Any, change: Callable[[Graph], Graph]) -> Any:
    if isinstance(value, Graph):
        return change(value)
    if isinstance(value, tuple) and any(isinstance(item, Graph) for item in value):
        return tuple(change(item) for item in value)
    return value


def standard_body(node: Node, types: Callable[[], Mapping[str, Type]]) -> Function | None:
    """The body that the standard gives of a node's operator, or None where it gives none."""
    from onnx import helper  # few models need it

    from .loading import read_function

    schema: Any = schema_of(node)  # Any: onnx's stubs lack half of the class
    if schema is None:
        return None
    opsets = {node.domain: node.opset}
    if schema.has_function:
        body = schema.get_function_with_opset_version(node.opset)
        if not body:
            body = schema.function_body.SerializeToString()
    elif schema.has_context_dependent_function:
        protos = [_type_proto(types().get(name)) for name in node.inputs]
        call = helper.make_node(
            node.op_type, node.inputs, node.outputs, domain=node.domain, **node.attributes
        )
        body = schema.get_context_dependent_function_with_opset_version(
            node.opset,
            call.SerializeToString(),
            [proto.SerializeToString() for proto in protos],
        )
    else:
        return None
    if not body:
        return None
    proto = FunctionProto.FromString(body)
    function = read_function(proto, (), opsets)
    # Attributes that the schema defaults are known inside the body too.
    defaults = {
        name: helper.get_attribute_value(attribute.default_value)
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }
    defaults = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in defaults.items()
    }
    known: dict[str, Any] = dict.fromkeys(schema.attributes)
    return replace(function, attributes={**known, **function.attributes, **defaults})


def _type_proto(type_: Type | None) -> TypeProto:
    from onnx import helper

    if isinstance(type_, TensorType) and type_.dtype is not None:
        return helper.make_tensor_type_proto(enum_of_dtype(type_.dtype), type_.shape)
    if isinstance(type_, SequenceType):
        return helper.make_sequence_type_proto(_type_proto(type_.element))
    if isinstance(type_, OptionalType):
        return helper.make_optional_type_proto(_type_proto(type_.element))
    return TypeProto()
