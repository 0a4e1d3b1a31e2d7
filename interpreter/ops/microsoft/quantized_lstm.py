"""DynamicQuantizeLSTM: an LSTM with 8-bit weights, which quantises its input as it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...registry import op
from ...types import Array
from .._recurrent_activations import InPlace
from .._recurrent_cells import LSTMCell, States, Weights
from ..recurrent import Layer
from .quantized_matmul import dynamic_quantize_matmul


class Matrix(Protocol):
    """One direction's weights [K, 4H] of 8 bits, by which x [float32] is multiplied quantised."""

    def product(self, x: Array, bias: Array | None = None) -> Array:
        """``x @ weights + bias``, x (N, K) quantised over its range."""

    def multiply(self, h: Array, gates: Array) -> None:
        """``h @ weights`` into the gates (4, N, H)."""


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """The weights as the node has them, with a scale and a zero point, one or [4H] each."""

    values: Array
    scale: Array
    zero_point: Array

    def product(self, x: Array, bias: Array | None = None) -> Array:
        """``x @ weights + bias``, x (N, K) quantised over its range."""
        return dynamic_quantize_matmul(x, self.values, self.scale, self.zero_point, bias)

    def multiply(self, h: Array, gates: Array) -> None:
        """``h @ weights`` into the gates (4, N, H)."""
        gates[:] = self.product(h).reshape(len(h), 4, -1).swapaxes(0, 1)


@dataclass(frozen=True, slots=True)
class QuantizedWeights(Weights):
    """A direction's parameters; ``recurrence`` has its shape alone, in ``R`` are the numbers."""

    R: Matrix


class QuantizedLSTMCell(LSTMCell):
    """The cell of ``LSTMCell`` with a quantised h·Rᵀ: its range is that of all rows of a step."""

    def __init__(
        self,
        weights: Weights,
        batch: int,
        activations: Sequence[InPlace],
        input_forget: bool,
    ) -> None:
        super().__init__(weights, batch, activations, input_forget)
        assert isinstance(weights, QuantizedWeights)
        self.matrix = weights.R

    def multiply(self, h: Array) -> None:
        self.matrix.multiply(h, self.gates)


@dataclass(frozen=True, slots=True)
class QuantizedLayer(Layer):
    """A layer whose W and R are quantised; ``matrices`` are W's and R's of each direction."""

    matrices: Sequence[tuple[Matrix, Matrix]] = ()

    def _project(self, X: Array, d: int) -> tuple[Array, Weights]:
        (T, N, inputs), H = X.shape, self.R.shape[-1]
        bias = None if self.B is None else self.B[d].reshape(2, 4 * H).sum(axis=0)
        W, R = self.matrices[d]
        x = W.product(X.reshape(T * N, inputs), bias).reshape(T, N, 4, H)
        weights = QuantizedWeights(
            recurrence=np.broadcast_to(np.float32(0), (4, H, H)),
            recurrence_bias=np.zeros((4, H), np.float32),
            peepholes=None if self.P is None else self.P[d].reshape(3, H),
            R=R,
        )
        return np.ascontiguousarray(x.transpose(2, 0, 1, 3)), weights


@op("DynamicQuantizeLSTM", since=1, domain="com.microsoft")
def dynamic_quantize_lstm(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None,
    sequence_lens: Array | None,
    initial_h: Array | None,
    initial_c: Array | None,
    P: Array | None,
    W_scale: Array,
    W_zero_point: Array,
    R_scale: Array,
    R_zero_point: Array,
    *,
    activation_alpha: tuple[float, ...] | None = None,
    activation_beta: tuple[float, ...] | None = None,
    activations: tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
) -> States:
    """The standard's LSTM with W [D, I, 4H] and R [D, H, 4H] of 8 bits.

    Their scales and zero points are [D], or [D, 4H] for each column. X is quantised
    to uint8 over the range of the whole of it, and h over that of each step.
    """

    def matrix(values: Array, scale: Array, zero_point: Array) -> Matrix:
        return QuantizedMatrix(values, scale, zero_point)

    matrices = each_direction(matrix, (W, W_scale, W_zero_point), (R, R_scale, R_zero_point))
    return run_quantized(
        matrices, X, W, R, B, sequence_lens, initial_h, initial_c, P,
        activation_alpha=activation_alpha, activation_beta=activation_beta,
        activations=activations, clip=clip, direction=direction, hidden_size=hidden_size,
        input_forget=input_forget,
    )  # fmt: skip


def each_direction(
    matrix: Callable[[Array, Array, Array], Matrix], W: Sequence[Array], R: Sequence[Array]
) -> list[tuple[Matrix, Matrix]]:
    """The matrices of each direction, of W's and R's numbers, scales and zero points [D, ...]."""
    return [
        (matrix(*w), matrix(*r))
        for w, r in zip(zip(*W, strict=True), zip(*R, strict=True), strict=True)
    ]


def run_quantized(
    matrices: Sequence[tuple[Matrix, Matrix]],
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
) -> States:
    """The operator with the matrices given; of W and R the shapes are checked."""
    if activations is None:
        activations = ("Sigmoid", "Tanh", "Tanh") * (2 if direction == "bidirectional" else 1)
    layer = QuantizedLayer(
        X, W.swapaxes(1, 2), R.swapaxes(1, 2), B, sequence_lens, (initial_h, initial_c), P, 4,
        direction, 0, hidden_size, activations, activation_alpha, activation_beta, clip,
        matrices=matrices,
    )  # fmt: skip
    coupled = input_forget != 0
    return layer.run(
        lambda weights, batch, functions: QuantizedLSTMCell(weights, batch, functions, coupled)
    )
