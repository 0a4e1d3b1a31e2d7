"""DynamicQuantizeLSTM: an LSTM with 8-bit weights, which quantises its input as it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...registry import op
from ...types import Array
from .._recurrent_activations import InPlace
from .._recurrent_cells import LSTMCell, States, Weights
from ..recurrent import Layer
from .quantized_matmul import dynamic_quantize_matmul


@dataclass(frozen=True, slots=True)
class QuantizedMatrix:
    """One direction's weights [K, 4H] with a scale and a zero point, one or [4H] each."""

    values: Array
    scale: Array
    zero_point: Array

    def product(self, x: Array, bias: Array | None = None) -> Array:
        """``x @ weights + bias``, x (N, K) quantised over its range."""
        return dynamic_quantize_matmul(x, self.values, self.scale, self.zero_point, bias)


@dataclass(frozen=True, slots=True)
class QuantizedWeights(Weights):
    """A direction's parameters; ``recurrence`` has its shape alone, in ``R`` are the numbers."""

    R: QuantizedMatrix


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
        product = self.matrix.product(h)
        self.gates[:] = product.reshape(len(h), 4, -1).swapaxes(0, 1)


@dataclass(frozen=True, slots=True)
class QuantizedLayer(Layer):
    """A layer whose W and R are quantised, with (scale, zero point) of each."""

    W_parameters: tuple[Array, Array] = ()  # type: ignore[assignment]
    R_parameters: tuple[Array, Array] = ()  # type: ignore[assignment]

    def _project(self, X: Array, d: int) -> tuple[Array, Weights]:
        (T, N, inputs), H = X.shape, self.R.shape[-1]
        bias = None if self.B is None else self.B[d].reshape(2, 4 * H).sum(axis=0)
        W = QuantizedMatrix(self.W[d].T, *(value[d] for value in self.W_parameters))
        x = W.product(X.reshape(T * N, inputs), bias).reshape(T, N, 4, H)
        weights = QuantizedWeights(
            recurrence=np.broadcast_to(np.float32(0), (4, H, H)),
            recurrence_bias=np.zeros((4, H), np.float32),
            peepholes=None if self.P is None else self.P[d].reshape(3, H),
            R=QuantizedMatrix(self.R[d].T, *(value[d] for value in self.R_parameters)),
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
    if activations is None:
        activations = ("Sigmoid", "Tanh", "Tanh") * (2 if direction == "bidirectional" else 1)
    layer = QuantizedLayer(
        X, W.swapaxes(1, 2), R.swapaxes(1, 2), B, sequence_lens, (initial_h, initial_c), P, 4,
        direction, 0, hidden_size, activations, activation_alpha, activation_beta, clip,
        W_parameters=(W_scale, W_zero_point), R_parameters=(R_scale, R_zero_point),
    )  # fmt: skip
    coupled = input_forget != 0
    return layer.run(
        lambda weights, batch, functions: QuantizedLSTMCell(weights, batch, functions, coupled)
    )
