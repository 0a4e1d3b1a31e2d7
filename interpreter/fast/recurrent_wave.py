"""Recurrent layers on a few sequences: all layers of a stack take their step in the same calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..types import Array
from .recurrent_cells import Cell, Gates, Update, make_cell
from .workspace import as_items


class Wave:
    """Layer 2 at step t goes with layer 1 at step t + 1, and so on.

    The layers lie side by side along H, so a step of all of them costs the calls of
    one, and one product with a block matrix: the state (h¹ₜ, h²ₜ₋₁) holds both
    layer 1's recurrence and layer 2's input. The first layer's projections of all
    steps are made before, those of a reversed direction in its own order of time.
    There is ``room`` for so many steps; with ``keep`` the state after each is kept.
    """

    def __init__(
        self,
        kind: str,
        block: Block,
        table: Array | None,
        reverse: Sequence[bool],
        room: int,
        batch: int,
        keep: bool,
    ) -> None:
        self.first, self.table, self.reverse = block.layers[0], table, reverse
        self.edges = edges = block.edges
        count, directions, _, _ = self.first.shape
        hidden, last = edges[-1], edges[-2]
        self.cell = make_cell(kind, block.layers, batch)
        waves = room + len(block.layers) - 1
        # Behind the first layer's last step the other goes on, and it may compute anything.
        # The inputs lie in memory as the products do: (waves, D, G, 1, H) at batch 1.
        self.product = Product(block, batch)
        self.x = np.zeros((waves, count, directions, batch, hidden), np.float32)
        self.inputs, self.sums, self.update = list(self.x), self.cell.gates, self.cell.update
        if batch == 1 and directions > 1:
            rows = np.zeros((waves, directions, count, batch, hidden), np.float32)
            self.x, self.inputs = rows.swapaxes(1, 2), list(rows)
            self.sums = np.zeros_like(self.inputs[0])
            self.update = _spread(self.sums, self.cell)
        for layer, left, right in zip(block.layers, edges, edges[1:], strict=False):
            self.x[..., left:right] = layer.bias[:, :, None]
        self.h = np.zeros((waves + 1 if keep else 1, directions, batch, hidden), np.float32)
        states = list(self.h) if keep else [self.h[0]] * (waves + 1)
        self.before, self.after = states[:-1], states[1:]
        self.multiplies = [self.product.of(state) for state in self.before]
        self.last = slice(last, hidden)

    def run(self, x: Array, initial: Sequence[Array | None], y: Array | None) -> Sequence[Array]:
        """See ``Runner``."""
        self._project(x)
        h, c = self.before[0], self.cell.cell_state
        for start, state in zip((h, c), initial, strict=False):
            if start is not None:
                start[...] = 0 if state is None else state
        ramp = len(self.edges) - 2
        waves = ramp + len(x)
        for wave in range(ramp):
            self._advance(wave, wave + 1)
            # The layers above have not begun.
            self.after[wave][..., self.edges[wave + 1] :] = 0
            if c is not None:
                c[..., self.edges[wave + 1] :] = 0
        self._advance(ramp, waves)
        if y is not None:
            for d, backward in enumerate(self.reverse):
                sequence = self.h[ramp + 1 : waves + 1, d, :, self.last]
                np.copyto(y[:, d], sequence[::-1] if backward else sequence)
        finals = [self.after[waves - 1]] if c is None else [self.after[waves - 1], c]
        return [state[..., self.last] for state in finals]

    def _advance(self, start: int, stop: int) -> None:
        add, update, sums = np.add, self.update, self.sums
        matrix, target, products = self.product.matrix, self.product.target, self.product.out
        steps = slice(start, stop)
        for multiply, x, h, h_next in zip(
            self.multiplies[steps],
            self.inputs[steps],
            self.before[steps],
            self.after[steps],
            strict=True,
        ):
            multiply(matrix, target)
            add(products, x, sums)
            update(h, h_next)

    def _project(self, x: Array) -> None:
        """The first layer's projections, with bias, into ``self.x``."""
        start, stop = self.first.projected
        hidden, batch = self.edges[1], self.x.shape[3]
        for d, backward in enumerate(self.reverse):
            target = self.x[: len(x), start:stop, d, :, :hidden]
            # (G, T, N, H) to (T, G, N, H)
            target = (target[::-1] if backward else target).swapaxes(0, 1)
            if self.table is not None:
                np.copyto(target, np.take(self.table[d], x, 1, mode="clip"))
            else:
                weights = self.first.input[start:stop, d]
                projected = np.matmul(x.reshape(-1, x.shape[2]), weights)
                projected = projected.reshape(len(weights), len(x), batch, hidden)
                np.add(projected, self.first.bias[start:stop, d, None, None], target)


