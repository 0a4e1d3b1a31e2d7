"""Attention over heads, its rotary positions, its linear form, and the one with own subgraphs."""

from __future__ import annotations

import math

import numpy as np

from ..registry import Body, Context, op
from ..types import HALF, Array, Dtype, dtype_of_enum
from ._shared import in_float32


@op("Attention", since=(23, 24, 25))
def attention(
    Q: Array,
    K: Array,
    V: Array,
    attn_mask: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    nonpad_kv_seqlen: Array | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    context: Context = Context(),  # noqa: B008
) -> tuple[Array | None, ...]:
    """softmax(softcap(scale · Q·Kᵀ) + bias) · V, head by head.

    Q (B, Hq, Sq, D), K and V (B, Hkv, Skv, D); or with the heads packed into the last axis,
    (B, S, H·D), and ``q_num_heads`` and ``kv_num_heads`` given. Each key head serves Hq/Hkv query
    heads in order. Past keys and values go in front: St = Spast + Skv.

    The bias is -inf where a key must not be seen (a boolean ``attn_mask``, the causal frontier, the
    window, keys behind ``nonpad_kv_seqlen``), else a float ``attn_mask`` or 0. Query i stands at
    position i + offset, where the offset is the number of past keys, or per batch item
    nonpad_kv_seqlen - Sq. A query that sees no key gets zeros.

    Returns Y in Q's layout, the present keys and values (B, Hkv, St, D), and (B, Hq, Sq, St) as
    ``qk_matmul_output_mode`` says: 0 the product, 1 after softcap, 2 after the bias, 3 after the
    softmax. float16 and bfloat16 are computed in float32.
    """
    packed = Q.ndim == 3
    query = _split_heads(Q, q_num_heads, "q_num_heads")
    key = _split_heads(K, kv_num_heads, "kv_num_heads")
    value = _split_heads(V, kv_num_heads, "kv_num_heads")
    if (past_key is None) != (past_value is None):
        raise ValueError("past_key and past_value must be given together")
    past_length = 0
    if past_key is not None and past_value is not None:
        if nonpad_kv_seqlen is not None:
            raise ValueError("nonpad_kv_seqlen is for a cache outside, without past_key")
        past_length = past_key.shape[2]
        key = np.concatenate([past_key, key], axis=2)
        value = np.concatenate([past_value, value], axis=2)
    compute = np.result_type(np.float32, *(x for x in (Q, K, V) if x.dtype not in HALF))
    scores = _scores(query.astype(compute, copy=False), key.astype(compute, copy=False), scale)
    capped = softcap * np.tanh(scores / softcap) if softcap else scores
    allowed = _visible(
        query.shape[2], key.shape[2], is_causal, left_window_size, right_window_size, past_length,
        nonpad_kv_seqlen,
    )  # fmt: skip
    biased = _add_bias(capped, attn_mask, allowed)
    probabilities = _softmax(biased, softmax_precision)
    Y = _weigh(probabilities, value.astype(compute, copy=False)).astype(Q.dtype, copy=False)
    if packed:
        Y = _join_heads(Y)
    if context.num_outputs < 4:
        return Y, key, value
    if not 0 <= qk_matmul_output_mode <= 3:
        raise ValueError(f"qk_matmul_output_mode must be 0 to 3, and is {qk_matmul_output_mode}")
    shown = (scores, capped, biased, probabilities)[qk_matmul_output_mode]
    return Y, key, value, shown.astype(Q.dtype, copy=False)


def _split_heads(x: Array, num_heads: int | None, name: str) -> Array:
    """(B, S, H·D) as (B, H, S, D); what has four axes already stays."""
    if x.ndim == 4:
        return x
    if x.ndim != 3:
        raise ValueError(f"Q, K and V must have rank 3 or 4, and one has the shape {list(x.shape)}")
    if not num_heads or x.shape[2] % num_heads:
        raise ValueError(
            f"{name} must divide the last dimension of an input of rank 3, {x.shape[2]}, and is "
            f"{num_heads}"
        )
    return x.reshape(*x.shape[:2], num_heads, x.shape[2] // num_heads).transpose(0, 2, 1, 3)


def _join_heads(x: Array) -> Array:
    """(B, H, S, D) as (B, S, H·D)."""
    batch, heads, length, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * size)


