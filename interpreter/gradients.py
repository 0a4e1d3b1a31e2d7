"""The operator ``Gradient`` of ai.onnx.preview.training, replaced by other nodes at load.

Reverse-mode differentiation: the nodes that make ``y`` out of ``xs`` and ``zs``
are gone through backward, and for each a node of the domain ``GRADIENT`` gives
what its inputs weigh in ``y``. Those operators are in ``ops/gradient.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import registry
from .checking import order_nodes
from .errors import ModelError, UnsupportedError
from .graph import Graph, Node

TRAINING = "ai.onnx.preview.training"
GRADIENT = "scratch_onnx.gradient"
"""The domain of the operators' gradients: inputs are the gradient of the first output, then the
node's inputs and its first output; outputs are the gradients of its inputs."""


def expand_gradients(graph: Graph) -> Graph:
    """The graph, and its subgraphs, with every Gradient replaced by the nodes that compute it.

    Raises ``ModelError`` for a Gradient that does not fit its graph, and
    ``UnsupportedError`` where an operator on the way has no gradient here.
    """
    nodes = [_expand_subgraphs(node) for node in graph.nodes]
    if not any(_is_gradient(node) for node in nodes):
        return replace(graph, nodes=tuple(nodes))
    taken = {name for node in nodes for name in node.outputs}
    taken |= {value.name for value in graph.inputs} | graph.initializers.keys()

    def fresh(name: str) -> str:
        while name in taken:
            name += "'"
        taken.add(name)
        return name

    while True:  # one at a time: another may differentiate what this one computes
        place = next((i for i, node in enumerate(nodes) if _is_gradient(node)), None)
        if place is None:
            break
        rest = nodes[:place] + nodes[place + 1 :]
        nodes = [*rest, *_Differentiation(graph, rest, nodes[place], fresh).nodes()]
    nodes = [replace(node, index=index) for index, node in enumerate(nodes)]
    return order_nodes(replace(graph, nodes=tuple(nodes)))


def _is_gradient(node: Node) -> bool:
    return node.op_type == "Gradient" and node.domain == TRAINING


def _expand_subgraphs(node: Node) -> Node:
    if not any(True for _ in node.subgraphs):
        return node
    attributes = {
        name: expand_gradients(value) if isinstance(value, Graph) else value
        for name, value in node.attributes.items()
    }
    return replace(node, attributes=attributes)


@dataclass(frozen=True, slots=True)
class _Differentiation:
    """One Gradient among the other nodes of its graph."""

    graph: Graph
    others: list[Node]
    node: Node
    fresh: Callable[[str], str]

    def nodes(self) -> Iterator[Node]:
        xs, zs, y = self._attributes()
        path = self._path(y, {*xs, *zs})
        given = dict(zip([*xs, *zs], self.node.inputs, strict=True))
        names: dict[str, str] = {}
        if any(name != value for name, value in given.items()):
            # The same function at other values: its nodes once more.
            for name, value in given.items():
                names[name] = self._name(name)
                yield Node("Identity", (value,), (names[name],), name=self.node.name)
            for node in path:
                names.update((name, self._name(name)) for name in node.outputs if name)
            path = [_renamed(node, names) for node in path]
            yield from path
        yield from self._backward(path, names.get(y, y), [names.get(x, x) for x in xs])

    def _attributes(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        given = self.node.attributes
        xs, zs, y = given.get("xs"), given.get("zs", ()), given.get("y")
        if not isinstance(xs, tuple) or not isinstance(y, str) or not isinstance(zs, tuple):
            raise ModelError(f"{self.node} must have the attributes xs and y: names of tensors")
        if len(xs) + len(zs) != len(self.node.inputs) or len(self.node.outputs) > len(xs):
            raise ModelError(
                f"{self.node} must have an input for each of xs {list(xs)} and zs {list(zs)}, "
                f"and no more outputs than xs"
            )
        return xs, zs, y

    def _path(self, y: str, given: set[str]) -> list[Node]:
        """The nodes between ``given`` and ``y``, in order."""
        producers = {name: node for node in self.others for name in node.outputs if name}
        needed: set[int] = set()
        waiting = [y]
        while waiting:
            name = waiting.pop()
            if not name or name in given or name in self.graph.initializers:
                continue
            node = producers.get(name)
            if node is None:
                raise ModelError(
                    f"{self.node}: y '{y}' depends on '{name}', which is in neither xs nor zs"
                )
            if id(node) not in needed:
                needed.add(id(node))
                waiting += node.inputs
        return [node for node in self.others if id(node) in needed]

    def _name(self, name: str) -> str:
        return self.fresh(f"{self.node.label.strip(chr(39))}/{name}")

    def _backward(self, path: list[Node], y: str, xs: list[str]) -> Iterator[Node]:
        shares: dict[str, list[str]] = {y: [self._name(f"d {y}")]}
        yield self._own("OnesLike", (y,), (shares[y][0],))
        depends = set(xs)
        for node in path:
            if depends.intersection(node.inputs):
                depends.update(name for name in node.outputs if name)
        for node in reversed(path):
            if not depends.intersection(node.outputs):
                continue
            if node.outputs[0] not in shares:
                if shares.keys() & set(node.outputs):
                    raise self._unsupported(node)
                continue
            if registry.find(GRADIENT, node.op_type, 1) is None or node.domain:
                raise self._unsupported(node)
            total = yield from self._total(shares.pop(node.outputs[0]), node.outputs[0])
            wanted = []
            for name in node.inputs:
                share = self._name(f"d {name} by {node.op_type}") if name in depends else ""
                wanted.append(share)
                if share:
                    shares.setdefault(name, []).append(share)
            while wanted and not wanted[-1]:
                wanted.pop()
            inputs = (total, *node.inputs, node.outputs[0])
            yield self._own(node.op_type, inputs, tuple(wanted), node.attributes)
        for x, output in zip(xs, self.node.outputs, strict=False):
            if not output:
                continue
            if x in shares:
                total = yield from self._total(shares[x], x)
                yield self._own("Identity", (total, x, x), (output,))
            else:
                yield self._own("ZerosLike", (x,), (output,))

    def _total(self, shares: list[str], name: str) -> Generator[Node, None, str]:
        """The sum of what a value's readers say of it."""
        if len(shares) == 1:
            return shares[0]
        total = self._name(f"d {name} in all")
        yield Node("Sum", tuple(shares), (total,), name=f"{self.node.name}/{name}", opset=13)
        return total

    def _own(
        self,
        op_type: str,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        attributes: Mapping[str, Any] | None = None,
    ) -> Node:
        name = f"{self.node.name or 'Gradient'}/{op_type}"
        return Node(op_type, inputs, outputs, attributes or {}, name, GRADIENT)

    def _unsupported(self, node: Node) -> UnsupportedError:
        return UnsupportedError(f"{self.node}: the gradient of {node} is not supported")


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    return replace(
        node,
        inputs=tuple(names.get(name, name) for name in node.inputs),
        outputs=tuple(names.get(name, name) for name in node.outputs),
    )
