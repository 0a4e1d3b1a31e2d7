"""Matrix products with quantised weights: QGemm, MatMulIntegerToFloat, DynamicQuantizeMatMul,
MatMulNBits."""

from __future__ import annotations

import numpy as np

from ...registry import op
from ...types import Array
from .._quantize import saturate
from .._shared import in_float32
from ..quantization import dynamic_quantize_linear
from ..quantized_products import matmul_integer


@op("QGemm", since=1, domain="com.microsoft")
def qgemm(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    c: Array | None = None,
    y_scale: Array | None = None,
    y_zero_point: Array | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """``alpha * a' @ b' + c`` of quantised matrices, quantised as y, or in float32 without y_scale.

    Accumulated in int32, c (of scale ``alpha * a_scale * b_scale``) included. Shapes: a'
    [M, K], b' [K, N], c broadcasts to [M, N]; b's scale and zero point are one or [N].
    """
    products = matmul_integer(
        a.T if transA else a, b.T if transB else b, a_zero_point, b_zero_point
    )
    if c is not None:
        products = products + c
    scale = np.float32(alpha) * a_scale.reshape(()) * b_scale
    if y_scale is None:
        return products.astype(np.float32) * scale
    dtype = a.dtype if y_zero_point is None else y_zero_point.dtype
    return saturate(products.astype(np.float32) * (scale / y_scale), y_zero_point, dtype)


@op("MatMulIntegerToFloat", since=1, domain="com.microsoft")
def matmul_integer_to_float(
    a: Array,
    b: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """``MatMulInteger(a, b) * (a_scale * b_scale) + bias``, in the scales' dtype.

    a's scale and zero point are one number; b's are one, or one for each column.
    """
    if a_scale.size != 1:
        raise ValueError(f"a_scale must be one number, not of the shape {list(a_scale.shape)}")
    products = matmul_integer(a, b, a_zero_point, b_zero_point).astype(np.float32)
    y = products * (a_scale.astype(np.float32).reshape(()) * b_scale.astype(np.float32))
    if bias is not None:
        y = y + bias.astype(np.float32)
    return y.astype(a_scale.dtype, copy=False)


@op("DynamicQuantizeMatMul", since=1, domain="com.microsoft")
def dynamic_quantize_matmul(
    a: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """``a @ b``, with a [float32] quantised to uint8 over its range, and b quantised."""
    quantised, a_scale, a_zero_point = dynamic_quantize_linear(a)
    return matmul_integer_to_float(quantised, b, a_scale, b_scale, a_zero_point, b_zero_point, bias)


@op("MatMulNBits", since=1, domain="com.microsoft")
@in_float32
def matmul_nbits(
    a: Array,
    b: Array,
    scales: Array,
    zero_points: Array | None = None,
    g_idx: Array | None = None,
    bias: Array | None = None,
    *,
    K: int,
    N: int,
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
) -> Array:
    """``a @ w.T + bias``, where ``w = (b - zero_points) * scales`` [N, K] in blocks along K.

    b holds numbers of 2, 4 or 8 bits, the first in the lowest bits of a byte,
    [N, blocks, block_size * bits / 8]; scales [N, blocks]; zero points are packed as b
    is, [N, ceil(blocks * bits / 8)], or [N, blocks] in a's dtype, and 2^(bits - 1) where
    absent. ``g_idx`` [K] names the block of each row. An empty b is a product of zeros.
    """
    del accuracy_level  # a lower bound: all is computed in float32
    if bits not in (2, 4, 8):
        raise ValueError(f"bits must be 2, 4 or 8, and is {bits}")
    if a.shape[-1] != K:
        raise ValueError(f"a {list(a.shape)} must have K = {K} columns")
    if b.size == 0:
        y = np.zeros((*a.shape[:-1], N), a.dtype)
        return y if bias is None else y + bias
    blocks = -(-K // block_size)
    block = np.arange(K) // block_size if g_idx is None else g_idx[:K]
    quantised = _unpack(b.reshape(N, -1), bits)[:, :K].astype(np.float32)
    zeros: Array = np.full((N, blocks), 2.0 ** (bits - 1), np.float32)
    if zero_points is not None and zero_points.dtype == np.uint8:
        zeros = _unpack(zero_points.reshape(N, -1), bits)[:, :blocks].astype(np.float32)
    elif zero_points is not None:
        zeros = zero_points.reshape(N, blocks).astype(np.float32)
    weights = (quantised - zeros[:, block]) * scales.reshape(N, blocks)[:, block]
    y = np.matmul(a, weights.T)
    return y if bias is None else y + bias


def _unpack(packed: Array, bits: int) -> Array:
    """Rows of bytes as rows of the numbers of so many bits that they hold."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return numbers.reshape(len(packed), -1)
