"""Attention, MultiHeadAttention and RotaryEmbedding.

Axes: B batch, N heads, S query length, T total key length (past and new), D head size.
Source: Vaswani et al., https://arxiv.org/abs/1706.03762.
"""

from __future__ import annotations

import numpy as np

from ...registry import Context, op
from ...types import Array
from .. import attention as standard
from .._shared import in_float32
from ..softmax import softmax

MASKED = -10000.0


@op("Attention", since=1, domain="com.microsoft")
@in_float32
def attention(
    input: Array,
    weights: Array,
    bias: Array | None = None,
    mask_index: Array | None = None,
    past: Array | None = None,
    attention_bias: Array | None = None,
    *,
    num_heads: int,
    mask_filter_value: float = MASKED,
    qkv_hidden_sizes: tuple[int, ...] | None = None,
    scale: float | None = None,
    unidirectional: int = 0,
    context: Context = Context(),  # noqa: B008
) -> Array | tuple[Array, Array]:
    """Multi-head attention of a sequence to itself, projections included.

    Shapes: input (B, S, I), weights (I, Hq + Hk + Hv), bias (Hq + Hk + Hv), past and
    present (2, B, N, length, D), keys then values. Outputs: (B, S, Hv), present.
    The mask: see ``_key_mask``. ``attention_bias`` is added to the scores (B, N, S, T).
    """
    sizes = qkv_hidden_sizes or (weights.shape[1] // 3,) * 3
    if sum(sizes) != weights.shape[1] or any(size % num_heads for size in sizes):
        raise ValueError(
            f"hidden sizes {list(sizes)} must be multiples of num_heads {num_heads} and add up "
            f"to the {weights.shape[1]} columns of the weights"
        )
    projected = np.matmul(input, weights)
    if bias is not None:
        projected += bias
    parts = np.split(projected, np.cumsum(sizes)[:2], axis=2)
    query, key, value = (_split_heads(part, num_heads) for part in parts)
    if past is not None:
        key, value = (np.concatenate(pair, axis=2) for pair in zip(past, (key, value), strict=True))
    mask = _key_mask(mask_index, len(input), key.shape[2], mask_filter_value)
    before = key.shape[2] - input.shape[1] if unidirectional else None
    output, _ = _attend(query, key, value, mask, attention_bias, scale, before)
    if context.num_outputs == 1:
        return output
    if key.shape != value.shape:
        raise ValueError("present keys and values need one hidden size, and have two")
    return output, np.stack([key, value])


@op("MultiHeadAttention", since=1, domain="com.microsoft")
@in_float32
def multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    attention_bias: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    *,
    num_heads: int,
    mask_filter_value: float = MASKED,
    scale: float | None = None,
    unidirectional: int = 0,
    context: Context = Context(),  # noqa: B008
) -> tuple[Array, ...]:
    """Multi-head attention of projected queries to keys and values.

    Shapes: query (B, S, N·D), key (B, L, N·D) and value (B, L, N·Dv), or already by
    heads (B, N, L, D); packed query (B, S, N, 3, D) alone, or key (B, L, N, 2, D) for
    both. bias (2·N·D + N·Dv), past (B, N, P, D). Outputs: (B, S, N·Dv), present key
    and value (B, N, P + L, D), and the scores (B, N, S, T) before the softmax.
    """
    parts: list[Array | None]
    if query.ndim == 5:
        parts = [query[:, :, :, i].swapaxes(1, 2) for i in range(3)]
    elif key is not None and key.ndim == 5:
        parts = [query, *(key[:, :, :, i].swapaxes(1, 2) for i in range(2))]
    else:
        parts = [query, key, value]
    by_head = []
    position = 0
    for part in parts:
        if part is None:
            raise ValueError("key and value may be left out only where the query is packed")
        heads = part if part.ndim == 4 else _split_heads(part, num_heads)
        width = heads.shape[1] * heads.shape[3]
        if bias is not None:
            heads = heads + _split_heads(bias[None, None, position : position + width], num_heads)
            position += width
        by_head.append(heads)
    q, k, v = by_head
    before = 0 if unidirectional else None
    if past_key is not None and past_value is not None:
        before = past_key.shape[2] if unidirectional else None
        k, v = np.concatenate([past_key, k], axis=2), np.concatenate([past_value, v], axis=2)
    mask = _key_mask(key_padding_mask, len(q), k.shape[2], mask_filter_value)
    output, scores = _attend(q, k, v, mask, attention_bias, scale, before)
    return (output, k, v, scores)[: context.num_outputs]


