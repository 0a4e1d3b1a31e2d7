"""What the rules of splitting a batch see of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .graph import Graph, Node
from .types import TensorType


class NotSplitError(Exception):
    """The node mixes samples, or is not known to keep them apart."""


class View:
    """The batch axes of a graph's values, found node by node.

    Parameters
    ----------
    graph : its types and constants are what rules may ask for.
    axes : the axis of each value that holds the samples, None where it holds none;
        to begin with those of the inputs.
    """

    def __init__(self, graph: Graph, axes: dict[str, int | None]) -> None:
        self.graph = graph
        self.axes = axes
        inputs = {value.name for value in graph.inputs}
        # An initialiser that is an input too can be overridden: not a constant.
        self.constants = {k: v for k, v in graph.initializers.items() if k not in inputs}

    def visit(self, node: Node, rule: Rule | None) -> None:
        """Find the axes of the node's outputs by its rule; None where the operator has none."""
        batched = [self.axes.get(name) for name in node.inputs]
        if any(True for _ in node.subgraphs):
            raise NotSplitError
        if all(axis is None for axis in batched):
            self.axes.update(dict.fromkeys(node.outputs))
            return
        if rule is None:
            raise NotSplitError
        result = rule(node, self)
        outputs = result if isinstance(result, tuple) else (result,) * len(node.outputs)
        self.axes.update(zip(node.outputs, outputs, strict=False))

    def axis(self, name: str) -> int | None:
        """The batch axis of a value, None where it has none."""
        return self.axes.get(name) if name else None

    def only_first(self, node: Node) -> int:
        """The batch axis of the first input, where no other input has one."""
        axis = self.axis(node.inputs[0])
        if axis is None or any(self.axis(name) is not None for name in node.inputs[1:]):
            raise NotSplitError
        return axis

    def shape(self, name: str) -> tuple[Any, ...]:
        """A value's shape; ``NotSplitError`` where it is not known."""
        if name in self.constants:
            return self.constants[name].shape
        known = self.graph.types.get(name)
        if not isinstance(known, TensorType) or known.shape is None:
            raise NotSplitError
        return known.shape

    def rank(self, name: str) -> int:
        """A value's rank; ``NotSplitError`` where it is not known."""
        return len(self.shape(name))

    def constant(self, node: Node, position: int) -> list[int] | None:
        """A constant input as a list, None where it is absent."""
        if len(node.inputs) <= position or not node.inputs[position]:
            return None
        array = self.constants.get(node.inputs[position])
        if array is None:
            raise NotSplitError
        return [int(value) for value in array.reshape(-1)]

    def axes_of(self, node: Node, position: int) -> list[int] | None:
        """The node's ``axes``, an attribute or an input by its version."""
        axes = node.attributes.get("axes")
        return list(axes) if axes is not None else self.constant(node, position)

    def sample_bytes(self) -> int:
        """The largest value of one sample, in bytes, as far as shapes are known."""
        most = 0
        for name, axis in self.axes.items():
            known = self.graph.types.get(name)
            if axis is None or not isinstance(known, TensorType) or known.shape is None:
                continue
            dims = [dim for place, dim in enumerate(known.shape) if place != axis]
            size = int(np.prod([dim if isinstance(dim, int) else 64 for dim in dims], dtype=float))
            most = max(most, size * (known.dtype.itemsize if known.dtype is not None else 4))
        return most


Rule: TypeAlias = Callable[[Node, View], "int | tuple[int | None, ...]"]
"""A rule says along which axis a node's outputs hold the samples, one for all or one each. It
raises ``NotSplitError`` where the node mixes samples."""
