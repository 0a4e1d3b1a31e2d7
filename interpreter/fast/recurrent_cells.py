"""The gates of RNN, GRU and LSTM on buffers of their own: a step is a few calls, none of which
allocates.

Gates are kept gate-major, (G, D, N, H): each gate of D directions, N samples and H
units is one contiguous block, and so are its neighbours. σ(x) is 1 / (1 + e⁻ˣ):
the minus is folded into the weights, one ``exp`` and one ``add`` serve all
sigmoid gates, and multiplying by σ is dividing by 1 + e⁻ˣ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from ..types import Array

ONE = np.array(1, np.float32)
"""An array without axes: NumPy's loops know it as a scalar; a Python number is converted anew at
each call."""

Update: TypeAlias = Callable[[Array, Array], None]
"""``update(h, h_next)`` computes the new state from the gates and the old one, (D, N, H) both."""


class Weights(NamedTuple):
    """One layer's parameters as the ONNX node has them; B None where it has none."""

    W: Array
    R: Array
    B: Array | None


@dataclass(frozen=True, slots=True)
class Gates:
    """One layer's parameters gate by gate, in the order and with the signs of its cell.

    ``recurrent`` are the gates to which the state is multiplied before the update,
    ``projected`` those to which the input is: both a (start, stop).
    """

    input: Array
    """(G, D, I, H): 0 outside ``projected``."""
    recurrence: Array
    """(G, D, H, H): 0 outside ``recurrent``."""
    bias: Array
    """(G, D, H): what is added to the products, both of the operator's biases."""
    projected: tuple[int, int]
    recurrent: tuple[int, int]
    after_reset: Array | None = None
    """(D, H, H): what the GRU multiplies the reset state by."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """G, D, I, H."""
        gates, directions, inputs, hidden = self.input.shape
        return gates, directions, inputs, hidden

    @property
    def tame(self) -> bool:
        """Whether no sum of products can overflow: then a state without NaN makes none."""
        total = sum(
            float(np.abs(array.astype(np.float64)).sum())
            for array in (self.input, self.recurrence, self.bias)
        )
        return total < float(np.finfo(np.float32).max)


def gates_of(kind: str, weights: Weights, linear_before_reset: bool) -> Gates:
    """The parameters of an RNN, GRU or LSTM laid out for its cell."""
    hidden = weights.R.shape[-1]
    W, R = (_by_gate(array, hidden) for array in weights[:2])
    count, directions = W.shape[:2]
    both = np.zeros((2, count, directions, hidden), np.float32)
    if weights.B is not None:
        # (D, 2, G, H) to (2, G, D, H)
        both[:] = weights.B.reshape(directions, 2, count, hidden).transpose(1, 2, 0, 3)
    bias = both[0] + both[1]
    if kind == "RNN":
        return Gates(W, R, bias, (0, 1), (0, 1))
    if kind == "LSTM":  # from i, o, f, c to o, i, f, c
        order, sign = [1, 0, 2, 3], _signs(-1, -1, -1, 1)
        W, R = (np.ascontiguousarray(array[order] * sign[..., None]) for array in (W, R))
        return Gates(W, R, bias[order] * sign, (0, 4), (0, 4))
    # From z, r, h to: the candidate's input part, z, r, the candidate's recurrent part.
    zero = np.zeros_like
    input_ = np.stack([W[2], -W[0], -W[1], zero(W[0])])
    if linear_before_reset:
        recurrence = np.stack([zero(R[0]), -R[0], -R[1], R[2]])
        bias = np.stack([both[0, 2], -bias[0], -bias[1], both[1, 2]])
        return Gates(input_, recurrence, bias, (0, 3), (1, 4))
    recurrence = np.stack([zero(R[0]), -R[0], -R[1], zero(R[2])])
    bias = np.stack([bias[2], -bias[0], -bias[1], zero(bias[0])])
    return Gates(input_, recurrence, bias, (0, 3), (1, 3), np.ascontiguousarray(R[2]))


def _by_gate(array: Array, hidden: int) -> Array:
    """(D, G * H, K) to (G, D, K, H)."""
    directions, _, depth = array.shape
    by_gate = array.reshape(directions, -1, hidden, depth).transpose(1, 0, 3, 2)
    return np.ascontiguousarray(by_gate, np.float32)


def _signs(*signs: int) -> Array:
    return np.array(signs, np.float32).reshape(-1, 1, 1)


class Cell:
    """The buffers of a layer (or of several, side by side along H), and its update."""

    update: Update
    cell_state: Array | None = None
    """(D, N, H): c of an LSTM."""

    def __init__(self, gates: Array) -> None:
        self.gates = gates


def make_cell(kind: str, layers: Sequence[Gates], batch: int) -> Cell:
    """The cell of a kind for layers side by side along H, with buffers for a batch."""
    directions, hidden = layers[0].shape[1], sum(layer.shape[3] for layer in layers)
    if kind == "LSTM":
        return _lstm(np.zeros((5, directions, batch, hidden), np.float32))
    if kind == "GRU":
        return _gru(np.zeros((4, directions, batch, hidden), np.float32), layers)
    return _rnn(np.zeros((1, directions, batch, hidden), np.float32))


def _rnn(gates: Array) -> Cell:
    tanh = np.tanh
    (only,) = gates

    def update(h: Array, h_next: Array) -> None:
        del h
        tanh(only, h_next)

    cell = Cell(gates)
    cell.update = update
    return cell


def _lstm(buffer: Array) -> Cell:
    add, divide, exp, tanh = np.add, np.divide, np.exp, np.tanh
    o, i, f, candidate, c = buffer
    # c lies behind the candidate, so that i ⊙ ĉ and f ⊙ c are one call.
    sigmoids, i_and_f, candidate_and_c = buffer[:3], buffer[1:3], buffer[3:]

    def update(h: Array, h_next: Array) -> None:
        del h
        exp(sigmoids, sigmoids)
        add(sigmoids, ONE, sigmoids)
        tanh(candidate, candidate)
        divide(candidate_and_c, i_and_f, i_and_f)
        add(i, f, c)
        tanh(c, f)
        divide(f, o, h_next)

    cell = Cell(buffer[:4])
    cell.update = update
    cell.cell_state = c
    return cell


def _gru(gates: Array, layers: Sequence[Gates]) -> Cell:
    add, divide, exp, subtract, tanh = np.add, np.divide, np.exp, np.subtract, np.tanh
    candidate, z, r, recurrent = gates
    sigmoids = gates[1:3]

    def finish(h: Array, h_next: Array) -> None:
        add(candidate, recurrent, candidate)
        tanh(candidate, candidate)
        subtract(h, candidate, recurrent)
        divide(recurrent, z, recurrent)
        add(candidate, recurrent, h_next)  # (1 - z) ⊙ ĥ + z ⊙ h

    def reset_after(h: Array, h_next: Array) -> None:
        exp(sigmoids, sigmoids)
        add(sigmoids, ONE, sigmoids)
        divide(recurrent, r, recurrent)
        finish(h, h_next)

    cell = Cell(gates)
    cell.update = reset_after
    # A product for each layer: unlike a state, what the reset leaves can be NaN here and now, and
    # must not meet another layer in a block matrix, were it with 0.
    products = []
    end = 0
    for layer in layers:
        own = slice(end, end + layer.shape[3])
        if layer.after_reset is not None:
            products.append((r[..., own], layer.after_reset, recurrent[..., own]))
        end = own.stop
    if products:
        matmul = np.matmul

        def reset_before(h: Array, h_next: Array) -> None:
            exp(sigmoids, sigmoids)
            add(sigmoids, ONE, sigmoids)
            divide(h, r, r)
            for operand, matrix, out in products:
                matmul(operand, matrix, out)
            finish(h, h_next)

        cell.update = reset_before
    return cell