def _spread(sums: Array, cell: Cell) -> Update:
    """The cell's update after the sums (D, G, N, H) were brought into its gates (G, D, N, H).

    A copy of items costs less than an addition whose operands lie otherwise in memory.
    """
    update, source, target = cell.update, as_items(sums).swapaxes(0, 1), as_items(cell.gates)

    def spread(h: Array, h_next: Array) -> None:
        target[...] = source
        update(h, h_next)

    return spread


class Layers:
    """One layer after the other, each over the whole sequence.

    So each input is projected in one product: matrices so large that reading them is
    what a step costs are read once for all steps.
    """

    def __init__(self, waves: Sequence[Wave]) -> None:
        self.waves = waves

    def run(self, x: Array, initial: Sequence[Array | None], y: Array | None) -> Sequence[Array]:
        """See ``Runner``."""
        *below, top = self.waves
        for wave in below:
            _, directions, batch, hidden = wave.h.shape
            sequence = np.empty((len(x), directions, batch, hidden), np.float32)
            wave.run(x, (None, None), sequence)
            x = sequence[:, 0]
        return top.run(x, initial, y)


class Block:
    """The layers' parameters as one layer's, made once for all shapes.

    ``edges`` is where each layer begins along H, and the end.
    """

    def __init__(self, layers: Sequence[Gates]) -> None:
        self.layers = layers
        self.edges: list[int] = np.cumsum([0, *(layer.shape[3] for layer in layers)]).tolist()

    @property
    def width(self) -> int:
        """How many gates one sample has in one step: G * D * H."""
        count, directions, _, _ = self.layers[0].shape
        return count * directions * self.edges[-1]

    @property
    def zeros(self) -> int:
        """How many elements of the matrix stand for nothing, as layers take only from below."""
        widths = [layer.shape[3] for layer in self.layers]
        used = sum(a * a for a in widths) + sum(a * b for a, b in pairwise(widths))
        return int(self.layers[0].shape[0] * (sum(widths) ** 2 - used))

    @cached_property
    def matrix(self) -> Array:
        """(G, D, H, H): the layers' recurrences on the diagonal, above each what it takes from
        the layer below."""
        if len(self.layers) == 1:
            return self.layers[0].recurrence
        count, directions, _, _ = self.layers[0].shape
        matrix = np.zeros((count, directions, self.edges[-1], self.edges[-1]), np.float32)
        for place, layer in enumerate(self.layers):
            own = slice(self.edges[place], self.edges[place + 1])
            matrix[..., own, own] = layer.recurrence
            if place:
                matrix[..., self.edges[place - 1] : self.edges[place], own] = layer.input
        return matrix

    @cached_property
    def gates(self) -> tuple[slice, Array]:
        """The matrix without the gates at either end that are 0, and which are left."""
        used = span(np.any(self.matrix, axis=(1, 2, 3)))
        return used, self.matrix[used]

    @cached_property
    def rows(self) -> tuple[slice, list[Array]]:
        """For each direction (H, G * H), without the columns at either end that are 0."""
        count, directions, hidden, _ = self.matrix.shape
        flat = self.matrix.transpose(1, 2, 0, 3).reshape(directions, hidden, count * hidden)
        used = span(np.any(flat, axis=(0, 1)))
        return used, [np.ascontiguousarray(each[:, used]) for each in flat]


def span(mask: Any) -> slice:
    """From the first true element to the last."""
    places = np.flatnonzero(mask)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)


class Product:
    """A state (D, N, H) times a block's matrix.

    ``of(h)(matrix, target)`` computes it into ``out`` (G, D, N, H), at batch 1 (D, G, N, H),
    which stays 0 where the matrix is. On one row ``dot`` costs a third of what ``matmul`` does.
    """

    matrix: Any
    target: Any
    of: Callable[[Array], Callable[[Any, Any], Any]]

    def __init__(self, block: Block, batch: int) -> None:
        count, directions, _, _ = block.layers[0].shape
        hidden = block.edges[-1]
        if batch > 1:
            used, self.matrix = block.gates
            self.out = np.zeros((count, directions, batch, hidden), np.float32)
            self.target = self.out[used]
            self.of = lambda h: partial(np.matmul, h)
            return
        used, matrices = block.rows
        rows = np.zeros((directions, count * hidden), np.float32)
        self.out = rows.reshape(directions, count, 1, hidden)
        if directions == 1:
            self.out = self.out.swapaxes(0, 1)
        targets = list(rows[:, used])
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
