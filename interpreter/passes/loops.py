"""What is known of a Loop before it runs is taken out of its body: values that stay the same,
counters, and the condition of a loop that runs a fixed number of times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..checking import captures, value_names
from ..graph import Graph, Node, Value
from ..plan import compile_graph
from ..types import Array, enum_of_dtype
from ._index import Index, rebuild, rename_inputs
from .cleanup import drop_dead

MAX_TRIPS = 100_000
"""Iterations above which a condition is not computed when the model is loaded."""

_ELEMENTWISE = frozenset(
    "Identity Cast Add Sub Mul Neg Not And Or Xor Equal Less LessOrEqual Greater "
    "GreaterOrEqual".split()
)
"""What of a condition can be computed for all iterations at once."""


def simplify_loops(graph: Graph) -> Graph:
    """Take what is known out of the bodies of Loops.

    A carried value that the body gives back as it came is read from outside. One that counts the
    iterations is computed from the iteration's number. A condition that depends on that alone is
    computed for all iterations at once, and the loop runs so many times without one.
    """
    index = Index(graph)
    changes: dict[int, list[Node]] = {}
    constants: dict[str, Array] = {}
    for position, node in enumerate(graph.nodes):
        if not is_loop(node):
            continue
        simpler, behind = _without_unchanged(padded(node))
        simpler = _without_counters(simpler, index)
        simpler, trips = _without_condition(simpler, index)
        constants |= trips
        body = drop_dead(body_of(simpler))
        changes[position] = [with_body(simpler, body), *behind]
    return rebuild(graph, changes, constants) if changes else graph


def is_loop(node: Node) -> bool:
    """Whether it is the standard's Loop, with a body that fits it (one that does not is refused
    when it runs)."""
    if node.op_type != "Loop" or node.domain:
        return False
    body, carried = body_of(node), max(0, len(node.inputs) - 2)
    fits = len(body.inputs) == 2 + carried and len(body.outputs) >= 1 + carried
    return fits and len(node.outputs) < len(body.outputs) and any(node.outputs)


def body_of(node: Node) -> Graph:
    """A Loop's body."""
    body = node.attributes["body"]
    assert isinstance(body, Graph)
    return body


def with_body(node: Node, body: Graph) -> Node:
    """The Loop with another body."""
    return replace(node, attributes={**node.attributes, "body": body})


def padded(node: Node) -> Node:
    """The Loop with its M and condition, and all its outputs, "" where they are left out."""
    inputs = (*node.inputs, "", "")[: max(2, len(node.inputs))]
    missing = len(body_of(node).outputs) - 1 - len(node.outputs)
    return replace(node, inputs=inputs, outputs=(*node.outputs, *[""] * missing))


def inner_index(node: Node, outer: Mapping[str, Array]) -> Index:
    """An index of a Loop's body that knows the constants around it."""
    body = body_of(node)
    taken = {name: outer[name] for name in captures(body) if name in outer}
    return Index(replace(body, initializers={**taken, **body.initializers}))


def source(name: str, index: Index) -> str:
    """The value that a name stands for, behind Identity."""
    while (maker := index.maker(name)) is not None and maker.op_type == "Identity":
        name = maker.inputs[0]
    return name


def counts(name: str, index: Index) -> bool:
    """Whether a value inside a body is the iteration's number, an integer of any width."""
    while (maker := index.maker(name)) is not None:
        if maker.op_type == "Cast":
            if maker.attributes["to"] not in _INTEGERS:
                return False
        elif maker.op_type != "Identity":
            return False
        name = maker.inputs[0]
    return name == index.graph.inputs[0].name


_INTEGERS = {enum_of_dtype(np.dtype(kind)) for kind in (np.int32, np.int64)}


def _without_unchanged(node: Node) -> tuple[Node, list[Node]]:
    """Carried values that never change are read from outside; what stands for their outputs."""
    body = body_of(node)
    index = Index(body)
    own = set(value_names(body))
    names: dict[str, str] = {}
    behind: list[Node] = []
    gone: set[int] = set()
    for place, outer in enumerate(node.inputs[2:]):
        name = body.inputs[2 + place].name
        if source(body.outputs[1 + place].name, index) != name or outer in own:
            continue
        names[name] = outer
        gone.add(place)
        if node.outputs[place]:
            behind.append(Node("Identity", (outer,), (node.outputs[place],), opset=node.opset))
    if not gone:
        return node, []
    node = _without_carried(node, gone)
    body = body_of(node)
    outputs = [replace(value, name=names.get(value.name, value.name)) for value in body.outputs]
    nodes = rename_inputs(body.nodes, names)
    return with_body(node, replace(body, nodes=tuple(nodes), outputs=tuple(outputs))), behind


def _without_carried(node: Node, gone: set[int]) -> Node:
    """The Loop without some of its carried values, which its body must no longer need."""
    body = body_of(node)

    def rest(values: tuple[Value, ...], first: int) -> tuple[Value, ...]:
        return tuple(v for place, v in enumerate(values) if place - first not in gone)

    return replace(
        with_body(node, replace(body, inputs=rest(body.inputs, 2), outputs=rest(body.outputs, 1))),
        inputs=tuple(name for place, name in enumerate(node.inputs) if place - 2 not in gone),
        outputs=tuple(name for place, name in enumerate(node.outputs) if place not in gone),
    )


