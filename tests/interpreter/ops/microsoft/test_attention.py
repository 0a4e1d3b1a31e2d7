from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, node_model, run_ours

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.ops.microsoft import attention as kernels

MS = {"domain": "com.microsoft", "opset": 1}
B, S, N, D = 2, 3, 2, 4
H = N * D


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


MASKS = {
    "none": None,
    "keys": [[1, 1, 0], [1, 0, 0]],
    "all of a row": [[0, 0, 0], [1, 0, 1]],
    "keys by query": [[[1, 0, 0], [1, 1, 0], [1, 1, 1]]] * 2,
    "ends": [2, 1],
    "ends and starts": [2, 3, 1, 0],
}


@given(
    st.sampled_from(list(MASKS)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1),
    st.sampled_from([None, 0.3]),
    st.sampled_from([None, -5.0]),
)
def test_attention(
    mask: str, with_bias: bool, with_scores: bool, causal: int, scale: Any, filter_value: Any
) -> None:
    inputs = [normal(B, S, 5), normal(5, 3 * H), normal(3 * H) if with_bias else None]
    values = MASKS[mask]
    inputs.append(None if values is None else np.array(values, np.int32))
    inputs += [None, normal(B, N, S, S)] if with_scores else []
    attributes = {"num_heads": N, "unidirectional": causal}
    attributes |= {} if scale is None else {"scale": scale}
    attributes |= {} if filter_value is None else {"mask_filter_value": filter_value}
    # Where all is masked, -10000 swallows three digits of the scores, in whatever order.
    limits = {"rtol": 2e-3, "atol": 2e-3} if mask == "all of a row" else {}
    check_node("Attention", inputs, **attributes, **MS, **limits)


@pytest.mark.parametrize("causal", [0, 1])
def test_attention_with_past(causal: int) -> None:
    past = normal(2, B, N, 4, D)
    inputs = [normal(B, S, 5), normal(5, 3 * H), normal(3 * H), None, past]
    check_node("Attention", inputs, num_heads=N, unidirectional=causal, outputs=2, **MS)
    mask = np.ones((B, S + 4), np.int32)
    mask[0, :2] = 0
    inputs[3] = mask
    check_node("Attention", inputs, num_heads=N, unidirectional=causal, outputs=2, **MS)


def test_attention_of_other_value_size() -> None:
    inputs = [normal(B, S, 5), normal(5, 2 * H + 6), normal(2 * H + 6)]
    check_node("Attention", inputs, num_heads=N, qkv_hidden_sizes=[H, H, 6], **MS)
    with pytest.raises(
        ValueError, match=r"hidden sizes \[7, 7, 7\] must be multiples of num_heads 2"
    ):
        kernels.attention(inputs[0], normal(5, 21), num_heads=2)
    with pytest.raises(ValueError, match="a mask must have the shape"):
        kernels.attention(*inputs[:3], np.ones(8), num_heads=2, qkv_hidden_sizes=(H, H, 6))


@pytest.mark.parametrize("attribute", ["do_rotary", "past_present_share_buffer"])
def test_attention_refuses_what_it_does_not_honour(attribute: str) -> None:
    inputs = [normal(B, S, 5), normal(5, 3 * H)]
    model = node_model("Attention", inputs, num_heads=N, **{attribute: 1}, **MS)
    with pytest.raises(so.errors.UnsupportedError, match=f"'{attribute}' is not supported"):
        so.InferenceSession(model)


@given(
    st.sampled_from(["none", "ends", "keys", "keys by query"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 5),
)
def test_multi_head_attention(
    mask: str, with_bias: bool, with_scores: bool, with_past: bool, length: int
) -> None:
    past = 2 if with_past else 0
    inputs = [normal(B, S, H), normal(B, length, H, seed=1), normal(B, length, H, seed=2)]
    inputs.append(normal(3 * H) if with_bias else None)
    total = length + past
    seen = np.random.default_rng(1).integers(0, 2, (B, S, total)).astype(np.int32)
    masks = {"ends": np.array([1, total], np.int32), "keys": seen[:, 0], "keys by query": seen}
    if with_past and mask == "ends":
        mask = "none"  # a length of the new keys alone would not be clear
    inputs += [masks.get(mask), normal(1, N, S, total) if with_scores else None]
    inputs += [normal(B, N, 2, D, seed=3), normal(B, N, 2, D, seed=4)] if with_past else []
    while inputs[-1] is None:
        inputs.pop()
    # Rows in which all is masked lose digits, as above.
    check_node("MultiHeadAttention", inputs, num_heads=N, outputs=3, rtol=2e-3, atol=2e-3, **MS)


@pytest.mark.parametrize("past", [0, 2])
def test_multi_head_attention_unidirectional(past: int) -> None:
    inputs = [normal(B, S, H, seed=i) for i in range(3)]
    if past:
        inputs += [None, None, None, normal(B, N, past, D, seed=3), normal(B, N, past, D, seed=4)]
    check_node("MultiHeadAttention", inputs, num_heads=N, unidirectional=1, outputs=3, **MS)


def test_multi_head_attention_by_heads_and_packed() -> None:
    query, key, value = (normal(B, S, H, seed=i) for i in range(3))
    heads = [x.reshape(B, S, N, D) for x in (query, key, value)]
    by_heads = [query, *(x.swapaxes(1, 2).copy() for x in heads[1:])]
    check_node("MultiHeadAttention", by_heads, num_heads=N, outputs=3, **MS)
    expected = run_ours("MultiHeadAttention", [query, key, value], num_heads=N, outputs=3, **MS)
    # onnxruntime has packed inputs on GPUs alone.
    packed = [np.stack(heads, axis=3)]
    assert_same(run_ours("MultiHeadAttention", packed, num_heads=N, outputs=3, **MS), expected)
    packed = [query, np.stack(heads[1:], axis=3)]
    assert_same(run_ours("MultiHeadAttention", packed, num_heads=N, outputs=3, **MS), expected)


def test_multi_head_attention_scores() -> None:
    # Of one head of size 1 and scale 2: products by hand, and what is masked lowered.
    query = np.array([[[1], [3]]], np.float32)
    key = np.array([[[1], [2], [4]]], np.float32)
    mask = np.array([[1, 1, 0]], np.int32)
    *_, scores = run_ours(
        "MultiHeadAttention",
        [query, key, key, None, mask],
        num_heads=1,
        scale=2.0,
        mask_filter_value=-100.0,
        outputs=4,
        **MS,
    )
    assert scores.tolist() == [[[[2, 4, 8 - 100], [6, 12, 24 - 100]]]]


@given(st.integers(0, 1), st.booleans(), st.booleans(), st.sampled_from([0, 2]))
def test_rotary_embedding(interleaved: int, by_heads: bool, one_position: bool, dim: int) -> None:
    x = normal(B, N, S, D) if by_heads else normal(B, S, H)
    positions = np.array([2]) if one_position else np.array([[0, 1, 2], [3, 1, 4]])
    width = (dim or D) // 2
    inputs = [x, positions.astype(np.int64), normal(6, width), normal(6, width, seed=1)]
    attributes = {"interleaved": interleaved}
    if dim:
        attributes |= {"rotary_embedding_dim": dim, "num_heads": N}
    check_node("RotaryEmbedding", inputs, **attributes, **MS)
