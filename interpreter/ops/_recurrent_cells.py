"""The cells of RNN, GRU and LSTM: the mathematics of one time step, in place on buffers.

Notation as in ``recurrent``: N sequences, H units, G gates; gates are (G, N, H).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from ..types import Array
from ._recurrent_activations import InPlace

States: TypeAlias = tuple[Array, ...]
"""What a cell carries from step to step, (N, H) each: (h,), and for the LSTM (h, c)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One direction's parameters as a cell takes them."""

    recurrence: Array
    """(G, H, H): gate by gate Rᵀ, so that h @ recurrence is the gates' recurrent part."""
    recurrence_bias: Array
    """(G, H): Rb."""
    peepholes: Array | None
    """(3, H): P for i, o, f."""


class Cell(Protocol):
    """The mathematics of one time step."""

    def step(self, x: Array, before: States, after: States) -> None:
        """Write the states after a step into ``after``.

        ``x`` (G, N, H) is the step's input projection, with both biases but for those that
        the cell adds itself; ``before`` must be left as it is.
        """


class RNNCell:
    """Hₜ = f(Xₜ·Wᵀ + Hₜ₋₁·Rᵀ + Wb + Rb)."""

    def __init__(self, weights: Weights, batch: int, activations: Sequence[InPlace]) -> None:
        del batch
        self.R = weights.recurrence[0]
        (self.f,) = activations

    def step(self, x: Array, before: States, after: States) -> None:
        (h,), (h_next,) = before, after
        np.matmul(h, self.R, out=h_next)
        h_next += x[0]
        self.f(h_next)


class GRUCell:
    """Gates z, r, h.

    z, r = f(X·Wᵀ + H·Rᵀ + b), ĥ = g(Xₜ·Whᵀ + (r ⊙ Hₜ₋₁)·Rhᵀ + Rbh + Wbh), and
    Hₜ = (1 - z) ⊙ ĥ + z ⊙ Hₜ₋₁. With ``linear_before_reset`` the reset gate multiplies the
    product instead: ĥ = g(Xₜ·Whᵀ + r ⊙ (Hₜ₋₁·Rhᵀ + Rbh) + Wbh).
    """

    def __init__(
        self,
        weights: Weights,
        batch: int,
        activations: Sequence[InPlace],
        linear_before_reset: bool,
    ) -> None:
        self.R = weights.recurrence
        self.f, self.g = activations
        self.linear_before_reset = linear_before_reset
        self.Rbh = weights.recurrence_bias[2]
        self.gates = np.empty((3, batch, self.R.shape[-1]), self.R.dtype)

    def step(self, x: Array, before: States, after: States) -> None:
        (h,), (h_next,) = before, after
        z, r, candidate = self.gates
        z_and_r = self.gates[:2]
        if self.linear_before_reset:
            np.matmul(h, self.R, out=self.gates)
            candidate += self.Rbh
        else:
            np.matmul(h, self.R[:2], out=z_and_r)
        z_and_r += x[:2]
        self.f(z_and_r)
        if self.linear_before_reset:
            candidate *= r
        else:
            r *= h
            np.matmul(r, self.R[2], out=candidate)
        candidate += x[2]
        self.g(candidate)
        np.multiply(z, h, out=h_next)
        np.subtract(1, z, out=z)
        candidate *= z
        h_next += candidate


class LSTMCell:
    """Gates i, o, f, c.

    i, f = f(X·Wᵀ + H·Rᵀ + P ⊙ Cₜ₋₁ + b), ĉ = g(X·Wᵀ + H·Rᵀ + b), Cₜ = f ⊙ Cₜ₋₁ + i ⊙ ĉ,
    o = f(X·Wᵀ + H·Rᵀ + Po ⊙ Cₜ + b), Hₜ = o ⊙ h(Cₜ). With ``input_forget`` f = 1 - i.
    """

    def __init__(
        self,
        weights: Weights,
        batch: int,
        activations: Sequence[InPlace],
        input_forget: bool,
    ) -> None:
        self.R = weights.recurrence
        self.P = weights.peepholes
        self.f, self.g, self.h = activations
        self.input_forget = input_forget
        self.gates = np.empty((4, batch, self.R.shape[-1]), self.R.dtype)

    def step(self, x: Array, before: States, after: States) -> None:
        (h, c), (h_next, c_next) = before, after
        i, o, f, candidate = self.gates
        self.multiply(h)
        self.gates += x
        if self.P is None:
            self.f(self.gates[:3])
        else:
            i += self.P[0] * c
            self.f(i)
            f += self.P[2] * c
            self.f(f)
        self.g(candidate)
        if self.input_forget:
            np.subtract(1, i, out=f)
        np.multiply(f, c, out=c_next)
        candidate *= i
        c_next += candidate
        if self.P is not None:
            o += self.P[1] * c_next
            self.f(o)
        np.copyto(h_next, c_next)
        self.h(h_next)
        h_next *= o

    def multiply(self, h: Array) -> None:
        """H·Rᵀ of all gates into the buffer."""
        np.matmul(h, self.R, out=self.gates)
