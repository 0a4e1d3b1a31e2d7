"""What follows a product in the same kernel: bias, residual sum, activation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..types import Array

InPlace = Callable[[Array], None]

_ZEROS = np.zeros(1 << 14, np.float32)
_ZEROS.flags.writeable = False


def relu_(y: Array) -> None:
    """max(y, 0) in place, for a contiguous ``y``.

    NumPy's maximum of an array and a scalar is not vectorised; of two arrays it is.
    """
    flat = y.reshape(-1)
    step = _ZEROS.size
    if flat.size <= step:
        np.maximum(flat, _ZEROS[: flat.size], out=flat)
        return
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        np.maximum(part, _ZEROS[: part.size], out=part)


def _clip_(low: float, high: float) -> InPlace:
    bottom, top = np.float32(low), np.float32(high)

    def clip(y: Array) -> None:
        if bottom == 0:
            relu_(y)
        elif bottom > -np.inf:
            np.maximum(y, bottom, out=y)
        if top < np.inf:
            np.minimum(y, top, out=y)

    return clip


def sigmoid_(y: Array) -> None:
    """1/2 + 1/2 tanh(y/2) in place: no overflow, and faster than by exp."""
    np.multiply(y, np.float32(0.5), out=y)
    np.tanh(y, out=y)
    np.multiply(y, np.float32(0.5), out=y)
    np.add(y, np.float32(0.5), out=y)


def _tanh_(y: Array) -> None:
    np.tanh(y, out=y)


def _silu_(y: Array) -> None:
    half = y * np.float32(0.5)  # y sigmoid(y) = y/2 + y/2 tanh(y/2)
    np.tanh(half, out=y)
    np.multiply(y, half, out=y)
    np.add(y, half, out=y)


def _hard_sigmoid_(alpha: float, beta: float) -> InPlace:
    slope, offset = np.float32(alpha), np.float32(beta)

    def hard_sigmoid(y: Array) -> None:
        np.multiply(y, slope, out=y)
        np.add(y, offset, out=y)
        relu_(y)
        np.minimum(y, np.float32(1), out=y)

    return hard_sigmoid


def _hard_swish_(y: Array) -> None:
    gate = y.copy()
    _hard_sigmoid_(1 / 6, 0.5)(gate)
    np.multiply(y, gate, out=y)


def _leaky_relu_(alpha: float) -> InPlace:
    slope = np.float32(alpha)

    def leaky_relu(y: Array) -> None:
        # For 0 <= alpha <= 1 it is the larger of y and alpha y; else the sign decides.
        if 0 <= alpha <= 1:
            np.maximum(y, y * slope, out=y)
        else:
            np.multiply(y, slope, out=y, where=y < 0)

    return leaky_relu


def activation(kind: str, parameters: tuple[float, ...] = ()) -> InPlace | None:
    """The activation of that name, in place; None for none.

    Each has the definition of the operator of the same name; ``Silu`` is
    x sigmoid(x). ``parameters`` are those of the operator, in the order of its
    specification.
    """
    makers: dict[str, Callable[..., InPlace]] = {
        "Relu": lambda: relu_,
        "Clip": _clip_,
        "Sigmoid": lambda: sigmoid_,
        "Tanh": lambda: _tanh_,
        "Silu": lambda: _silu_,
        "HardSigmoid": _hard_sigmoid_,
        "HardSwish": lambda: _hard_swish_,
        "LeakyRelu": _leaky_relu_,
    }
    return makers[kind](*parameters) if kind else None


class Epilogue:
    """Bias, residual and activation of one kernel, applied to a block while it is in the cache."""

    def __init__(self, bias: Array | None, kind: str, parameters: tuple[float, ...]) -> None:
        self.bias = None if bias is None else np.ascontiguousarray(bias, np.float32)
        self.activate = activation(kind, parameters)
        self.tiled: dict[int, Array] = {}

    def __call__(self, y: Array, residual: Any = None) -> None:
        """Apply in place to a contiguous block whose last axis is the channel."""
        if self.bias is not None:
            self.add_bias(y)
        if residual is not None:
            np.add(y, residual, out=y)
        if self.activate is not None:
            self.activate(y)

    def add_bias(self, y: Array) -> None:
        """``y += bias`` over the last axis.

        Short inner loops are slow in NumPy, so rows are taken together until
        they are long enough, against a bias repeated as often.
        """
        bias = self.bias
        assert bias is not None
        rows = y.size // bias.size
        together = math.gcd(rows, 1 << max(0, (1023 // bias.size).bit_length()))
        tiled = self.tiled.get(together)
        if tiled is None:
            tiled = self.tiled[together] = np.tile(bias, together)
        flat = y.reshape(rows // together, tiled.size)
        np.add(flat, tiled, out=flat)
