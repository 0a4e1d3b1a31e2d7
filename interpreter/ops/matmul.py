"""Matrix products: MatMul and Gemm."""

from __future__ import annotations

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32


@op("MatMul", since=(1, 9, 13))
@in_float32
def matmul(a: Array, b: Array) -> Array:
    """The matrix product as ``numpy.matmul`` has it: [..., M, K] × [..., K, N] to [..., M, N].

    Leading axes broadcast; a vector is a row on the left and a column on the right.
    """
    _check_inner(a, b)
    if a.ndim == b.ndim == 2:
        product: Array = a.dot(b)  # the same; on one row it costs half of what ``matmul`` does
        return product
    return np.matmul(a, b)


def _check_inner(a: Array, b: Array) -> None:
    if a.ndim and b.ndim and a.shape[-1] != b.shape[-2:][0]:
        raise ValueError(
            f"the last axis of the first, {list(a.shape)}, must be as long as the rows' axis of "
            f"the second, {list(b.shape)}"
        )


@op("Gemm", since=(7, 9, 11, 13))
@in_float32
def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """``alpha * a' @ b' + beta * c``: a' [M, K], b' [K, N], c broadcast to [M, N].

    The prime is a transposition where ``transA`` or ``transB`` asks for it.
    """
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"Gemm takes two matrices, and was given ranks {a.ndim} and {b.ndim}")
    a, b = a.T if transA else a, b.T if transB else b
    _check_inner(a, b)
    y = np.matmul(a, b)
    y = _scaled(y, alpha)
    if c is None:
        return y
    if np.broadcast_shapes(y.shape, c.shape) != y.shape:
        raise ValueError(f"C {list(c.shape)} does not broadcast to {list(y.shape)}")
    y += _scaled(c, beta)
    return y


def _scaled(x: Array, factor: float) -> Array:
    if factor == 1:
        return x
    if x.dtype.kind != "f":
        if factor != int(factor):
            raise ValueError(f"integer matrices cannot be scaled by {factor}")
        return x * x.dtype.type(int(factor))
    return x * factor


@op("Gemm", since=(1, 6))
def gemm_1(
    a: Array,
    b: Array,
    c: Array,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """Gemm before opset 7: c has the result's shape unless ``broadcast`` is set."""
    rows, columns = a.shape[1 if transA else 0], b.shape[0 if transB else 1]
    if not broadcast and c.shape != (rows, columns):
        raise ValueError(
            f"C {list(c.shape)} must have the shape {[rows, columns]} where broadcast is 0"
        )
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
