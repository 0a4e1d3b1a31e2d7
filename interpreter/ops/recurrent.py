"""RNN, GRU and LSTM: one scan over time, and three cells that bring only their gates' mathematics.

Notation after the specification: T steps (``seq_length``), N sequences
(``batch_size``), I inputs (``input_size``), H units (``hidden_size``), D
directions, G gates. Buffers are gate-major, (G, N, H), so that each gate is one
contiguous block; they are made once, and each step works in place on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..registry import op
from ..types import Array
from ._recurrent_activations import InPlace, read_activations
from ._recurrent_cells import Cell, GRUCell, LSTMCell, RNNCell, States, Weights
from ._shared import in_float32


def scan(
    cell: Cell, x: Array, initial: States, hidden: Array, lengths: Array | None, reverse: bool
) -> States:
    """Run a cell over time and return the last states.

    Parameters
    ----------
    x : (G, T, N, H), the input projection of the whole sequence.
    hidden : (T, N, H), written: h after each step, 0 behind the end of a sequence.
    lengths : (N,), where sequences are shorter than T. While a row is outside
        its sequence its states stay, so ``reverse`` starts at its own last step.
    """
    steps = range(len(hidden))
    # h goes straight into the output; the others alternate between two buffers.
    spare = [tuple(np.empty_like(state) for state in initial[1:]) for _ in range(2)]
    before = initial
    for count, t in enumerate(reversed(steps) if reverse else steps):
        after = (hidden[t], *spare[count % 2])
        cell.step(x[:, t], before, after)
        if lengths is not None:
            outside = (lengths <= t)[:, None]
            for old, new in zip(before, after, strict=True):
                np.copyto(new, old, where=outside)
        before = after
    if lengths is not None:
        before = tuple(state.copy() for state in before)
        hidden[np.arange(len(hidden))[:, None] >= lengths] = 0
    return before


_DIRECTIONS = {
    "forward": (False,),
    "foward": (False,),  # GRU-1 has its default so
    "reverse": (True,),
    "bidirectional": (False, True),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """What the three operators have in common: inputs, checked, and the attributes."""

    X: Array
    W: Array
    R: Array
    B: Array | None
    sequence_lens: Array | None
    initial: tuple[Array | None, ...]
    P: Array | None
    num_gates: int
    direction: str
    layout: int
    hidden_size: int | None
    activations: Sequence[str]
    activation_alpha: Sequence[float] | None
    activation_beta: Sequence[float] | None
    clip: float | None
    recurrence_bias_apart: bool = False
    """Whether the last gate's Rb stays out of the input projection, for the cell to add."""

    def run(self, make_cell: Callable[[Weights, int, Sequence[InPlace]], Cell]) -> States:
        """Y (T, D, N, H) and the last states (D, N, H), each in the node's layout."""
        directions = _DIRECTIONS.get(self.direction)
        if directions is None:
            raise ValueError(
                f"direction must be forward, reverse or bidirectional, and is {self.direction!r}"
            )
        if self.layout not in (0, 1):
            raise ValueError(f"layout must be 0 or 1, and is {self.layout}")
        # [batch, ...] to [seq_length or num_directions, batch, ...], and back at the end.
        X = self._time_first(self.X)
        initial = [None if s is None else self._time_first(s) for s in self.initial]
        self._check(X, initial, len(directions))
        functions = self._functions(len(directions))
        T, N, _ = X.shape
        H = self.R.shape[-1]
        lengths = self.sequence_lens
        if lengths is not None and (lengths == T).all():
            lengths = None
        Y = np.empty((T, len(directions), N, H), X.dtype)
        finals = [np.empty((len(directions), N, H), X.dtype) for _ in initial]
        for d, reverse in enumerate(directions):
            x, weights = self._project(X, d)
            states = tuple(
                np.zeros((N, H), X.dtype) if s is None else np.ascontiguousarray(s[d])
                for s in initial
            )
            states = scan(make_cell(weights, N, functions[d]), x, states, Y[:, d], lengths, reverse)
            for final, state in zip(finals, states, strict=True):
                final[d] = state
        if self.layout == 1:
            return (Y.transpose(2, 0, 1, 3), *(final.swapaxes(0, 1) for final in finals))
        return (Y, *finals)

    def _time_first(self, x: Array) -> Array:
        return x.swapaxes(0, 1) if self.layout == 1 and x.ndim == 3 else x

    def _check(self, X: Array, initial: Sequence[Array | None], num_directions: int) -> None:
        if X.ndim != 3 or self.R.ndim != 3:
            raise ValueError(f"X and R must have rank 3, and have {X.ndim} and {self.R.ndim}")
        (T, N, inputs), H, G, D = X.shape, self.R.shape[-1], self.num_gates, num_directions
        if self.hidden_size is not None and self.hidden_size != H:
            raise ValueError(
                f"hidden_size is {self.hidden_size}, but R {list(self.R.shape)} is for {H} units"
            )
        expected = {
            "W": (self.W, (D, G * H, inputs)),
            "R": (self.R, (D, G * H, H)),
            "B": (self.B, (D, 2 * G * H)),
            "sequence_lens": (self.sequence_lens, (N,)),
            "P": (self.P, (D, 3 * H)),
        }
        for name, state in zip(("initial_h", "initial_c"), initial, strict=False):
            expected[name] = (state, (D, N, H))
        for name, (array, shape) in expected.items():
            if array is not None and array.shape != shape:
                raise ValueError(
                    f"{name} must have the shape {list(shape)} ({self.direction}, seq_length {T}, "
                    f"batch_size {N}, input_size {inputs}, hidden_size {H}), and has "
                    f"{list(array.shape)}"
                )
        lens = self.sequence_lens
        if lens is not None and ((lens < 0) | (lens > T)).any():
            raise ValueError(
                f"sequence_lens must lie in 0 to seq_length {T}, and reach from {lens.min()} to "
                f"{lens.max()}"
            )

    def _functions(self, num_directions: int) -> list[list[InPlace]]:
        """The activations of each direction."""
        each = {1: 1, 3: 2, 4: 3}[self.num_gates]
        names = list(self.activations)
        if len(names) != each * num_directions:
            raise ValueError(
                f"activations must name {each * num_directions} functions for direction "
                f"{self.direction}, and names {len(names)}: {names}"
            )
        functions = read_activations(
            names, self.activation_alpha or (), self.activation_beta or (), self.clip
        )
        return [functions[:each], functions[each:]]

    def _project(self, X: Array, d: int) -> tuple[Array, Weights]:
        """X·Wᵀ + Wb + Rb of all steps as (G, T, N, H), and what is left for the cell."""
        (T, N, inputs), G, H = X.shape, self.num_gates, self.R.shape[-1]
        bias, recurrence_bias = np.zeros((2, G, H), X.dtype)
        if self.B is not None:
            bias, recurrence_bias = self.B[d].reshape(2, G, H)
            bias = bias.copy()
            projected = G - 1 if self.recurrence_bias_apart else G
            bias[:projected] += recurrence_bias[:projected]
        W = self.W[d].reshape(G, H, inputs).swapaxes(1, 2)
        # The bias as one more row of W, for a column of ones: faster than a pass over x.
        X = np.concatenate([X.reshape(T * N, inputs), np.ones((T * N, 1), X.dtype)], axis=1)
        x = np.matmul(X, np.concatenate([W, bias[:, None]], axis=1))
        weights = Weights(
            recurrence=np.ascontiguousarray(self.R[d].reshape(G, H, H).swapaxes(1, 2)),
            recurrence_bias=recurrence_bias,
            peepholes=None if self.P is None else self.P[d].reshape(3, H),
        )
        return x.reshape(G, T, N, H), weights


