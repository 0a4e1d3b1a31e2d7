"""What the body of a Loop computes, read as the formulas of an RNN or a GRU.

Notation: x_t (N, I) is the row of the sequence that the iteration reads, h (N, H) the
carried state, N samples. Constants are what the body reads of them, as the file has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..graph import Node
from ..types import Array
from ._index import Index
from .loops import counts, source


@dataclass(frozen=True, slots=True)
class Affine:
    """x_t W + h R + b, (N, K): W (I, K), R (H, K), b (K); None is 0."""

    W: Array | None = None
    R: Array | None = None
    b: Array | None = None

    @property
    def parts(self) -> tuple[Array | None, Array | None, Array | None]:
        """W, R and b."""
        return self.W, self.R, self.b

    @property
    def width(self) -> int:
        """K; -1 where the parts do not agree."""
        widths = {part.shape[-1] for part in self.parts if part is not None}
        return int(widths.pop()) if len(widths) == 1 else -1

    def plus(self, other: Affine) -> Affine | None:
        """The sum, None where the parts do not fit."""
        pairs = list(zip(self.parts, other.parts, strict=True))
        shapes = [{part.shape for part in pair if part is not None} for pair in pairs]
        if self.width != other.width or any(len(each) > 1 for each in shapes):
            return None
        W, R, b = (b if a is None else a if b is None else a + b for a, b in pairs)
        return Affine(W, R, b)

    def columns(self, start: int | None, stop: int | None) -> Affine:
        """The columns ``start : stop``."""
        W, R, b = (None if part is None else part[..., start:stop] for part in self.parts)
        return Affine(W, R, b)


class Cell(NamedTuple):
    """A recurrent cell: its operator, and of each gate, in the operator's order, what goes into
    the activation, without the bias that a GRU's reset gate multiplies."""

    op_type: str
    activation: str
    gates: Sequence[Affine]
    reset_bias: Array | None = None
    linear_before_reset: bool = False


