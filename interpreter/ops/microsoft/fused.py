"""Conv, Gemm and MatMul with what graph optimisers fold into them: FusedConv, FusedGemm,
FusedMatMul."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ...registry import op
from ...types import Array
from .. import activation as functions
from .._shared import in_float32
from ..conv import conv
from ..matmul import gemm

# Each activation with the attributes that its parameters are, in their order.
_ACTIVATIONS: dict[str, tuple[Callable[..., Array], tuple[str, ...]]] = {
    "Relu": (functions.relu, ()),
    "Sigmoid": (functions.sigmoid, ()),
    "Tanh": (functions.tanh, ()),
    "Softplus": (functions.softplus, ()),
    "Softsign": (functions.softsign, ()),
    "LeakyRelu": (functions.leaky_relu, ("alpha",)),
    "Elu": (functions.elu, ("alpha",)),
    "ThresholdedRelu": (functions.thresholded_relu, ("alpha",)),
    "HardSigmoid": (functions.hard_sigmoid, ("alpha", "beta")),
    "Selu": (functions.selu, ("alpha", "gamma")),
    "Clip": (functions.clip_6, ("min", "max")),
}


def _activation(name: str, parameters: Sequence[float | None]) -> Callable[[Array], Array]:
    """The function of that name ("" is none); a parameter that is absent has its default."""
    if not name:
        return lambda x: x
    if name not in _ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, and is '{name}'")
    function, names = _ACTIVATIONS[name]
    given = {k: v for k, v in zip(names, parameters, strict=False) if v is not None}
    return partial(function, **given)


@op("FusedConv", since=1, domain="com.microsoft")
@in_float32
def fused_conv(
    x: Array,
    w: Array,
    b: Array | None = None,
    z: Array | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] = (),
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Array:
    """``activation(Conv(x, w, b) + z)``, z of the output's shape."""
    y = conv(
        x,
        w,
        b,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return _activation(activation, activation_params)(y if z is None else y + z)


@op("FusedGemm", since=1, domain="com.microsoft")
@in_float32
def fused_gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """``activation(Gemm(a, b, c))``."""
    second = activation_gamma if activation == "Selu" else activation_beta
    y = gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    return _activation(activation, (activation_alpha, second))(y)


@op("FusedMatMul", since=1, domain="com.microsoft")
@in_float32
def fused_matmul(
    a: Array,
    b: Array,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Array:
    """``alpha * a' @ b'``, where the prime is a transposition of the last two axes.

    With ``transBatch`` the rows are the first axis and the batches the ones behind it:
    [M, ..., K] is taken as [..., M, K].
    """
    a = _transposed(a, transA, transBatchA)
    b = _transposed(b, transB, transBatchB)
    y = np.matmul(a, b)
    return y if alpha == 1 else y * a.dtype.type(alpha)


def _transposed(x: Array, last_two: int, batches: int) -> Array:
    if x.ndim > 1 and batches:
        x = np.moveaxis(x, 0, -2)
    return x.swapaxes(-1, -2) if x.ndim > 1 and last_two else x
