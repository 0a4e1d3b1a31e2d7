"""Recurrent layers on a few sequences: all layers of a stack take their step in the same calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..types import Array
from .cells import Gates, make_cell


class Wave:
    """Layer 2 at step t goes with layer 1 at step t + 1, and so on.

    The layers lie side by side along H, so a step of all of them costs the calls of
    one, and one product with a block matrix: the state (h¹ₜ, h²ₜ₋₁) holds both
    layer 1's recurrence and layer 2's input. The first layer's projections of all
    steps are made before, those of a reversed direction in its own order of time.
    """

    def __init__(
        self,
        kind: str,
        layers: Sequence[Gates],
        table: Array | None,
        reverse: Sequence[bool],
        steps: int,
        batch: int,
        keep: bool,
    ) -> None:
        self.first, self.table, self.reverse, self.steps = layers[0], table, reverse, steps
        self.edges = np.cumsum([0, *(layer.shape[3] for layer in layers)]).tolist()
        directions, hidden, last = len(reverse), self.edges[-1], self.edges[-2]
        matrix, start, stop = block_matrix(layers, self.edges)
        count = len(matrix)
        resets = after_reset_of(layers, self.edges)
        self.cell = cell = make_cell(kind, directions, batch, hidden, resets)
        waves = steps + len(layers) - 1
        # Behind the first layer's last step the others go on, and it may compute anything.
        self.x = np.zeros((waves, count, directions, batch, hidden), np.float32)
        for layer, left, right in zip(layers, self.edges, self.edges[1:], strict=False):
            self.x[..., left:right] = layer.bias[:, :, None]
        self.inputs = list(self.x)
        self.h = np.zeros((waves + 1 if keep else 1, directions, batch, hidden), np.float32)
        states = list(self.h) if keep else [self.h[0]] * (waves + 1)
        self.before, self.after = states[:-1], states[1:]
        self.products = np.zeros((count, directions, batch, hidden), np.float32)
        operand, self.multiply, self.products = product(matrix, self.products, start, stop)
        self.operands = [operand(state) for state in self.before]
        self.finals = [states[-1][..., last:]]
        if cell.cell_state is not None:
            self.finals.append(cell.cell_state[..., last:])
        self.last = slice(last, hidden)

    def run(self, x: Array, initial: Sequence[Array | None], y: Array | None) -> Sequence[Array]:
        """See ``Runner``."""
        self._project(x)
        starts = [self.before[0]]
        if self.cell.cell_state is not None:
            starts.append(self.cell.cell_state)
        for start, state in zip(starts, initial, strict=False):
            start[...] = 0 if state is None else state
        ramp = len(self.edges) - 2
        for wave in range(ramp):
            self._advance(wave, wave + 1)
            # The layers above have not begun.
            self.after[wave][..., self.edges[wave + 1] :] = 0
            if self.cell.cell_state is not None:
                self.cell.cell_state[..., self.edges[wave + 1] :] = 0
        self._advance(ramp, len(self.inputs))
        if y is not None:
            for d, backward in enumerate(self.reverse):
                h = self.h[ramp + 1 :, d, :, self.last]
                np.copyto(y[:, d], h[::-1] if backward else h)
        return self.finals

    def _advance(self, start: int, stop: int) -> None:
        add, multiply, update = np.add, self.multiply, self.cell.update
        products, gates = self.products, self.cell.gates
        steps = slice(start, stop)
        for operand, x, h, h_next in zip(
            self.operands[steps],
            self.inputs[steps],
            self.before[steps],
            self.after[steps],
            strict=True,
        ):
            multiply(operand)
            add(products, x, gates)
            update(h, h_next)

    def _project(self, x: Array) -> None:
        """The first layer's projections, with bias, into ``self.x``."""
        start, stop = self.first.projected
        hidden, batch = self.edges[1], self.x.shape[3]
        for d, backward in enumerate(self.reverse):
            target = self.x[: self.steps, start:stop, d, :, :hidden]
            # (G, T, N, H) to (T, G, N, H)
            target = (target[::-1] if backward else target).swapaxes(0, 1)
            if self.table is not None:
                np.copyto(target, np.take(self.table[d], x, 1, mode="clip"))
            else:
                weights = self.first.input[start:stop, d]
                projected = np.matmul(x.reshape(-1, x.shape[2]), weights)
                projected = projected.reshape(len(weights), self.steps, batch, hidden)
                np.add(projected, self.first.bias[start:stop, d, None, None], target)


def block_matrix(layers: Sequence[Gates], edges: Sequence[int]) -> tuple[Array, int, int]:
    """(G, D, H, H) of all layers' H, and from which gate to which it is not 0.

    The diagonal blocks are the layers' recurrences; above each is what it takes from
    the layer below.
    """
    count, directions = layers[0].shape[:2]
    hidden = edges[-1]
    matrix = np.zeros((count, directions, hidden, hidden), np.float32)
    start, stop = layers[0].recurrent
    for place, layer in enumerate(layers):
        own = slice(edges[place], edges[place + 1])
        matrix[..., own, own] = layer.recurrence
        if place:
            matrix[..., edges[place - 1] : edges[place], own] = layer.input
            start, stop = min(start, layer.projected[0]), max(stop, layer.projected[1])
    return matrix, start, stop


def after_reset_of(layers: Sequence[Gates], edges: Sequence[int]) -> Array | None:
    """The layers' matrices for the reset state, as blocks of one (D, H, H)."""
    if layers[0].after_reset is None:
        return None
    matrix = np.zeros((layers[0].shape[1], edges[-1], edges[-1]), np.float32)
    for place, layer in enumerate(layers):
        own = slice(edges[place], edges[place + 1])
        assert layer.after_reset is not None
        matrix[:, own, own] = layer.after_reset
    return matrix


Operand = Any
"""What ``multiply`` takes: a view of a state, made once."""


def product(
    matrix: Array, out: Array, start: int, stop: int
) -> tuple[Callable[[Array], Operand], Callable[[Operand], Any], Array]:
    """How a state (D, N, H) is multiplied by gates ``start`` to ``stop`` of a matrix.

    Returns what makes an operand of a state, what multiplies an operand, and where
    the products are then: (G, D, N, H), 0 for the other gates. ``dot`` on one row costs
    a third of what ``matmul`` does.
    """
    count, directions, batch, hidden = out.shape
    used = matrix[start:stop]
    if batch > 1:
        target, matmul = out[start:stop], np.matmul

        def multiply(h: Array) -> None:
            matmul(h, used, target)

        return (lambda h: h), multiply, out
    rows = np.zeros((directions, count * hidden), np.float32)
    targets = [row[start * hidden : stop * hidden] for row in rows]
    flat = [
        np.ascontiguousarray(used[:, d].swapaxes(0, 1)).reshape(hidden, -1)
        for d in range(directions)
    ]
    products = rows.reshape(directions, count, hidden).swapaxes(0, 1)[:, :, None]
    if directions == 1:
        (single,), (row,) = flat, targets

        def multiply_row(h: Array) -> None:
            h.dot(single, row)

        return (lambda h: h.reshape(-1)), multiply_row, products

    (forward, backward), (left, right) = flat, targets

    def multiply_rows(h: tuple[Array, Array]) -> None:
        h[0].dot(forward, left)
        h[1].dot(backward, right)

    return (lambda h: tuple(h.reshape(2, -1))), multiply_rows, products
