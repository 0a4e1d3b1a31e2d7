"""Activations in place, on float32 blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..types import Array
from .workspace import scratch

InPlace = Callable[[Array], None]

CHUNK = 1 << 15
"""Elements that are worked on at a time: 128 KiB, so that a chain of passes stays in the cache."""

_ZEROS = np.zeros(CHUNK, np.float32)
_ZEROS.flags.writeable = False
_HALF = np.array(0.5, np.float32)
_ONE = np.array(1, np.float32)


def in_chunks(function: InPlace, chunk: int = CHUNK) -> InPlace:
    """The function applied to a contiguous array a chunk at a time."""

    def chunked(y: Array) -> None:
        flat = y.reshape(-1)
        if flat.size <= chunk:
            function(flat)
            return
        for start in range(0, flat.size, chunk):
            function(flat[start : start + chunk])

    return chunked


@in_chunks
def relu_(y: Array) -> None:
    """max(y, 0). NumPy's maximum with a scalar is not vectorised; of two arrays it is."""
    np.maximum(y, _ZEROS[: y.size], out=y)


def _clip(low: float, high: float) -> InPlace:
    bottom, top = np.array(low, np.float32), np.array(high, np.float32)

    def clip(y: Array) -> None:
        # One pass, four times as fast as a maximum and a minimum with a scalar each;
        # the method costs half of what np.clip does to call.
        y.clip(bottom, top, y)

    return clip


@in_chunks
def sigmoid_(y: Array) -> None:
    """1/2 + 1/2 tanh(y/2): it cannot overflow, and is faster than by exp."""
    np.multiply(y, _HALF, out=y)
    np.tanh(y, out=y)
    np.multiply(y, _HALF, out=y)
    np.add(y, _HALF, out=y)


@in_chunks
def tanh_(y: Array) -> None:
    """tanh(y)."""
    np.tanh(y, out=y)


@in_chunks
def silu_(y: Array) -> None:
    """y sigmoid(y) = y/2 + y/2 tanh(y/2)."""
    half = scratch("activation", y.size)
    np.multiply(y, _HALF, out=half)
    np.tanh(half, out=y)
    np.multiply(y, half, out=y)
    np.add(y, half, out=y)


def _hard_sigmoid(alpha: float, beta: float) -> InPlace:
    slope, offset = np.array(alpha, np.float32), np.array(beta, np.float32)

    @in_chunks
    def hard_sigmoid(y: Array) -> None:
        np.multiply(y, slope, out=y)
        np.add(y, offset, out=y)
        relu_(y)
        np.minimum(y, _ONE, out=y)

    return hard_sigmoid


@in_chunks
def hard_swish_(y: Array) -> None:
    """y HardSigmoid(y) with alpha = 1/6 and beta = 1/2."""
    gate = scratch("activation", y.size)
    np.copyto(gate, y)
    _GATE(gate)
    np.multiply(y, gate, out=y)


_GATE = _hard_sigmoid(1 / 6, 0.5)


def _leaky_relu(alpha: float) -> InPlace:
    slope = np.array(alpha, np.float32)

    @in_chunks
    def leaky_relu(y: Array) -> None:
        # For 0 < alpha <= 1 it is the larger of y and alpha y (0 times infinity is NaN); else the
        # sign decides.
        if 0 < alpha <= 1:
            scaled = scratch("activation", y.size)
            np.multiply(y, slope, out=scaled)
            np.maximum(y, scaled, out=y)
        else:
            np.multiply(y, slope, out=y, where=y < 0)

    return leaky_relu


# P of erf(x / sqrt(2)) = tanh(x P(x²)): a least maximum fit of atanh(erf(x / sqrt(2))) / x for
# |x| <= 5.6, of degree 6, weighted by erf's slope. In float32 erf is then within 1.4e-7 of the true
# value everywhere: past that the argument keeps growing and tanh is 1.
_ERF = [
    np.array(coefficient, np.float32)
    for coefficient in (
        1.75622411e-09,
        -1.32264803e-07,
        3.96475715e-06,
        -5.53062316e-05,
        -3.25949672e-05,
        3.63330846e-02,
        7.97884945e-01,
    )
]