def _attend(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    bias: Array | None,
    scale: float | None,
    before: int | None,
) -> tuple[Array, Array]:
    """``softmax(scale * Q·Kᵀ + mask + bias)·V``, (B, S, N·Dv), and what the softmax is of.

    Where attention is unidirectional, ``before`` is the number of keys that are
    older than the first query: query i then sees the first ``before + i + 1``. The
    default scale is 1/√D.
    """
    length, total = query.shape[2], key.shape[2]
    scale = scale or 1 / np.sqrt(query.shape[3])
    scores = np.matmul(query * query.dtype.type(scale), key.swapaxes(2, 3))
    for term in (mask, bias):
        if term is not None:
            scores = scores + term
    if before is not None:
        later = np.arange(total) > np.arange(length)[:, None] + before
        scores = np.where(later, np.finfo(scores.dtype).min, scores)
    output = np.matmul(softmax(scores), value)
    batch, heads, _, size = output.shape
    return output.transpose(0, 2, 1, 3).reshape(batch, length, heads * size), scores


def _split_heads(x: Array, num_heads: int) -> Array:
    """(B, S, N·D) as (B, N, S, D)."""
    batch, length, width = x.shape
    if width % num_heads:
        raise ValueError(f"num_heads {num_heads} must divide the hidden size {width}")
    return x.reshape(batch, length, num_heads, width // num_heads).transpose(0, 2, 1, 3)


def _key_mask(mask: Array | None, batch: int, total: int, filter_value: float) -> Array | None:
    """What is added to the scores (B, N, S, T): 0 where a key is seen, the filter value elsewhere.

    The mask has 1 where a key is seen, (B, T) or (B, S, T), or says where the keys of
    each sequence end, (B), or first for all where they end and then where they start, (2B).
    """
    if mask is None:
        return None
    if mask.shape in ((batch,), (2 * batch,)):
        position = np.arange(total)
        end, start = mask[:batch, None], mask[batch:, None]
        seen = position < end
        if start.size:
            seen &= position >= start
    elif mask.ndim in (2, 3) and mask.shape[0] == batch and mask.shape[-1] == total:
        seen = mask > 0
    else:
        raise ValueError(
            f"a mask must have the shape [{batch}, {total}], [{batch}, queries, {total}], "
            f"[{batch}] or [{2 * batch}], and has {list(mask.shape)}"
        )
    seen = seen[:, None, None] if seen.ndim == 2 else seen[:, None]
    return np.where(seen, np.float32(0), np.float32(filter_value))


@op("RotaryEmbedding", since=1, domain="com.microsoft")
def rotary_embedding(
    input: Array,
    position_ids: Array,
    cos_cache: Array,
    sin_cache: Array,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Array:
    """The standard's RotaryEmbedding with other conventions for its inputs.

    input (B, S, N·D) or (B, N, S, D); ``position_ids`` (B, S), or (1): the position of
    the first token of each sequence. Without ``num_heads`` the head size is twice the
    caches' width.
    """
    if position_ids.size == 1 and position_ids.ndim == 1:
        length = input.shape[2 if input.ndim == 4 else 1]
        position_ids = np.broadcast_to(position_ids + np.arange(length), (len(input), length))
    if input.ndim == 3 and not num_heads:
        num_heads = input.shape[2] // (2 * cos_cache.shape[1])
    return standard.rotary_embedding(
        input,
        cos_cache,
        sin_cache,
        position_ids,
        interleaved=interleaved,
        num_heads=num_heads,
        rotary_embedding_dim=rotary_embedding_dim,
    )
