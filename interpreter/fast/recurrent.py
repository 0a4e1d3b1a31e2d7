"""RNN, GRU and LSTM layers, one or a stack of them, with the lookup in front.

Notation as in ``ops.recurrent``, which is the specification: T steps, N sequences,
I inputs, H units, D directions, G gates. A second direction is a time-reversed
layer computed in the same calls. There are three ways, by batch and layer size: ``Wave``, one
``Wave`` a layer (``Layers``), and ``Rows``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..ops.slicing import check_indices
from ..types import Array
from . import fast
from .recurrent_cells import Gates, Weights, gates_of
from .recurrent_rows import Joint, Rows
from .recurrent_wave import Block, Layers, Wave
from .workspace import PerShape

WAVE_BATCH = 16
"""The largest batch whose layers advance together: a step is then mostly call overhead."""

WAVE_WASTE = 128 * 1024
"""Multiplications by 0 a step above which the wave's block matrix costs more than it saves."""

HEAVY = 128 * 1024
"""Elements of a layer's input weights above which reading them at each step costs more than
keeping the projections of all steps."""

MAX_PROJECTIONS = 16 * 2**20
"""Elements above which the projections of all steps are not kept."""

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""For each direction of a layer, whether it runs from the end."""


class Runner(Protocol):
    """What was prepared for a batch size."""

    def run(self, x: Array, initial: Sequence[Array | None], y: Array | None) -> Sequence[Array]:
        """Compute the last layer's states after the last step, (D, N, H) each: h, and c.

        ``x`` is (T, N, I) float32, or the indices (T, N) into the table. ``y`` (T, D, N, H),
        if given, is written: h of each step. What is returned is only good until the next run.
        """


@fast("Recurrent")
class Recurrent:
    """A recurrent node, or two of which the second reads the whole sequence of the first.

    Parameters
    ----------
    kind : "RNN", "GRU" or "LSTM", with the standard's default activations.
    layers : the ``Weights`` of the one or two layers.
    direction : of all layers; "bidirectional" for a single one only.
    table : (V, I), where the input is indices into it rather than vectors.
    batch_first : the input is (N, T, …) rather than (T, N, …).
    forms : of Y, Y_h and Y_c. "plain" is the standard's (T, D, N, H) and (D, N, H);
        "merged" is (T, N, D * H) and (N, D * H); "batch_first" of Y (N, T, D * H).
    wanted : which of Y, Y_h and Y_c are made.

    Inputs: x, then initial_h and initial_c (D, N, H) where they are given.
    """

    def __init__(
        self,
        *,
        kind: str,
        layers: tuple[Weights, ...],
        direction: str = "forward",
        linear_before_reset: bool = False,
        table: Array | None = None,
        batch_first: bool = False,
        forms: tuple[str, ...] = ("plain", "plain", "plain"),
        wanted: tuple[bool, ...] = (True, True, True),
    ) -> None:
        self.kind = kind
        self.reverse = DIRECTIONS[direction]
        self.layers = layout = [gates_of(kind, weights, linear_before_reset) for weights in layers]
        self.block, self.joints = Block(layout), [Joint(layer) for layer in layout]
        self.batch_first = batch_first
        self.forms = forms
        self.wanted = wanted
        self.vocabulary = None if table is None else len(table)
        self.table = None if table is None else projected(table, self.layers[0])
        # The table is in the place of the first layer's input matrix.
        read = layout if table is None else layout[1:]
        self.heavy = any(layer.input.size >= HEAVY for layer in read)

        def wave(block: Block, table: Array | None, keep: bool) -> PerShape[Wave]:
            return PerShape(
                lambda room, batch: Wave(kind, block, table, self.reverse, room, batch, keep)
            )

        self.together = wave(self.block, self.table, wanted[0])
        first, *above = (Block([layer]) for layer in layout)
        self.apart = [wave(first, self.table, bool(above) or wanted[0])]
        self.apart += [wave(block, None, wanted[0]) for block in above]
        self.rows: PerShape[Rows] = PerShape(
            lambda batch: Rows(kind, self.joints, self.table, self.reverse, batch)
        )

    def _runner(self, steps: int, batch: int) -> Runner:
        """The way for a shape; one serves sequences of many lengths."""
        room = 1 << (steps - 1).bit_length()
        few = batch <= WAVE_BATCH
        if room * batch * self.block.width > MAX_PROJECTIONS or not (few or self.heavy):
            return self.rows(batch)
        if few and self.block.zeros * batch <= WAVE_WASTE:
            return self.together(room, batch)
        return Layers([wave(room, batch) for wave in self.apart])

    def __call__(
        self, x: Array, initial_h: Array | None = None, initial_c: Array | None = None
    ) -> tuple[Array | None, ...]:
        rank = 3 if self.table is None else 2
        if x.ndim != rank:
            raise ValueError(f"X must have rank {rank}, and has {x.ndim}")
        if self.batch_first:
            x = x.swapaxes(0, 1)
        steps, batch = x.shape[:2]
        initial = (initial_h, initial_c) if self.kind == "LSTM" else (initial_h,)
        self._check(x, initial)
        if self.vocabulary is not None:
            x = self._in_range(x)
        directions, hidden = len(self.reverse), self.layers[-1].shape[3]
        y, whole = None, None
        if self.wanted[0]:
            y, whole = _sequence(self.forms[0], steps, directions, batch, hidden)
        finals: Sequence[Array]
        if steps and batch:
            finals = self._runner(steps, batch).run(x, initial, y)
        else:
            zero = np.zeros((directions, batch, hidden), np.float32)
            finals = [zero if state is None else state for state in initial]
        results: list[Array | None] = [whole]
        for final, form, wanted in zip(finals, self.forms[1:], self.wanted[1:], strict=False):
            results.append(_final(form, final) if wanted else None)
        return tuple(results)

    def _check(self, x: Array, initial: Sequence[Array | None]) -> None:
        _, directions, inputs, _ = self.layers[0].shape
        hidden = self.layers[-1].shape[3]
        if self.vocabulary is None and x.shape[2] != inputs:
            raise ValueError(f"the input_size of X is {x.shape[2]}, and that of W is {inputs}")
        shape = (directions, x.shape[1], hidden)
        for name, state in zip(("initial_h", "initial_c"), initial, strict=False):
            if state is not None and state.shape != shape:
                raise ValueError(
                    f"{name} must have the shape {list(shape)} (num_directions, batch_size, "
                    f"hidden_size), and has {list(state.shape)}"
                )

    def _in_range(self, indices: Array) -> Array:
        """The indices, contiguous, each in 0 … V - 1; negative ones count from the table's end."""
        indices = np.ascontiguousarray(indices, np.intp)
        # Seen as unsigned, a negative one is too large as well: one pass finds both.
        if indices.size and indices.view(np.uintp).max() >= self.vocabulary:
            assert self.vocabulary is not None
            check_indices(indices, self.vocabulary, 0)
            indices = np.where(indices < 0, indices + self.vocabulary, indices)
        return indices


