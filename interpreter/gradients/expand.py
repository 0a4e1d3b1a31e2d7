"""The operator ``Gradient`` of ai.onnx.preview.training, replaced by other nodes at load.

Reverse-mode differentiation: the nodes that make ``y`` out of ``xs`` and ``zs``
are gone through backward, and each hands the gradient of its output on to its
inputs by the rule of its operator (``rules``, ``shapes``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ..checking import order_nodes, reads
from ..errors import ModelError, UnsupportedError
from ..graph import Graph, Node
from ..graph import Value as Input
from ..passes._index import rename_inputs
from ..support import walk
from ..types import Type
from . import TRAINING, shapes  # noqa: F401 (registers its rules)
from .rules import RULES, SEVERAL_OUTPUTS, NoRuleError, Step, Tape, Value, has_slope


def differentiable() -> set[str]:
    """The operators that a Gradient may go through."""
    return set(RULES)


def expand_gradients(graph: Graph, types: Callable[[], Mapping[str, Type]]) -> Graph:
    """The graph, and its subgraphs, with every Gradient replaced by the nodes that compute it.

    ``types`` gives the types of the model's values, and is asked only where there
    is a Gradient. Raises ``ModelError`` for a Gradient that does not fit its graph,
    and ``UnsupportedError`` where an operator on the way has no rule.
    """
    everything = list(walk(graph))
    if not any(_is_gradient(node) for node in everything):
        return graph
    taken = {name for node in everything for name in (*node.inputs, *node.outputs)}
    taken |= {value.name for value in graph.inputs} | graph.initializers.keys()

    def fresh(name: str) -> str:
        number, free = 1, name
        while free in taken:
            number += 1
            free = f"{name}.{number}"
        taken.add(free)
        return free

    return order_nodes(_expand(graph, types, fresh))


def _expand(
    graph: Graph, types: Callable[[], Mapping[str, Type]], fresh: Callable[[str], str]
) -> Graph:
    nodes = [_expand_subgraphs(node, types, fresh) for node in graph.nodes]
    while any(map(_is_gradient, nodes)):
        gradient, path = _next(nodes, graph)
        tape = Tape(graph, types, fresh, gradient.name or "Gradient")
        _differentiate(gradient, path, tape)
        nodes = [node for node in nodes if node is not gradient] + tape.nodes
    nodes = [replace(node, index=index) for index, node in enumerate(nodes)]
    return replace(graph, nodes=tuple(nodes))


def _is_gradient(node: Node) -> bool:
    return node.op_type == "Gradient" and node.domain == TRAINING


def _next(nodes: list[Node], graph: Graph) -> tuple[Node, list[Node]]:
    """A Gradient that differentiates no other's output, and the nodes that it goes through."""
    waiting = [node for node in nodes if _is_gradient(node)]
    for gradient in waiting:
        path = _path(gradient, nodes, graph)
        if not any(map(_is_gradient, path)):
            return gradient, path
    raise ModelError(f"{waiting[0]} differentiates what depends on its own output")


def _expand_subgraphs(
    node: Node, types: Callable[[], Mapping[str, Type]], fresh: Callable[[str], str]
) -> Node:
    attributes = {
        name: _expand(value, types, fresh) if isinstance(value, Graph) else value
        for name, value in node.attributes.items()
    }
    return replace(node, attributes=attributes)


def _differentiate(gradient: Node, path: list[Node], tape: Tape) -> None:
    """Write the nodes of one Gradient, which goes through those of ``path``."""
    xs, zs, y = _attributes(gradient)
    names = [*xs, *zs]
    if tuple(names) != gradient.inputs:  # the same function at other values
        values = {
            name: tape.emit("Identity", Value(given, tape)).name
            for name, given in zip(names, gradient.inputs, strict=True)
        }
        path = [_copy(node, values, tape) for node in path]
        xs, y = tuple(values[x] for x in xs), values.get(y, y)
    shares = _backward(gradient, path, set(xs), y, tape)
    for x, output in zip(xs, gradient.outputs, strict=False):
        if output:
            value = Value(x, tape)
            total = _total(shares.get(x, []), tape)
            if total is None:  # y does not depend on it
                total = tape.filled(0, tape.emit("Shape", value), value)
            tape.nodes.append(Node("Identity", (total.name,), (output,), opset=1))


