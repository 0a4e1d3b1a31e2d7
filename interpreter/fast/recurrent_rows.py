"""Recurrent layers on many sequences: a step's operands stay in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np

from ..types import Array
from .recurrent_cells import Cell, Gates, Update, make_cell

Step: TypeAlias = tuple[Array, ...]
"""What comes in at a step, one a direction: (N, I), or indices (N,)."""

Stage: TypeAlias = tuple[Callable[[Step], None], Update, Array]
"""How a layer's gates are made, its update, and its state."""


class Rows:
    """At each step the layers go one after the other.

    What a layer multiplies lies side by side in one buffer (D, N, K) of a few steps'
    life: its input, a column of ones for the bias, its state. So input and state are
    multiplied in one product, which needs no bias added, and the state of a layer
    already lies where the next one reads its input. The first layer adds rows of the
    table, where there is one, and has no input in the buffer.
    """

    def __init__(
        self,
        kind: str,
        joints: Sequence[Joint],
        table: Array | None,
        reverse: Sequence[bool],
        batch: int,
    ) -> None:
        layers = [joint.layer for joint in joints]
        self.reverse = reverse
        directions = len(reverse)
        inputs = 0 if table is not None else layers[0].shape[2]
        widths = [inputs, *(layer.shape[3] for layer in layers)]
        edges = np.cumsum([0, *(width + 1 for width in widths)]).tolist()
        self.buffer = np.ones((directions, batch, edges[-1] - 1), np.float32)
        self.cells = [make_cell(kind, [layer], batch) for layer in layers]
        self.h = [
            self.buffer[..., start : start + width]
            for start, width in zip(edges[1:], widths[1:], strict=False)
        ]
        self.stages: list[Stage] = []
        for place, (joint, cell) in enumerate(zip(joints, self.cells, strict=True)):
            # From the layer's input to the end of its state.
            side = self.buffer[..., edges[place] : edges[place + 2] - 1]
            if place:
                multiply = joint.product(cell, side)
            elif table is not None:
                multiply = lookups(joint.layer, cell, table, self.h[0])
            else:
                multiply = copied(self.buffer[..., :inputs], joint.product(cell, side))
            self.stages.append((multiply, cell.update, self.h[place]))

    def run(self, x: Array, initial: Sequence[Array | None], y: Array | None) -> Sequence[Array]:
        """See ``Runner``."""
        for h, cell in zip(self.h, self.cells, strict=True):
            for start, state in zip((h, cell.cell_state), initial, strict=False):
                if start is not None:
                    start[...] = 0 if state is None else state
        steps = zip(*(x[::-1] if backward else x for backward in self.reverse), strict=True)
        h = self.h[-1]
        if y is None:
            for each in steps:
                self._advance(each)
        else:
            ordered = [y[::-1, d] if back else y[:, d] for d, back in enumerate(self.reverse)]
            for each, after in zip(steps, zip(*ordered, strict=True), strict=True):
                self._advance(each)
                for target, state in zip(after, h, strict=True):
                    np.copyto(target, state)
        c = self.cells[-1].cell_state
        return [h] if c is None else [h, c]

    def _advance(self, x: Step) -> None:
        for multiply, update, h in self.stages:
            multiply(x)
            update(h, h)


def lookups(layer: Gates, cell: Cell, table: Array, h: Array) -> Callable[[Step], None]:
    """The product of the first layer's state, with the table's rows added."""
    gates = cell.gates
    count, directions, batch, hidden = gates.shape
    start, stop = layer.recurrent
    products = np.zeros(gates.shape, np.float32)
    target, matrix = products[start:stop], layer.recurrence[start:stop]
    x = np.zeros((directions, count, batch, hidden), np.float32)
    x[:] = layer.bias.swapaxes(0, 1)[:, :, None]
    rows = x.swapaxes(0, 1)
    first, last = layer.projected
    taken = [(each, out[first:last]) for each, out in zip(table, x, strict=True)]
    add, matmul = np.add, np.matmul

    def multiply(step: Step) -> None:
        for (each, out), indices in zip(taken, step, strict=True):
            each.take(indices, 1, out, "clip")
        matmul(h, matrix, target)
        add(products, rows, gates)

    return multiply


def copied(target: Array, multiply: Callable[[Step], None]) -> Callable[[Step], None]:
    """A product before which each direction's input is copied to its place."""

    def copy_and_multiply(step: Step) -> None:
        for place, x in zip(target, step, strict=True):
            np.copyto(place, x)
        multiply(step)

    return copy_and_multiply


class Joint:
    """One layer's matrix for (input, 1, state) side by side, made once for all shapes."""

    def __init__(self, layer: Gates) -> None:
        self.layer = layer

    @cached_property
    def parts(self) -> list[tuple[slice, slice, Array]]:
        """Of neighbouring gates that take the same of the three: which gates, which columns of
        the operand, and their matrix (gates, D, columns, H)."""
        layer = self.layer
        count, _, inputs, hidden = layer.shape
        matrix = np.concatenate([layer.input, layer.bias[:, :, None], layer.recurrence], axis=2)
        spans: list[tuple[int, int, int, int]] = []
        for gate in range(count):
            left = 0 if layer.projected[0] <= gate < layer.projected[1] else inputs
            recurrent = layer.recurrent[0] <= gate < layer.recurrent[1]
            right = inputs + 1 + (hidden if recurrent else 0)
            if left == inputs and not recurrent:
                continue  # the update makes it
            if spans and spans[-1][2:] == (left, right):
                spans[-1] = (spans[-1][0], gate + 1, left, right)
            else:
                spans.append((gate, gate + 1, left, right))
        return [
            (
                slice(start, stop),
                slice(left, right),
                np.ascontiguousarray(matrix[start:stop, :, left:right]),
            )
            for start, stop, left, right in spans
        ]

    def product(self, cell: Cell, operand: Array) -> Callable[[Step], None]:
        """What computes the gates of (D, N, I + 1 + H)."""
        calls = [
            (operand[..., columns], matrix, cell.gates[gates])
            for gates, columns, matrix in self.parts
        ]
        matmul = np.matmul

        def multiply(step: Step) -> None:
            del step
            for columns, matrix, out in calls:
                matmul(columns, matrix, out)

        return multiply