def projected(table: Array, gates: Gates) -> Array:
    """(D, G, V, H): what each row of an embedding gives to the gates that the input goes to."""
    start, stop = gates.projected
    product = np.matmul(table, gates.input[start:stop])
    product += gates.bias[start:stop, :, None]
    return np.ascontiguousarray(product.swapaxes(0, 1))


def _sequence(
    form: str, steps: int, directions: int, batch: int, hidden: int
) -> tuple[Array, Array]:
    """An empty Y, as (T, D, N, H) and in the node's form."""
    if form == "plain":
        y = np.empty((steps, directions, batch, hidden), np.float32)
        return y, y
    if form == "merged":
        y = np.empty((steps, batch, directions, hidden), np.float32)
        return y.transpose(0, 2, 1, 3), y.reshape(steps, batch, directions * hidden)
    y = np.empty((batch, steps, directions, hidden), np.float32)
    return y.transpose(1, 2, 0, 3), y.reshape(batch, steps, directions * hidden)


def _final(form: str, state: Array) -> Array:
    """A copy of a last state (D, N, H) in the node's form."""
    if form == "plain":
        return np.array(state, order="C")
    directions, batch, hidden = state.shape
    merged: Any = np.array(state.transpose(1, 0, 2), order="C")
    return merged.reshape(batch, directions * hidden)
