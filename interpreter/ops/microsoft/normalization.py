"""Layer normalisation with a residual or an embedding before it."""

from __future__ import annotations

import numpy as np

from ...registry import op
from ...types import HALF, Array
from .._shared import in_float32, single
from ..normalization import EPSILON, layer_normalization

TINY = single(1e-12)


@op("SkipLayerNormalization", since=1, domain="com.microsoft")
@in_float32
def skip_layer_normalization(
    input: Array,
    skip: Array,
    gamma: Array,
    beta: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = TINY,
) -> tuple[Array, Array, Array, Array]:
    """Layer normalisation of ``s = input + skip + bias`` over the last axis.

    Shapes: input (B, S, H), skip the same or (1, S, H) or (S, H), all else (H).
    Outputs: ``(s - mean) / sqrt(var + epsilon) * gamma + beta``, mean, 1 / sqrt, s.
    """
    total = input + skip if bias is None else input + skip + bias
    return *layer_normalization(total, gamma, beta, epsilon=epsilon), total


@op("SkipSimplifiedLayerNormalization", since=1, domain="com.microsoft")
@in_float32
def skip_simplified_layer_normalization(
    input: Array, skip: Array, gamma: Array, bias: Array | None = None, *, epsilon: float = TINY
) -> tuple[Array, None, Array, Array]:
    """The same with the root mean square: no mean is taken off, and none is given."""
    total = input + skip if bias is None else input + skip + bias
    y, inverse = simplified_layer_normalization(total, gamma, epsilon=epsilon)
    return y, None, inverse, total


@op("SimplifiedLayerNormalization", since=1)
def simplified_layer_normalization(
    x: Array, scale: Array, *, axis: int = -1, epsilon: float = EPSILON, stash_type: int = 1
) -> tuple[Array, Array]:
    """``x / sqrt(mean(x^2) + epsilon) * scale`` over all axes from ``axis`` on, and 1 / sqrt.

    onnxruntime has it in the standard's own domain, from before RMSNormalization.
    """
    if stash_type != 1:
        raise ValueError(f"stash_type must be 1 (float32), and is {stash_type}")
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.astype(np.float32) if x.dtype in HALF else x
    inverse = 1 / np.sqrt(np.square(wide).mean(axis=axes, keepdims=True) + epsilon)
    return (wide * inverse * scale).astype(x.dtype), inverse.astype(np.float32)


@op("EmbedLayerNormalization", since=1, domain="com.microsoft")
@in_float32
def embed_layer_normalization(
    input_ids: Array,
    segment_ids: Array | None,
    word_embedding: Array,
    position_embedding: Array,
    segment_embedding: Array | None,
    gamma: Array,
    beta: Array,
    mask: Array | None = None,
    position_ids: Array | None = None,
    *,
    epsilon: float = TINY,
    mask_index_type: int = 0,
) -> tuple[Array, Array, Array]:
    """Layer normalisation of the sum of a token's word, position and segment embeddings.

    Shapes: the ids and mask (B, S), embeddings (count, H), gamma and beta (H).
    Outputs: the result (B, S, H), how many 1s each row of the mask has (B), and the sum.
    """
    del mask_index_type  # for shape inference alone
    batch, length = input_ids.shape
    if position_ids is None:
        position_ids = np.arange(length)[None]
    total = _rows(word_embedding, input_ids) + _rows(position_embedding, position_ids)
    if segment_ids is not None and segment_embedding is not None:
        total = total + _rows(segment_embedding, segment_ids)
    y, *_ = layer_normalization(total, gamma, beta, epsilon=epsilon)
    counts = np.zeros(batch) if mask is None else (mask == 1).sum(axis=1)
    return y, counts.astype(np.int32), total


def _rows(embedding: Array, ids: Array) -> Array:
    if ((ids < 0) | (ids >= len(embedding))).any():
        raise ValueError(f"ids must lie in 0 to {len(embedding) - 1}")
    return embedding[ids]