class Body:
    """A Loop's body that carries one state."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.state = index.graph.inputs[2].name
        self.sequence: str | None = None
        """What the body reads by the iteration's number."""
        self._inside = {value.name for value in index.graph.inputs} | index.producer.keys()

    def cell(self, output: str) -> Cell | None:
        """The cell that computes a value; None where it is another formula."""
        node = self._maker(output)
        if node is None:
            return None
        if node.op_type in ("Tanh", "Relu", "Sigmoid"):
            gate = self.affine(node.inputs[0])
            return None if gate is None else Cell("RNN", node.op_type, (gate,))
        return self._gru(node) if node.op_type == "Add" else None

    def affine(self, name: str) -> Affine | None:
        """A value as an affine function of x_t and h, None where it is not seen to be one."""
        name = source(name, self.index)
        constant = self.index.constants.get(name)
        if constant is not None:
            flat = constant.ndim in (1, 2) and constant.size == constant.shape[-1]
            return Affine(b=constant.reshape(-1)) if flat else None
        node = self._maker(name)
        if node is None:
            return None
        if node.op_type == "MatMul":
            return self._product(node)
        if node.op_type == "Add":
            one, other = map(self.affine, node.inputs)
            return None if one is None or other is None else one.plus(other)
        if node.op_type in ("Split", "Slice"):
            return self._columns(node, node.outputs.index(name))
        return None

    def _maker(self, name: str) -> Node | None:
        node = self.index.maker(source(name, self.index))
        return None if node is None or node.domain else node

    def _product(self, node: Node) -> Affine | None:
        left = source(node.inputs[0], self.index)
        matrix = self.index.constants.get(source(node.inputs[1], self.index))
        if matrix is None or matrix.ndim != 2:
            return None
        if left == self.state:
            return Affine(R=matrix)
        row = self._maker(left)
        if row is None or row.op_type != "Gather" or row.attributes.get("axis", 0):
            return None
        sequence = row.inputs[0]
        if sequence in self._inside or not counts(row.inputs[1], self.index):
            return None
        self.sequence = self.sequence or sequence
        return Affine(W=matrix) if sequence == self.sequence else None

    def _columns(self, node: Node, place: int) -> Affine | None:
        """Part of the last axis of an affine value, which has two."""
        whole = self.affine(node.inputs[0])
        known = (
            source(name, self.index) in self.index.constants for name in node.inputs[1:] if name
        )
        if whole is None or not all(known):
            return None
        if node.op_type == "Split":
            size, rest = divmod(whole.width, len(node.outputs))
            if node.attributes.get("axis", 0) not in (1, -1) or rest:
                return None
            sizes = self._numbers(node, 1, "split") or [size] * len(node.outputs)
            return whole.columns(size * place, size * (place + 1)) if set(sizes) == {size} else None
        starts, ends, axes, strides = (
            self._numbers(node, position, name)
            for position, name in enumerate(("starts", "ends", "axes", "steps"), 1)
        )
        if starts is None or ends is None or (strides and set(strides) != {1}):
            return None
        for axis, start, end in zip(axes or range(len(starts)), starts, ends, strict=True):
            if axis in (1, -1):
                whole = whole.columns(start, end)
            elif axis not in (0, -2) or start or end < np.iinfo(np.int32).max:
                return None
        return whole

    def _numbers(self, node: Node, position: int, name: str) -> list[int] | None:
        """An attribute that newer versions take as an input; None where it is left out."""
        given = node.attributes.get(name)
        if given is None and len(node.inputs) > position and node.inputs[position]:
            given = self.index.constants.get(source(node.inputs[position], self.index))
        return None if given is None else [int(value) for value in given]

    def _gru(self, node: Node) -> Cell | None:
        """z ⊙ h + (1 - z) ⊙ ĥ."""
        for kept, taken in _orders(node):
            for z, state in self._factors(kept):
                for rest, candidate in self._factors(taken):
                    if state == self.state and self._is_rest(rest, z):
                        return self._with_candidate(z, candidate)
        return None

    def _factors(self, name: str) -> Iterator[tuple[str, str]]:
        """What a value is the product of, in both orders."""
        node = self._maker(name)
        if node is not None and node.op_type == "Mul":
            for one, other in _orders(node):
                yield source(one, self.index), source(other, self.index)

    def _is_rest(self, name: str, z: str) -> bool:
        """Whether a value is 1 - z."""
        node = self._maker(name)
        if node is None or node.op_type != "Sub" or source(node.inputs[1], self.index) != z:
            return False
        one = self.index.constants.get(source(node.inputs[0], self.index))
        return one is not None and one.size == 1 and bool((one == 1).all())

    def _activated(self, name: str, activation: str) -> str | None:
        """What goes into an activation."""
        node = self._maker(name)
        return node.inputs[0] if node is not None and node.op_type == activation else None

    def _sigmoid(self, name: str) -> Affine | None:
        before = self._activated(name, "Sigmoid")
        return None if before is None else self.affine(before)

    def _with_candidate(self, z: str, candidate: str) -> Cell | None:
        """ĥ = tanh(x_t W + b + r ⊙ (h R + c)), or tanh(x_t W + b + (r ⊙ h) R)."""
        update = self._sigmoid(z)
        before = self._activated(candidate, "Tanh")
        node = None if before is None else self._maker(before)
        if update is None or node is None or node.op_type != "Add":
            return None
        for one, other in _orders(node):
            given, hidden = self.affine(one), self._reset(other)
            if given is None or given.R is not None or hidden is None:
                continue
            reset, recurrent, linear = hidden
            gate = Affine(given.W, recurrent.R, given.b)
            return Cell("GRU", "Tanh", (update, reset, gate), recurrent.b, linear)
        return None

    def _reset(self, name: str) -> tuple[Affine, Affine, bool] | None:
        """The reset gate, what it acts on, and whether the product with R comes before it."""
        for r, recurrent in self._factors(name):
            reset, value = self._sigmoid(r), self.affine(recurrent)
            if reset is not None and value is not None and value.W is None:
                return reset, value, True
        node = self._maker(name)
        if node is None or node.op_type != "MatMul":
            return None
        matrix = self.index.constants.get(source(node.inputs[1], self.index))
        for r, state in self._factors(node.inputs[0]):
            reset = self._sigmoid(r)
            if reset is not None and state == self.state and matrix is not None:
                return (reset, Affine(R=matrix), False) if matrix.ndim == 2 else None
        return None


def _orders(node: Node) -> Iterator[tuple[str, str]]:
    """The inputs of a node that commutes, in both orders."""
    one, other = node.inputs
    yield one, other
    yield other, one
