"""Is there a kernel for every node, and does it honour what the node asks?

Everything here happens when a model is loaded, so that nothing unsupported is
found out half-way through a run, or never.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx.defs as schemas

from . import registry
from .errors import ModelError, UnsupportedError
from .graph import AttributeRef, Graph, Node
from .registry import Operator
from .types import describe

# Hints to an implementation that never change a result.
IGNORED_ATTRIBUTES = frozenset({"consumed_inputs"})


def walk(graph: Graph) -> Iterator[Node]:
    """All nodes, those of subgraphs included."""
    for node in graph.nodes:
        yield node
        for inner in node.subgraphs:
            yield from walk(inner)


def check_support(graph: Graph) -> None:
    """Check that every node has a kernel that honours it.

    Raises ``UnsupportedError`` with all nodes that have none, and ``ModelError``
    for a node that breaks its operator's signature.
    """
    problems: dict[str, list[str]] = {}
    for node in walk(graph):
        problem = problem_of(node)
        if problem:
            problems.setdefault(problem, []).append(node.label)
    if problems:
        lines = [
            f"{problem} (node {', '.join(labels[:5])}"
            + (f" and {len(labels) - 5} more)" if len(labels) > 5 else ")")
            for problem, labels in problems.items()
        ]
        raise UnsupportedError("not supported: " + "; ".join(lines))
    for node in walk(graph):
        check_signature(node, operator_of(node))


def operator_of(node: Node) -> Operator:
    """The node's kernel; ``UnsupportedError`` where there is none."""
    problem = problem_of(node)
    if problem:
        raise UnsupportedError(f"{node}: {problem}")
    found = registry.find(node.domain, node.op_type, node.opset)
    assert found is not None
    return found[1]


def schema_of(node: Node) -> schemas.OpSchema | None:
    """The standard's schema of the node's operator and version, None for other domains."""
    return _schema(node.op_type, node.opset, node.domain)


@cache
def _schema(op_type: str, opset: int, domain: str) -> schemas.OpSchema | None:
    if not schemas.has(op_type, domain):
        return None
    try:
        return schemas.get_schema(op_type, opset, domain)
    except schemas.SchemaError:
        return None


def problem_of(node: Node) -> str:
    """Why the node has no kernel; "" where it has one."""
    title = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    found = registry.find(node.domain, node.op_type, node.opset)
    schema = schema_of(node)
    kept = found is not None and schema is not None and found[0] == schema.since_version
    if schema is not None and schema.deprecated and not kept:
        return f"{title}, which opset {node.opset} no longer has"
    if found is None:
        return f"{title} of opset {node.opset}"
    if schema is not None and schema.since_version != found[0]:
        return f"{title} of opset {schema.since_version}"
    return ""


def check_signature(node: Node, operator: Operator) -> None:
    """Check a node's attributes and numbers of inputs and outputs against its operator."""
    schema = schema_of(node)
    _check_attributes(node, operator, schema)
    count = len(node.inputs)
    while count and not node.inputs[count - 1]:
        count -= 1
    most = operator.max_inputs
    if schema is not None and not schema.min_input <= len(node.inputs) <= schema.max_input:
        raise ModelError(
            f"{node} has {len(node.inputs)} inputs; the operator takes "
            f"{_range(schema.min_input, schema.max_input)}"
        )
    if count < operator.min_inputs or (most is not None and count > most):
        raise ModelError(
            f"{node} has {count} inputs; the operator takes {_range(operator.min_inputs, most)}"
        )
    for position, name in enumerate(node.inputs):
        if not name and not _is_optional(position, operator, schema):
            raise ModelError(f"{node}: input {position} is left out, but is not optional")
    if schema is not None and not schema.min_output <= len(node.outputs) <= schema.max_output:
        raise ModelError(
            f"{node} has {len(node.outputs)} outputs; the operator gives "
            f"{_range(schema.min_output, schema.max_output)}"
        )


def _check_attributes(node: Node, operator: Operator, schema: schemas.OpSchema | None) -> None:
    required = set(operator.required_attributes)
    if schema is not None:
        required.update(name for name, item in schema.attributes.items() if item.required)
    for name, value in node.attributes.items():
        if name in IGNORED_ATTRIBUTES:
            continue
        if isinstance(value, AttributeRef):
            raise ModelError(
                f"{node}: the attribute '{name}' refers to '{value.name}' of a function, "
                f"but the node is in none"
            )
        declared = schema.attributes.get(name) if schema is not None else None
        if schema is not None and declared is None:
            known = ", ".join(sorted(schema.attributes)) or "none"
            raise ModelError(
                f"{node} has an attribute '{name}', which the operator does not know "
                f"(it knows: {known})"
            )
        if name not in operator.attributes:
            raise UnsupportedError(f"{node}: the attribute '{name}' is not supported")
        if declared is not None and not _fits(value, declared.type):
            raise ModelError(
                f"{node}: the attribute '{name}' must be of type {_kind_name(declared.type)}, "
                f"and is {_shown(value)}"
            )
    for name in sorted(required - node.attributes.keys()):
        raise ModelError(f"{node} lacks the attribute '{name}', which the operator requires")


def _is_optional(position: int, operator: Operator, schema: schemas.OpSchema | None) -> bool:
    """Whether the input at a position may be left out with more inputs behind it."""
    if schema is None:
        return position in operator.optional_inputs or position >= operator.min_inputs
    formal = schema.inputs[min(position, len(schema.inputs) - 1)]
    return formal.option is not schemas.OpSchema.FormalParameterOption.Single


def _range(least: int, most: int | None) -> str:
    if most is None or most > 1_000_000:
        return f"{least} or more"
    return f"{least}" if least == most else f"{least} to {most}"


_Attr = schemas.OpSchema.AttrType
_SCALARS: dict[Any, Any] = {
    _Attr.FLOAT: float,
    _Attr.INT: int,
    _Attr.STRING: str,
    _Attr.GRAPH: Graph,
}
_LISTS: dict[Any, Any] = {_Attr.FLOATS: float, _Attr.INTS: int, _Attr.STRINGS: str}


def _fits(value: Any, kind: Any) -> bool:
    if kind in _SCALARS:
        return isinstance(value, _SCALARS[kind])
    if kind in _LISTS:
        return isinstance(value, tuple) and all(isinstance(v, _LISTS[kind]) for v in value)
    if kind in (_Attr.TENSOR, _Attr.SPARSE_TENSOR):
        return isinstance(value, np.ndarray)
    return True


def _kind_name(kind: Any) -> str:
    return str(kind).rpartition(".")[2]


def _shown(value: Any) -> str:
    """A value for a message: long ones by what they are."""
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else describe(value)
