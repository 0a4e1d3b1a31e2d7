"""The activations of recurrent operators: functions that work in place on a gate's buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from ..types import Array

InPlace: TypeAlias = Callable[[Array], None]
"""Replaces the elements of a floating-point buffer by f of them."""


def _relu(x: Array) -> None:
    np.maximum(x, 0, out=x)


def _tanh(x: Array) -> None:
    np.tanh(x, out=x)


def _sigmoid(x: Array) -> None:
    # 1/(1 + e^-x) = ½ + ½·tanh(x/2): faster than exp, and it cannot overflow.
    x *= 0.5
    np.tanh(x, out=x)
    x *= 0.5
    x += 0.5


def _softsign(x: Array) -> None:
    x /= 1 + np.abs(x)


def _softplus(x: Array) -> None:
    np.logaddexp(x, 0, out=x)


def _affine(x: Array, alpha: float, beta: float) -> None:
    x *= alpha
    x += beta


def _scaled_tanh(x: Array, alpha: float, beta: float) -> None:
    x *= beta
    np.tanh(x, out=x)
    x *= alpha


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> None:
    x *= alpha
    x += beta
    np.clip(x, 0, 1, out=x)


def _leaky_relu(x: Array, alpha: float) -> None:
    np.multiply(x, alpha, out=x, where=x < 0)


def _thresholded_relu(x: Array, alpha: float) -> None:
    np.copyto(x, 0, where=~(x >= alpha))


def _elu(x: Array, alpha: float) -> None:
    np.copyto(x, alpha * np.expm1(x), where=x < 0)


_PLAIN: dict[str, InPlace] = {
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softsign": _softsign,
    "softplus": _softplus,
}
# Name → (function, default alpha and beta). None: no default, since Affine and ScaledTanh are no
# operators any more whose defaults the standard could refer to (onnxruntime takes 0 for all).
_WITH_ALPHA: dict[str, tuple[Callable[..., None], float]] = {
    "leakyrelu": (_leaky_relu, 0.01),
    "thresholdedrelu": (_thresholded_relu, 1.0),
    "elu": (_elu, 1.0),
}
_WITH_ALPHA_AND_BETA: dict[str, tuple[Callable[..., None], float | None, float | None]] = {
    "affine": (_affine, None, None),
    "scaledtanh": (_scaled_tanh, None, None),
    "hardsigmoid": (_hard_sigmoid, 0.2, 0.5),
}


def read_activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], clip: float | None
) -> list[InPlace]:
    """The activations of the names, in order.

    Each one that has an alpha takes the next of ``alphas``, and its own default
    where none is left; so for ``betas``. With ``clip`` each bounds its input to
    [-clip, clip] first. Names are compared without case, as onnxruntime does.
    """
    next_alpha, next_beta = iter(alphas), iter(betas)

    def bind(name: str) -> InPlace:
        key = name.lower()
        if key in _PLAIN:
            return _PLAIN[key]
        if key in _WITH_ALPHA:
            one, default = _WITH_ALPHA[key]
            return partial(one, alpha=next(next_alpha, default))
        if key in _WITH_ALPHA_AND_BETA:
            two, default_alpha, default_beta = _WITH_ALPHA_AND_BETA[key]
            first, second = next(next_alpha, default_alpha), next(next_beta, default_beta)
            if first is None or second is None:
                raise ValueError(f"{name} has no defaults: give it an alpha and a beta")
            return partial(two, alpha=first, beta=second)
        raise ValueError(
            f"the activation {name!r} is none of Relu, Tanh, Sigmoid, Affine, LeakyRelu, "
            f"ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign, Softplus"
        )

    functions = [bind(name) for name in names]
    return functions if clip is None else [_clipped(function, clip) for function in functions]


def _clipped(function: InPlace, clip: float) -> InPlace:
    def clipped(x: Array) -> None:
        np.clip(x, -clip, clip, out=x)
        function(x)

    return clipped
