"""DynamicQuantizeLSTM with its weights prepared: float32 that holds the integers exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops._recurrent_cells import States
from ..ops.microsoft.quantized_lstm import each_direction, run_quantized
from ..ops.quantization import range_of
from ..types import Array
from . import fast


class PreparedMatrix:
    """Weights [K, 4H] without their zero point, whose products with centred bytes are exact.

    They lie gate by gate, as the cell wants its gates.
    """

    def __init__(self, values: Array, scale: Array, zero_point: Array) -> None:
        centred = values.astype(np.float32) - zero_point.astype(np.float32)
        self.weight = np.ascontiguousarray(centred)
        self.by_gate = np.ascontiguousarray(centred.reshape(len(centred), 4, -1).transpose(1, 0, 2))
        self.scale = scale.astype(np.float32)
        self.scale_by_gate = self.scale.reshape(4, 1, -1) if self.scale.size > 1 else self.scale

    def product(self, x: Array, bias: Array | None = None) -> Array:
        """``x @ weights + bias``, x (N, K) quantised over its range."""
        x, scale = _quantized(x)
        y = np.matmul(x, self.weight)
        y *= scale * self.scale
        if bias is not None:
            y += bias
        return y

    def multiply(self, h: Array, gates: Array) -> None:
        """``h @ weights`` into the gates (4, N, H)."""
        h, scale = _quantized(h)
        if len(h) == 1:
            np.matmul(h, self.weight, out=gates.reshape(1, -1))
        else:
            np.matmul(h, self.by_gate, out=gates)
        gates *= scale * self.scale_by_gate


def _quantized(x: Array) -> tuple[Array, Array]:
    """x as centred bytes in float32, and its scale: DynamicQuantizeLinear."""
    scale, zero_point = range_of(x)
    least = -float(zero_point)
    y = np.divide(x, scale)
    np.rint(y, out=y)
    np.fmax(y, least, out=y)  # first: it drops NaN
    np.minimum(y, least + 255, out=y)
    return y, scale


@fast("DynamicQuantizeLSTM")
class DynamicQuantizeLSTM:
    """The operator with constant weights, scales, zero points, bias and peepholes."""

    def __init__(
        self,
        *,
        W: Array,
        R: Array,
        B: Array | None,
        P: Array | None,
        W_scale: Array,
        W_zero_point: Array,
        R_scale: Array,
        R_zero_point: Array,
        **attributes: Any,
    ) -> None:
        self.W, self.R, self.B, self.P = W, R, B, P
        self.attributes = attributes
        self.matrices = each_direction(
            PreparedMatrix, (W, W_scale, W_zero_point), (R, R_scale, R_zero_point)
        )

    def __call__(
        self,
        X: Array,
        sequence_lens: Array | None = None,
        initial_h: Array | None = None,
        initial_c: Array | None = None,
    ) -> States:
        return run_quantized(
            self.matrices, X, self.W, self.R, self.B, sequence_lens, initial_h, initial_c, self.P,
            **self.attributes,
        )  # fmt: skip
