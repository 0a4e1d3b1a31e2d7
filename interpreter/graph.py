"""The model as frozen dataclasses: what loading makes, passes rewrite, and the plan compiles.

Those that hold arrays are equal only to themselves (``eq=False``): arrays have no one truth value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .types import Array, Type


@dataclass(frozen=True, slots=True)
class Value:
    """A named input or output of a graph; ``type`` None where the file does not say."""

    name: str
    type: Type | None = None


@dataclass(frozen=True, slots=True)
class AttributeRef:
    """Inside a function: the attribute of that name of the calling node."""

    name: str


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph.

    ``inputs`` and ``outputs`` are value names, "" for an absent optional one.
    ``attributes`` holds Python values: int, float, str, tuples of them, arrays,
    types (``Type``), and for subgraphs ``Graph``. ``opset`` is the version of
    its domain that its model (or function) imports.
    """

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    opset: int = 1
    overload: str = ""
    index: int = -1

    @property
    def label(self) -> str:
        """How messages name the node: its name, or its first output where it has none."""
        if self.name:
            return f"'{self.name}'"
        named = next((output for output in self.outputs if output), "")
        return f"'{named}'" if named else f"#{self.index}"

    def __str__(self) -> str:
        op = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        return f"node {self.index} {self.label} ({op}, opset {self.opset})"

    @property
    def subgraphs(self) -> Iterator[Graph]:
        """The graphs among the attributes, in order."""
        for value in self.attributes.values():
            if isinstance(value, Graph):
                yield value
            elif isinstance(value, tuple):
                yield from (item for item in value if isinstance(item, Graph))


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in an order in which they can run, and the values that go in and out.

    ``initializers`` are arrays by name; one whose name is also an input is that
    input's default. ``types`` are the inferred types of all values, where known.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    initializers: Mapping[str, Array] = field(default_factory=dict)
    types: Mapping[str, Type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A model-local function, or the body that the standard gives of an operator.

    ``attributes`` maps the names of its attributes to their defaults; those
    without a default map to None and must be given by the calling node, or are
    left out where they are referred to.
    """

    name: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    nodes: tuple[Node, ...]
    overload: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A graph with what its file says about it. Local functions are already inlined."""

    graph: Graph
    opsets: Mapping[str, int]
    ir_version: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    model_version: int = 0
    description: str = ""
    graph_description: str = ""
