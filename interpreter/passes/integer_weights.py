"""Constant weights of 8 bits: without their zero point, and whether their products are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..fast import FAST
from ..fast.quantized import pieces_of
from ..graph import Node
from ..types import Array
from ._index import Index
from .grid import BYTES

_WIDEST = 255
"""The largest difference of two bytes: how large a centred value can be."""
_DEEPEST = 2**31 // (_WIDEST * _WIDEST)
"""Terms of a sum that surely fits int32; the plain operator wraps around where it does not."""
MOST_PIECES = 16
"""As many as the deepest sums that int32 is sure to hold need, and a few more."""
_LSTM_INPUTS = (
    *("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
    *("W_scale", "W_zero_point", "R_scale", "R_zero_point"),
)


def centred_weights(name: str, zero_point: str, axis: int, index: Index) -> Array | None:
    """Constant bytes without their zero point, int32; ``axis`` is that of the results.

    None where they are not constant, or the zero points are not one or one a result.
    """
    weight = index.constants.get(name)
    if weight is None or weight.dtype not in BYTES or weight.size == 0:
        return None
    centred = weight.astype(np.int32)
    if not zero_point:
        return centred
    zero = index.constants.get(zero_point)
    if zero is None or zero.dtype not in BYTES or zero.size not in (1, weight.shape[axis]):
        return None
    if zero.ndim > 1 and zero.shape[-1] != zero.size:
        return None
    shape = [1] * weight.ndim
    shape[axis] = zero.size
    return centred - zero.astype(np.int32).reshape(shape)


def is_exact(weight: Array) -> bool:
    """Whether the sums of centred bytes times integers [K, N] stay within 2^24 in any order.

    A partial sum is largest with the positive (or the negative) weights alone, each times
    255 at most: a centred value lies between ``-zero_point`` and ``255 - zero_point``.
    """
    positive = np.maximum(weight, 0).sum(axis=0, dtype=np.int64).max(initial=0)
    negative = np.minimum(weight, 0).sum(axis=0, dtype=np.int64).min(initial=0)
    return bool(max(positive, -negative) * _WIDEST <= 2**24)


def depth_pieces(weight: Array, most: int) -> int | None:
    """In how many pieces of the first axis of weights [K, ..., N] the sums are exact.

    The pieces are those of ``fast.quantized.pieces_of``. None where ``most`` pieces are too
    few, or where int32 might not hold the whole sum.
    """
    if weight.size // weight.shape[-1] > _DEEPEST:
        return None
    for pieces in range(1, min(most, len(weight)) + 1):
        parts = (weight[piece] for piece in pieces_of(len(weight), pieces))
        if all(is_exact(part.reshape(-1, weight.shape[-1])) for part in parts):
            return pieces
    return None


def factor_of(node: Node, width: int, index: Index) -> Array | None:
    """``a_scale * b_scale / y_scale``, one or [width], of QLinearConv and QLinearMatMul.

    The sums times it are in units of the result. None where it is not known or not positive.
    """
    scales = [index.constants.get(node.inputs[place]) for place in (1, 4, 6)]
    if any(scale is None or scale.size == 0 for scale in scales):
        return None
    one, other, result = (scale.astype(np.float32) for scale in scales if scale is not None)
    if one.size != 1 or result.size != 1 or other.size not in (1, width):
        return None
    if other.size > 1 and other.shape[-1] != width:
        return None
    factor = (one.reshape(()) * other.reshape(-1)) / result.reshape(())
    if not (np.isfinite(factor).all() and (factor > 0).all()):
        return None
    return factor.reshape(()) if factor.size == 1 else factor


def prepared_lstm(node: Node, index: Index) -> Node | None:
    """DynamicQuantizeLSTM as a fast node that carries its weights, None where they are not constant
    or their products not exact."""
    constants = index.constants
    inputs = dict(zip(_LSTM_INPUTS, (*node.inputs, *[""] * 12), strict=False))
    parameters: dict[str, Array | None] = {}
    for role in _LSTM_INPUTS:
        if role in ("X", "sequence_lens", "initial_h", "initial_c"):
            continue
        parameters[role] = constants.get(inputs[role])
        if inputs[role] and parameters[role] is None:
            return None
    W, R = parameters["W"], parameters["R"]
    if W is None or R is None or W.ndim != 3 or R.ndim != 3:
        return None
    for role, values in (("W", W), ("R", R)):
        zero, scale = parameters[f"{role}_zero_point"], parameters[f"{role}_scale"]
        if zero is None or scale is None or zero.shape != scale.shape:
            return None
        if scale.shape not in ((len(values),), (len(values), values.shape[2])):
            return None
        each = zero.astype(np.int32).reshape(len(values), 1, -1)
        centred = values.astype(np.int32) - each
        if values.shape[2] % 4 or not is_exact(np.concatenate(list(centred), axis=1)):
            return None
    roles = ("X", "sequence_lens", "initial_h", "initial_c")
    return replace(
        node,
        domain=FAST,
        inputs=tuple(inputs[role] for role in roles),
        attributes={**node.attributes, **parameters},
    )