def _without_counters(node: Node, index: Index) -> Node:
    """Carried integers that start at 0 and grow by 1, and that nobody reads behind the loop."""
    body, inner = body_of(node), inner_index(node, index.constants)
    made: list[Node] = []
    gone: set[int] = set()
    for place, outer in enumerate(node.inputs[2:]):
        start, output = index.constants.get(outer), node.outputs[place]
        if index.is_read(output):
            continue
        if start is None or start.shape or start.dtype not in (np.int32, np.int64) or start:
            continue
        name = body.inputs[2 + place].name
        step = inner.maker(source(body.outputs[1 + place].name, inner))
        if step is None or step.op_type != "Add" or step.domain:
            continue
        others = [other for other in step.inputs if source(other, inner) != name]
        one = inner.constants.get(others[0]) if len(others) == 1 else None
        if one is None or one.shape or one.dtype != start.dtype or one != 1:
            continue
        gone.add(place)
        made.append(
            Node(
                "Cast",
                (body.inputs[0].name,),
                (name,),
                {"to": enum_of_dtype(start.dtype)},
                opset=max(node.opset, 6),
            )
        )
    if not gone:
        return node
    return _without_carried(with_body(node, replace(body, nodes=(*made, *body.nodes))), gone)


def _without_condition(node: Node, index: Index) -> tuple[Node, dict[str, Array]]:
    """The loop without its condition where the number of iterations is known from the start.

    Returns the constants that it reads too: a new M, where the condition ends the loop earlier.
    """
    inner = inner_index(node, index.constants)
    if _runs_to_its_limit(node, index, inner):
        return _unconditional(node), {}
    limit, given = (index.constants.get(name) for name in node.inputs[:2])
    if not node.inputs[1]:
        return _unconditional(node), {}
    if limit is None or limit.size != 1 or given is None or given.size != 1 or not given.all():
        return node, {}
    going = _conditions(inner, int(limit.reshape(-1)[0]))
    if going is None:
        return node, {}
    node = _unconditional(node)
    ends = np.flatnonzero(~going[:-1])
    if not len(ends):
        return node, {}
    name = f"{node.inputs[0]}/{next(filter(None, node.outputs), node.name)}/trips"
    return replace(node, inputs=(name, *node.inputs[1:])), {name: np.array(ends[0] + 1, np.int64)}


def _unconditional(node: Node) -> Node:
    """The loop that ends by its M alone: its body hands the condition through."""
    body = body_of(node)
    outputs = (replace(body.outputs[0], name=body.inputs[1].name), *body.outputs[1:])
    node = replace(node, inputs=(node.inputs[0], "", *node.inputs[2:]))
    return with_body(node, replace(body, outputs=outputs))


def _conditions(inner: Index, limit: int) -> Array | None:
    """The body's condition after each of ``limit`` iterations, None where it depends on more than
    their number."""
    if limit > MAX_TRIPS:
        return None
    body = inner.graph
    number, before = (value.name for value in body.inputs[:2])
    wanted = source(body.outputs[0].name, inner)
    if wanted == before:
        return np.ones(max(limit, 0), np.bool_)
    wave = drop_dead(replace(body, outputs=(Value(wanted),)))
    leaves = {name for node in wave.nodes for name in node.inputs} | {wanted}
    leaves -= inner.producer.keys() | {number}
    scalars = {name: inner.constants[name] for name in leaves if name in inner.constants}
    if len(scalars) < len(leaves) or any(value.shape for value in scalars.values()):
        return None
    if any(node.domain or node.op_type not in _ELEMENTWISE for node in wave.nodes):
        return None
    graph = replace(wave, inputs=(Value(number),), initializers=scalars)
    (result,) = compile_graph(graph).execute([np.arange(limit)])
    if result.dtype != np.bool_:
        return None
    return np.broadcast_to(result, (max(limit, 0),))


def _runs_to_its_limit(node: Node, index: Index, inner: Index) -> bool:
    """Whether a loop whose M is only known when it runs ends by that: its condition before it is
    0 < M, and in iteration i no more than i < M and i + 1 < M.

    They may be compared as float32, as tf2onnx does, which is exact up to 2**24 iterations.
    """
    limit = _number(node.inputs[0], index)
    if not limit or limit in index.constants:
        return False
    body = inner.graph
    count = body.inputs[0].name

    def allowed(name: str, within: Index, first: Callable[[str], bool]) -> bool:
        maker = within.maker(source(name, within))
        if maker is None or maker.domain:
            return False
        if maker.op_type == "And":
            return all(allowed(each, within, first) for each in maker.inputs)
        if maker.op_type != "Less":
            return False
        low, high = (_number(each, within) for each in maker.inputs)
        return first(low) and _number(high, index) == limit

    def is_zero(name: str) -> bool:
        value = index.constants.get(name)
        return value is not None and not value.shape and value == 0

    def is_next(name: str) -> bool:
        maker = inner.maker(name)
        if maker is not None and maker.op_type == "Add" and not maker.domain:
            parts = [_number(each, inner) for each in maker.inputs]
            ones = [inner.constants.get(each) for each in parts if each != count]
            return (
                count in parts
                and all(one is not None and not one.shape and one == 1 for one in ones)
                and len(ones) == 1
            )
        return name == count

    given = index.constants.get(node.inputs[1])
    starts = allowed(node.inputs[1], index, is_zero) if given is None else bool(given.all())
    return starts and allowed(body.outputs[0].name, inner, is_next)


def _number(name: str, index: Index) -> str:
    """The value that a number stands for, behind Casts to types that hold it."""
    while (maker := index.maker(name)) is not None and maker.op_type in ("Cast", "Identity"):
        if maker.op_type == "Cast" and maker.attributes["to"] not in _NUMBERS:
            break
        name = maker.inputs[0]
    return name


_NUMBERS = {*_INTEGERS, *(enum_of_dtype(np.dtype(kind)) for kind in (np.float32, np.float64))}