def _attributes(gradient: Node) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    given = gradient.attributes
    xs, zs, y = given.get("xs"), given.get("zs", ()), given.get("y")
    if not isinstance(xs, tuple) or not isinstance(y, str) or not isinstance(zs, tuple):
        raise ModelError(f"{gradient} must have the attributes xs and y: names of tensors")
    if len(xs) + len(zs) != len(gradient.inputs) or len(gradient.outputs) > len(xs):
        raise ModelError(
            f"{gradient} must have an input for each of xs {list(xs)} and zs {list(zs)}, "
            f"and no more outputs than xs"
        )
    return xs, zs, y


def _path(gradient: Node, nodes: list[Node], graph: Graph) -> list[Node]:
    """The nodes between a Gradient's ``xs`` and ``zs`` and its ``y``, in order."""
    xs, zs, y = _attributes(gradient)
    given = {*xs, *zs}
    producers = {name: node for node in nodes for name in node.outputs if name}
    needed: dict[int, Node] = {}
    waiting = [y]
    while waiting:
        name = waiting.pop()
        if name in given or name in graph.initializers:
            continue
        node = producers.get(name)
        if node is None:
            raise ModelError(
                f"{gradient}: y '{y}' depends on '{name}', which is in neither xs nor zs"
            )
        if id(node) not in needed:
            needed[id(node)] = node
            waiting += reads(node)
    inputs = tuple(Input(name) for name in sorted(given))
    part = replace(graph, inputs=inputs, outputs=(), nodes=tuple(needed.values()))
    return list(order_nodes(part).nodes)


def _copy(node: Node, values: dict[str, str], tape: Tape) -> Node:
    """The node on other values, which ``values`` has by the names of the old."""
    (copied,) = rename_inputs([node], values)
    for name in filter(None, node.outputs):
        values[name] = tape.fresh(f"{tape.title}/{name}")
        tape.originals[values[name]] = name
    outputs = tuple(values[name] if name else "" for name in node.outputs)
    copied = replace(copied, outputs=outputs, name=f"{tape.title}/{node.name or node.op_type}")
    tape.nodes.append(copied)
    return copied


def _backward(
    gradient: Node, path: list[Node], xs: set[str], y: str, tape: Tape
) -> dict[str, list[Value]]:
    """What each reader of a value says of its gradient, for all values on the way."""
    depends = set(xs)
    for node in path:
        if has_slope(node) and depends.intersection(reads(node)):
            depends.update(filter(None, node.outputs))
    result = Value(y, tape)
    shares = {y: [tape.filled(1, tape.emit("Shape", result), result)]}
    for node in reversed(path):
        if not depends.intersection(node.outputs) or not shares.keys() & set(node.outputs):
            continue
        gradients = tuple(
            None if name in xs else _total(shares.pop(name, []), tape) for name in node.outputs
        )
        for name, share in _shares_of(gradient, node, gradients, depends, tape):
            shares.setdefault(name, []).append(share)
    return shares


def _shares_of(
    gradient: Node,
    node: Node,
    gradients: tuple[Value | None, ...],
    depends: set[str],
    tape: Tape,
) -> Iterator[tuple[str, Value]]:
    """The inputs of a node on which y depends, each with the gradient by it."""
    find = RULES.get(node.op_type) if not node.domain else None
    others = any(value is not None for value in gradients[1:])
    if find is None or (others and node.op_type not in SEVERAL_OUTPUTS):
        raise _unsupported(gradient, node)
    try:
        rules = find(Step(node, tape, gradients))
        for name, by_input in zip(node.inputs, rules, strict=False):
            if name in depends and by_input is not None:
                yield name, by_input()
    except NoRuleError as error:
        raise _unsupported(gradient, node, f" {error}") from None


def _total(shares: list[Value], tape: Tape) -> Value | None:
    """The sum of what a value's readers say of it; None where nobody reads it."""
    if len(shares) < 2:
        return shares[0] if shares else None
    return tape.emit("Sum", *shares)


def _unsupported(gradient: Node, node: Node, why: str = "") -> UnsupportedError:
    return UnsupportedError(f"{gradient}: the gradient of {node}{why} is not supported")