def _gelu(y: Array) -> None:
    square, value = scratch("activation", 2, y.size)
    np.multiply(y, y, out=square)
    np.multiply(square, _ERF[0], out=value)
    for coefficient in _ERF[1:-1]:
        np.add(value, coefficient, out=value)
        np.multiply(value, square, out=value)
    np.add(value, _ERF[-1], out=value)
    np.multiply(value, y, out=value)
    np.tanh(value, out=value)
    half = np.multiply(y, _HALF, out=square)
    np.multiply(value, half, out=value)
    np.add(value, half, out=y)


def _gelu_tanh(y: Array) -> None:
    value = scratch("activation", y.size)
    np.multiply(y, y, out=value)
    np.multiply(value, _CUBE, out=value)
    np.add(value, _LINE, out=value)
    np.multiply(value, y, out=value)
    np.tanh(value, out=value)
    np.add(value, _ONE, out=value)
    np.multiply(value, y, out=value)
    np.multiply(value, _HALF, out=y)


_LINE = np.array((2 / np.pi) ** 0.5, np.float32)
_CUBE = np.array(0.044715 * (2 / np.pi) ** 0.5, np.float32)

# Many short calls: two threads that take turns with the interpreter's lock want them longer.
gelu_ = in_chunks(_gelu, 4 * CHUNK)
"""y/2 (1 + erf(y / sqrt(2))), in place."""


_MAGIC = np.array(1.5 * 2**23, np.float32)
"""Added and taken away it leaves the nearest integer, half to even, and +0 where that is 0."""


def rounded_between(low: float, high: float, zero_point: float = 0) -> InPlace:
    """``clip(round(y)) - zero_point`` for integers of 16 bits; NaN counts as low."""
    bottom, top = np.array(low, np.float32), np.array(high, np.float32)
    away = _MAGIC + np.float32(zero_point)

    @in_chunks
    def rounded(y: Array) -> None:
        y.clip(bottom, top, y)
        if np.isnan(np.minimum.reduce(y, initial=top)):
            np.fmax(y, bottom, out=y)
        np.add(y, _MAGIC, out=y)
        np.subtract(y, away, out=y)

    return rounded


def _quantize(scale: float, low: float, high: float, factor: float) -> InPlace:
    divisor, back = np.array(scale, np.float32), np.array(factor, np.float32)
    round_ = rounded_between(low, high)

    @in_chunks
    def quantize(y: Array) -> None:
        np.divide(y, divisor, out=y)
        round_(y)
        if factor != 1:
            np.multiply(y, back, out=y)

    return quantize


_MAKERS: dict[str, Callable[..., InPlace]] = {
    "Relu": lambda: relu_,
    "Clip": _clip,
    "Sigmoid": lambda: sigmoid_,
    "Tanh": lambda: tanh_,
    "Silu": lambda: silu_,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda: hard_swish_,
    "LeakyRelu": _leaky_relu,
    "Gelu": lambda: gelu_,
    "GeluTanh": lambda: in_chunks(_gelu_tanh, 4 * CHUNK),
    "Quantize": _quantize,
}


def activation(kind: str, parameters: tuple[float, ...] = ()) -> InPlace | None:
    """The activation of that name, in place, for contiguous arrays; None for none.

    Each has the definition of the operator of the same name; ``Silu`` is
    x sigmoid(x), ``Gelu`` the exact form, ``GeluTanh`` the approximate one, and ``Quantize`` is
    ``clip(round(y / scale), low, high) * factor``. ``parameters`` are those of the
    operator, in the order of its specification.
    """
    return _MAKERS[kind](*parameters) if kind else None
