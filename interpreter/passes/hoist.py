"""What each iteration of a Loop computes anew, though it could be computed before: what depends on
nothing inside, and what depends only on the row of a sequence that the iteration reads.

Only loops are changed that run a number of times that is known and not 0: then each
of their nodes runs anyway, and what fails before the loop would have failed inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..checking import reads
from ..graph import Graph, Node
from ..support import operator_of
from ..types import TensorType
from ._index import Index, rename_inputs
from .cleanup import drop_dead
from .loops import body_of, counts, inner_index, is_loop, padded, with_body
from .reversals import Change

WIDEST = 4
"""How many times as wide as the rows a product may be that is kept for all rows: a gated layer's
four gates. The memory of the sequence is what the model needs anyway."""

_UNARY = frozenset("Identity Tanh Sigmoid Relu Neg Exp Abs Sqrt Softplus Softsign Erf".split())


def hoist(graph: Graph) -> Graph:
    """Move out of Loops what can be computed before them; a product of a sequence's row with a
    matrix becomes one product of the whole sequence."""
    index = Index(graph)
    change = Change()
    for position, node in enumerate(graph.nodes):
        if is_loop(node) and _runs(node, index):
            made = _Hoist(padded(node), index, change)
            made.run()
            if made.before:
                change.nodes[position] = (*made.before, made.loop())
    return change.apply(graph) if change.nodes else graph


def _runs(node: Node, index: Index) -> bool:
    """Whether a Loop has no condition and runs a known number of times, once at least."""
    trips = index.constants.get(node.inputs[0])
    return (
        trips is not None
        and trips.size == 1
        and bool(trips.all() and (trips > 0).all())
        and (len(node.inputs) < 2 or not node.inputs[1])
    )


@dataclass
class _Hoist:
    """One Loop's body, node by node."""

    node: Node
    outer: Index
    change: Change
    before: list[Node] = field(default_factory=list)
    """What runs before the loop."""
    moved: dict[str, str] = field(default_factory=dict)
    """Names inside, of values that are the same in each iteration: their names outside."""
    rows: dict[str, str] = field(default_factory=dict)
    """Names inside, of values that are a row of an outer value."""
    kept: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inner = inner_index(self.node, self.outer.constants)
        body = body_of(self.node)
        self.inside = {value.name for value in body.inputs} | self.inner.producer.keys()
        self.title = next(filter(None, self.node.outputs), self.node.name)

    def run(self) -> None:
        """Sort the body's nodes."""
        for node in body_of(self.node).nodes:
            if self._is_the_same(node):
                self._move(node)
            elif not self._lift(node):
                self.kept.append(node)

    def loop(self) -> Node:
        """The loop with what is left."""
        body = body_of(self.node)
        needed = {name for node in self.kept for name in reads(node)}
        needed |= {value.name for value in body.outputs}
        taken = [
            Node("Gather", (sequence, body.inputs[0].name), (name,), {"axis": 0}, opset=13)
            for name, sequence in self.rows.items()
            if name in needed
        ]
        outputs = [replace(v, name=self.moved.get(v.name, v.name)) for v in body.outputs]
        nodes = (*taken, *rename_inputs(self.kept, self.moved))
        left = replace(body, nodes=nodes, outputs=tuple(outputs))
        return with_body(self.node, drop_dead(left))

    def _is_the_same(self, node: Node) -> bool:
        """Whether a node computes the same in each iteration."""
        if any(True for _ in node.subgraphs) or not operator_of(node).pure:
            return False
        return all(name in self.moved or name not in self.inside for name in reads(node))

    def _outside(self, name: str) -> str:
        """The name outside of a value that is the same in each iteration."""
        own = body_of(self.node).initializers.get(name)
        if own is not None:
            return self.change.constant(own, self.title, name)
        return self.moved.get(name, name)

    def _move(self, node: Node) -> None:
        self.moved |= {name: f"{self.title}/{name}" for name in node.outputs if name}
        inputs = tuple(self._outside(name) if name else "" for name in node.inputs)
        outputs = tuple(self.moved.get(name, "") for name in node.outputs)
        self.before.append(replace(node, inputs=inputs, outputs=outputs))

    def _lift(self, node: Node) -> bool:
        """Compute a row's node for all rows at once, if that is the same."""
        if node.domain or len(node.outputs) != 1:
            return False
        if node.op_type == "Gather":
            return self._read_row(node)
        known = [self._type(self.rows[name]) for name in node.inputs if name in self.rows]
        if len(known) != 1 or known[0] is None or known[0].shape is None:
            return False
        shape, others = known[0].shape, [name for name in node.inputs if name not in self.rows]
        constants = [self.inner.constants.get(name) for name in others]
        wide = shape[-1]
        if node.op_type == "MatMul" and node.inputs[0] in self.rows:
            (matrix,) = constants
            if matrix is None or matrix.ndim != 2 or not isinstance(wide, int):
                return False
            if matrix.shape[1] > WIDEST * wide:
                return False
            shape = (*shape[:-1], matrix.shape[1])
        elif node.op_type in ("Add", "Sub", "Mul", "Div") and len(node.inputs) == 2:
            (vector,) = constants
            if vector is None or vector.ndim > 1 or vector.size not in (1, wide):
                return False
            if "axis" in node.attributes or "broadcast" in node.attributes:
                return False
        elif node.op_type not in _UNARY or others:
            return False
        name = f"{self.title}/{node.outputs[0]}/rows"
        read = (
            self.rows[name] if name in self.rows else self._outside(name) for name in node.inputs
        )
        self.before.append(replace(node, inputs=tuple(read), outputs=(name,)))
        self.change.types[name] = TensorType(known[0].dtype, shape)
        self.rows[node.outputs[0]] = name
        return True

    def _type(self, name: str) -> TensorType | None:
        known = self.change.types.get(name)
        return known if isinstance(known, TensorType) else self.outer.tensor(name)

    def _read_row(self, node: Node) -> bool:
        """Whether a Gather takes the iteration's row of an outer value that has as many rows as
        there are iterations."""
        sequence, number = node.inputs
        known = self.outer.tensor(sequence)
        if sequence in self.inside or not counts(number, self.inner) or known is None:
            return False
        trips = int(self.outer.constants[self.node.inputs[0]].reshape(-1)[0])
        if node.attributes.get("axis", 0) or not known.shape or known.shape[0] != trips:
            return False
        if len(known.shape) < 2 or known.sparse:
            return False
        self.rows[node.outputs[0]] = sequence
        return True