@op("RNN", since=(1, 7, 14, 22))
@in_float32
def rnn(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] = ("Tanh", "Tanh"),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    output_sequence: int = 0,
) -> States:
    """Hₜ = f(Xₜ·Wᵀ + Hₜ₋₁·Rᵀ + Wb + Rb).

    X (T, N, I), W (D, H, I), R (D, H, H), B (D, 2H) → Y (T, D, N, H), Y_h (D, N, H).
    ``output_sequence`` (opset 1) allowed Y to be left out; here it is there when it is named.
    """
    del output_sequence
    if direction != "bidirectional":
        activations = activations[:1]  # the standard's default names two
    layer = Layer(
        X, W, R, B, sequence_lens, (initial_h,), None, 1, direction, layout, hidden_size,
        activations, activation_alpha, activation_beta, clip,
    )  # fmt: skip
    return layer.run(RNNCell)


@op("GRU", since=(1, 3, 7, 14, 22))
@in_float32
def gru(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    output_sequence: int = 0,
) -> States:
    """The gated recurrent unit of ``GRUCell``, gates in the order z, r, h.

    X (T, N, I), W (D, 3H, I), R (D, 3H, H), B (D, 6H) → Y (T, D, N, H), Y_h (D, N, H).
    ``output_sequence`` (opsets 1 and 3): see ``rnn``.
    """
    del output_sequence
    if activations is None:
        activations = ("Sigmoid", "Tanh") * (2 if direction == "bidirectional" else 1)
    reset_last = linear_before_reset != 0
    layer = Layer(
        X, W, R, B, sequence_lens, (initial_h,), None, 3, direction, layout, hidden_size,
        activations, activation_alpha, activation_beta, clip, recurrence_bias_apart=reset_last,
    )  # fmt: skip
    return layer.run(
        lambda weights, batch, functions: GRUCell(weights, batch, functions, reset_last)
    )


@op("LSTM", since=(1, 7, 14, 22))
@in_float32
def lstm(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    P: Array | None = None,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    output_sequence: int = 0,
) -> States:
    """The long short-term memory of ``LSTMCell``, gates in the order i, o, f, c.

    X (T, N, I), W (D, 4H, I), R (D, 4H, H), B (D, 8H), P (D, 3H) → Y (T, D, N, H),
    Y_h and Y_c (D, N, H). ``output_sequence`` (opset 1): see ``rnn``.
    """
    del output_sequence
    if activations is None:
        activations = ("Sigmoid", "Tanh", "Tanh") * (2 if direction == "bidirectional" else 1)
    layer = Layer(
        X, W, R, B, sequence_lens, (initial_h, initial_c), P, 4, direction, layout, hidden_size,
        activations, activation_alpha, activation_beta, clip,
    )  # fmt: skip
    coupled = input_forget != 0
    return layer.run(lambda weights, batch, functions: LSTMCell(weights, batch, functions, coupled))
