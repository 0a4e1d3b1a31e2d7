"""Recurrent layers on a few sequences: all layers of a stack take their step in the same calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..types import Array
from .recurrent_cells import Gates, make_cell


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
        self.product = Product(matrix, start, stop, batch)
        self.multiplies = [self.product.of(state) for state in self.before]
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
        add, update = np.add, self.cell.update
        matrix, target, products = self.product.matrix, self.product.target, self.product.out
        gates = self.cell.gates
        steps = slice(start, stop)
        for multiply, x, h, h_next in zip(
            self.multiplies[steps],
            self.inputs[steps],
            self.before[steps],
            self.after[steps],
            strict=True,
        ):
            multiply(matrix, target)
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


class Product:
    """A state (D, N, H) times the gates ``start`` to ``stop`` of a matrix (G, D, H, H).

    ``of(h)(matrix, target)`` computes it into ``out`` (G, D, N, H), in which the
    other gates are 0. On one row ``dot`` costs a third of what ``matmul`` does.
    """

    matrix: Any
    target: Any
    of: Callable[[Array], Callable[[Any, Any], Any]]

    def __init__(self, matrix: Array, start: int, stop: int, batch: int) -> None:
        count, directions, hidden, _ = matrix.shape
        matrix = matrix[start:stop]
        if batch > 1:
            self.out = np.zeros((count, directions, batch, hidden), np.float32)
            self.matrix, self.target = matrix, self.out[start:stop]
            self.of = lambda h: partial(np.matmul, h)
            return
        rows = np.zeros((directions, count * hidden), np.float32)
        self.out = rows.reshape(directions, count, 1, hidden).swapaxes(0, 1)
        targets = list(rows[:, start * hidden : stop * hidden])
        matrices = [
            np.ascontiguousarray(matrix[:, d].swapaxes(0, 1)).reshape(hidden, -1)
            for d in range(directions)
        ]
        if directions == 1:
            (self.matrix,), (self.target,) = matrices, targets
            self.of = lambda h: h.reshape(-1).dot
        else:
            self.matrix, self.target = matrices, targets
            self.of = lambda h: _dots(*h.reshape(directions, -1))


def _dots(forward: Array, backward: Array) -> Callable[[Any, Any], None]:
    forward_dot, backward_dot = forward.dot, backward.dot

    def dots(matrices: Sequence[Array], targets: Sequence[Array]) -> None:
        forward_dot(matrices[0], targets[0])
        backward_dot(matrices[1], targets[1])

    return dots