def _group(query: Array, kv_heads: int) -> Array:
    """Query heads (B, Hq, S, D) by the key head that serves them: (B, Hkv, Hq/Hkv, S, D)."""
    batch, heads, length, size = query.shape
    if not kv_heads or heads % kv_heads:
        raise ValueError(
            f"the number of query heads must be a multiple of the number of key heads: they are "
            f"{heads} and {kv_heads}"
        )
    return query.reshape(batch, kv_heads, heads // kv_heads, length, size)


def _scores(query: Array, key: Array, scale: float | None) -> Array:
    """scale · Q·Kᵀ as (B, Hq, Sq, Sk); the default scale is 1/√D."""
    if query.shape[0] != key.shape[0] or query.shape[3] != key.shape[3]:
        raise ValueError(
            f"queries {list(query.shape)} and keys {list(key.shape)}, as [batch, heads, length, "
            f"size], must have one batch and one size"
        )
    if scale is None:
        scale = 1 / math.sqrt(query.shape[3]) if query.shape[3] else 1.0
    grouped = _group(query * scale, key.shape[1])
    product = np.matmul(grouped, key[:, :, None].swapaxes(-1, -2))
    return product.reshape(*query.shape[:3], key.shape[2])


def _weigh(probabilities: Array, value: Array) -> Array:
    """P·V as (B, Hq, Sq, Dv)."""
    if probabilities.shape[::3] != value.shape[::2]:
        raise ValueError(
            f"values {list(value.shape)}, as [batch, heads, length, size], must have the batch "
            f"and the length of the keys, {list(probabilities.shape[::3])}"
        )
    product = np.matmul(_group(probabilities, value.shape[1]), value[:, :, None])
    return product.reshape(*probabilities.shape[:3], value.shape[3])


def _visible(
    num_queries: int,
    num_keys: int,
    is_causal: int,
    left: int,
    right: int,
    past_length: int,
    nonpad_kv_seqlen: Array | None,
) -> Array | None:
    """Which key each query may see by its position: boolean, broadcastable to (B, Hq, Sq, St)."""
    j = np.arange(num_keys)
    position = np.arange(num_queries)[:, None] + past_length
    conditions = []
    if nonpad_kv_seqlen is not None:
        valid = nonpad_kv_seqlen[:, None, None, None]
        position = position + (valid - num_queries)
        conditions.append(j < valid)
    if is_causal:
        conditions.append(j <= position)
    if left >= 0:
        conditions.append(j >= position - left)
    if right >= 0:
        conditions.append(j <= position + right)
    if not conditions:
        return None
    allowed = conditions[0]
    for condition in conditions[1:]:
        allowed = allowed & condition
    return allowed


def _add_bias(scores: Array, mask: Array | None, allowed: Array | None) -> Array:
    """The scores with the mask added, and -inf where a key must not be seen."""
    if mask is not None:
        missing = scores.shape[-1] - mask.shape[-1]
        if mask.shape[-1] != 1 and missing > 0:
            fill = False if mask.dtype == np.bool_ else -np.inf
            widths = [(0, 0)] * (mask.ndim - 1) + [(0, missing)]
            mask = np.pad(mask, widths, constant_values=fill)
        if np.broadcast_shapes(mask.shape, scores.shape) != scores.shape:
            raise ValueError(
                f"attn_mask {list(mask.shape)} does not broadcast to [batch, heads, queries, keys] "
                f"= {list(scores.shape)}"
            )
        if mask.dtype == np.bool_:
            allowed = mask if allowed is None else allowed & mask
        else:
            mask = mask.astype(scores.dtype, copy=False)
            scores = scores + mask
            # -inf in the mask hides a key whatever its score is, NaN and infinity included.
            hidden = np.isneginf(mask)
            if hidden.any():
                allowed = ~hidden if allowed is None else allowed & ~hidden
    return scores if allowed is None else np.where(allowed, scores, scores.dtype.type(-np.inf))


def _softmax(scores: Array, precision: int | None) -> Array:
    """Softmax of the last axis, in the scores' dtype or rounded to another; zeros where all
    scores are -inf."""
    dtype = scores.dtype
    if precision is not None:
        asked: Dtype = dtype_of_enum(precision)
        scores = scores.astype(asked)
        if asked in HALF:
            return _softmax(scores.astype(np.float32), None).astype(asked).astype(dtype)
    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    result = scores - np.where(np.isneginf(largest), 0, largest)
    np.exp(result, out=result)
    total = result.sum(axis=-1, keepdims=True)
    result /= np.where(total == 0, 1, total)
    return result.astype(dtype, copy=False)


@op("FlexAttention", since=1, domain="ai.onnx.preview")
def flex_attention(
    Q: Array,
    K: Array,
    V: Array,
    *,
    prob_mod: Body | None = None,
    scale: float | None = None,
    score_mod: Body | None = None,
    softmax_precision: int | None = None,
) -> Array:
    """prob_mod(softmax(score_mod(scale · Q·Kᵀ))) · V, head by head; shapes as in ``attention``.

    The subgraphs take and give (B, Hq, Sq, Skv) of the softmax's type: ``softmax_precision``, by
    default float64 for float64 and float32 for all others.
    """
    if Q.ndim != 4 or K.ndim != 4 or V.ndim != 4:
        raise ValueError(f"Q, K and V must have rank 4, and have {Q.ndim}, {K.ndim}, {V.ndim}")
    compute = np.dtype(np.float64 if Q.dtype == np.float64 else np.float32)
    asked = compute if softmax_precision is None else dtype_of_enum(softmax_precision)
    scores = _scores(Q.astype(compute, copy=False), K.astype(compute, copy=False), scale)
    scores = _modify(score_mod, scores.astype(asked, copy=False), "score_mod")
    inner = scores.astype(np.float32) if asked in HALF else scores
    probabilities = _modify(prob_mod, _softmax(inner, None).astype(asked, copy=False), "prob_mod")
    weighed = _weigh(probabilities.astype(compute, copy=False), V.astype(compute, copy=False))
    return weighed.astype(Q.dtype, copy=False)


def _modify(body: Body | None, x: Array, name: str) -> Array:
    if body is None:
        return x
    (result,) = body(x)
    if result.shape != x.shape or result.dtype != x.dtype:
        raise ValueError(
            f"{name} must give {x.dtype} {list(x.shape)} as it takes, and gives {result.dtype} "
            f"{list(result.shape)}"
        )
    modified: Array = result
    return modified


@op("RotaryEmbedding", since=23)
@in_float32
def rotary_embedding(
    X: Array,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Array:
    """Each pair (a, b) of a head's first ``rotary_embedding_dim`` (0: all) values turned by its
    position's angle: (a·cos - b·sin, a·sin + b·cos).

    X (B, H, S, D) or packed (B, S, H·D). A pair is two halves apart, or neighbours where
    ``interleaved``. The caches hold dim/2 angles for each position, which ``position_ids`` (B, S)
    names, or without them for each token, (B, S, dim/2).
    """
    x = _split_heads(X, num_heads, "num_heads")
    size = rotary_embedding_dim or x.shape[3]
    if size % 2 or size > x.shape[3]:
        raise ValueError(
            f"rotary_embedding_dim must be even and at most the head size {x.shape[3]}, and is "
            f"{size}"
        )
    cos, sin = (_angles(cache, position_ids, size) for cache in (cos_cache, sin_cache))
    first, second = slice(0, size // 2), slice(size // 2, size)
    if interleaved:
        first, second = slice(0, size, 2), slice(1, size, 2)
    a, b = x[..., first], x[..., second]
    result = x.copy()
    result[..., first] = a * cos - b * sin
    result[..., second] = a * sin + b * cos
    return result if X.ndim == 4 else _join_heads(result)


def _angles(cache: Array, position_ids: Array | None, size: int) -> Array:
    """The cache's rows of the tokens, (B, 1, S, size/2): for all heads."""
    if cache.shape[-1] != size // 2:
        raise ValueError(
            f"the caches' last dimension must be half of the rotated size {size}, and is "
            f"{cache.shape[-1]}"
        )
    if position_ids is not None:
        if ((position_ids < 0) | (position_ids >= len(cache))).any():
            raise ValueError(f"position_ids must lie in 0 to {len(cache) - 1}")
        cache = cache[position_ids]
    return cache[:, None]


_RULES = ("linear", "gated", "delta", "gated_delta")


@op("LinearAttention", since=27)
def linear_attention(
    query: Array,
    key: Array,
    value: Array,
    past_state: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Array, Array]:
    """Attention as a recurrence over tokens with a state S (B, Hkv, dk, dv), computed in float32.

    For each token: S ← exp(decay)·S where gated, then S ← S + k ⊗ u with u = v, or for the delta
    rules u = β·(v - Sᵀk), and the output is scale · Sᵀq (``scale`` 0: 1/√dk). query
    (B, T, Hq·dk), key (B, T, Hkv·dk), value (B, T, Hkv·dv), decay (B, T, Hkv·dk or Hkv), beta
    (B, T, Hkv or 1) → output (B, T, Hq·dv) and the last state. ``chunk_size`` is a hint.
    """
    del chunk_size
    if update_rule not in _RULES:
        raise ValueError(f"update_rule must be one of {', '.join(_RULES)}, and is {update_rule!r}")
    gated, delta = "gated" in update_rule, "delta" in update_rule
    if gated and decay is None:
        raise ValueError(f"the update_rule {update_rule} needs the input decay")
    if delta and beta is None:
        raise ValueError(f"the update_rule {update_rule} needs the input beta")
    state_dtype = query.dtype if past_state is None else past_state.dtype
    q = _split_heads(query.astype(np.float32), q_num_heads, "q_num_heads")
    k = _split_heads(key.astype(np.float32), kv_num_heads, "kv_num_heads")
    v = _split_heads(value.astype(np.float32), kv_num_heads, "kv_num_heads")
    batch, heads, length, dk = k.shape
    if q.shape[0] != batch or q.shape[2:] != k.shape[2:] or v.shape[:3] != k.shape[:3]:
        raise ValueError(
            f"queries {list(q.shape)}, keys {list(k.shape)} and values {list(v.shape)}, as [batch, "
            f"heads, length, size], do not fit each other"
        )
    q = _group(q, heads) * np.float32(scale or (1 / math.sqrt(dk) if dk else 1.0))
    factor = np.ones((batch, heads, length, 1), np.float32)
    if gated and decay is not None:
        factor = np.exp(_split_heads(decay.astype(np.float32), heads, "kv_num_heads"))
    rate = np.ones((batch, 1, length), np.float32)
    if delta and beta is not None:
        rate = beta.astype(np.float32).swapaxes(1, 2)
    state = np.zeros((batch, heads, dk, v.shape[3]), np.float32)
    if past_state is not None:
        if past_state.shape != state.shape:
            raise ValueError(
                f"past_state must have the shape {list(state.shape)}, and has "
                f"{list(past_state.shape)}"
            )
        state[...] = past_state
    output = np.empty((*q.shape[:4], v.shape[3]), np.float32)
    for t in range(length):
        state *= factor[:, :, t, :, None]
        update = v[:, :, t]
        if delta:
            recalled = np.matmul(k[:, :, t, None], state)[:, :, 0]
            update = rate[:, :, t, None] * (update - recalled)
        state += k[:, :, t, :, None] * update[:, :, None]
        np.matmul(q[:, :, :, t], state, out=output[:, :, :, t])
    result = _join_heads(output.reshape(batch, q_num_heads, length, v.shape[3]))
    return result.astype(query.dtype), state.astype(state_dtype)
