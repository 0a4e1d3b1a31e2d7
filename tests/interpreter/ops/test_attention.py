"""Attention and its relatives against onnxruntime, and their rules by hand.

Where onnxruntime 1.32 and the specification part ways: its output of
qk_matmul_output_mode 2 has float32's lowest number where a key is hidden, in place of
-inf; it computes float64 with a scale in float32; it ignores a float16
softmax_precision; before opset 25 it refuses a mask that is shorter than the keys.
With is_causal, past keys and other numbers of queries than of new keys it lets each query see other
keys than those up to i + past_sequence_length (``test_causal_with_past``).
FlexAttention it does not know: there ours is compared with Attention.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from oracles import assert_same, check_node, run_onnxruntime, run_ours

import scratch_onnx.interpreter as so


def normal(seed: int, *shapes: tuple[int, ...], dtype: Any = np.float32) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@st.composite
def attention_cases(draw: Any) -> tuple[list[Any], dict[str, Any]]:
    B, kv_heads, group = (draw(st.integers(1, 2)) for _ in range(3))
    Sq, Skv = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    D, Dv = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    heads = kv_heads * group
    opset = draw(st.sampled_from([23, 24, 25]))
    past = draw(st.sampled_from([0, 0, 3]))
    causal = draw(st.integers(0, 1))
    if past and causal:
        Sq = Skv  # else onnxruntime differs: see above
    Q, K, V, past_key, past_value = normal(
        draw(st.integers(0, 1000)),
        (B, heads, Sq, D),
        (B, kv_heads, Skv, D),
        (B, kv_heads, Skv, Dv),
        (B, kv_heads, past, D),
        (B, kv_heads, past, Dv),
    )
    options: dict[str, Any] = {"opset": opset, "is_causal": causal}
    if draw(st.booleans()):
        Q, K, V = (x.transpose(0, 2, 1, 3).reshape(B, x.shape[2], -1) for x in (Q, K, V))
        options |= {"q_num_heads": heads, "kv_num_heads": kv_heads}
    inputs = [Q, K, V, None, None, None]
    outputs = ["y", "", "", ""]
    if past:
        inputs[4:] = [past_key, past_value]
        outputs = ["y", "k", "v", ""]
    mask = draw(st.sampled_from([None, "float", "bool"]))
    if mask:
        leading = draw(st.sampled_from([(), (heads,), (B, 1), (1, heads), (B, heads)]))
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        values = rng.normal(size=(*leading, Sq, past + Skv))
        inputs[3] = values > -0.5 if mask == "bool" else values.astype(np.float32)
    if not past and opset > 23 and draw(st.booleans()):
        lens = draw(st.lists(st.integers(1, Skv), min_size=B, max_size=B))
        inputs.append(np.array(lens))
    if draw(st.booleans()):
        options["scale"] = draw(st.floats(0.125, 2, width=32))
    if draw(st.booleans()):
        options["softcap"] = draw(st.floats(0.5, 4, width=32))
    mode = draw(st.sampled_from([None, 0, 1, 3]))
    if mode is not None:
        options["qk_matmul_output_mode"] = mode
        outputs[3] = "qk"
    if opset == 25:
        options["left_window_size"] = draw(st.integers(-1, 3))
        options["right_window_size"] = draw(st.integers(-1, 3))
    options["outputs"] = outputs
    return inputs, options


@given(attention_cases())
def test_attention(case: tuple[list[Any], dict[str, Any]]) -> None:
    inputs, options = case
    check_node("Attention", inputs, **options)


@given(attention_cases(), st.sampled_from([np.float16, ml_dtypes.bfloat16]))
def test_half(case: tuple[list[Any], dict[str, Any]], dtype: Any) -> None:
    """Computed in float32 and rounded once."""
    inputs, options = case
    half = [x.astype(dtype) if x is not None and x.dtype == np.float32 else x for x in inputs]
    widened = [x.astype(np.float32) if x is not None and x.dtype == dtype else x for x in half]
    expected = run_ours("Attention", widened, **options)
    assert_same(run_ours("Attention", half, **options), [x.astype(dtype) for x in expected])


def test_float64() -> None:
    Q, K, V = normal(1, (2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6), dtype=np.float64)
    (expected,) = run_onnxruntime("Attention", [Q, K, V], opset=25, scale=0.25)
    assert_same(run_ours("Attention", [Q, K, V], opset=25, scale=0.25), [expected])


def test_by_hand() -> None:
    """Scores 1 and 2 (scale 1), so weights 1/(1+e) and e/(1+e)."""
    Q = np.ones((1, 1, 1, 1), np.float32)
    K = np.array([1, 2], np.float32).reshape(1, 1, 2, 1)
    V = np.array([10, 20], np.float32).reshape(1, 1, 2, 1)
    (Y,) = run_ours("Attention", [Q, K, V], opset=23)
    assert Y.item() == pytest.approx((10 + 20 * math.e) / (1 + math.e), rel=1e-6)


def test_hidden_scores_are_minus_infinity() -> None:
    Q, K, V = normal(2, (1, 1, 3, 4), (1, 1, 3, 4), (1, 1, 3, 4))
    options = {"opset": 24, "is_causal": 1, "qk_matmul_output_mode": 2}
    _, qk = run_ours("Attention", [Q, K, V], outputs=["y", "", "", "qk"], **options)
    upper = np.triu(np.ones((3, 3), bool), 1)
    assert np.isneginf(qk[0, 0][upper]).all()
    assert np.isfinite(qk[0, 0][~upper]).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_hidden_has_no_influence_on_the_weights(poison: float) -> None:
    Q, K, V = normal(3, (1, 1, 2, 4), (1, 1, 3, 4), (1, 1, 3, 4))
    K[:, :, 2] = poison
    for mask in (np.array([True, True, False]), np.array([0, 0, -np.inf], np.float32)):
        inputs = [Q, K, V, np.broadcast_to(mask, (2, 3)).copy()]
        (Y,) = run_ours("Attention", inputs, opset=24)
        (expected,) = run_ours("Attention", [Q, K[:, :, :2], V[:, :, :2]], opset=24)
        assert_same([Y], [expected])


@pytest.mark.parametrize("opset", [23, 24, 25])
@pytest.mark.parametrize(("queries", "new"), [(1, 2), (3, 2), (2, 2)])
def test_causal_with_past(opset: int, queries: int, new: int) -> None:
    """Query i sees the three past keys and the new ones up to i: the same as with that mask."""
    Q, K, V, past_key, past_value = normal(
        9, (1, 2, queries, 4), (1, 2, new, 4), (1, 2, new, 4), (1, 2, 3, 4), (1, 2, 3, 4)
    )
    (Y,) = run_ours("Attention", [Q, K, V, None, past_key, past_value], opset=opset, is_causal=1)
    mask = np.tril(np.ones((queries, 3 + new), bool), 3)
    keys, values = np.concatenate([past_key, K], 2), np.concatenate([past_value, V], 2)
    (expected,) = run_onnxruntime("Attention", [Q, keys, values, mask], opset=opset)
    assert_same([Y], [expected])


def test_no_key_gives_zeros() -> None:
    Q, K, V = normal(4, (1, 2, 3, 4), (1, 2, 0, 4), (1, 2, 0, 5))
    (Y,) = run_ours("Attention", [Q, K, V], opset=24)
    assert Y.shape == (1, 2, 3, 5)
    assert (Y == 0).all()
    Q, K, V = normal(4, (1, 2, 3, 4), (1, 2, 4, 4), (1, 2, 4, 5))
    # Two valid keys for three causal queries: offset -1, the first query sees none.
    inputs = [Q, K, V, None, None, None, np.array([2])]
    (Y,) = run_ours("Attention", inputs, opset=24, is_causal=1)
    assert (Y[:, :, 0] == 0).all()
    np.testing.assert_allclose(Y[:, :, 1], V[:, :, 0], rtol=1e-6)


def test_softmax_precision() -> None:
    """With float16 the weights are float16 numbers."""
    Q, K, V = normal(5, (1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4))
    options = {"opset": 23, "outputs": ["y", "", "", "qk"], "qk_matmul_output_mode": 3}
    _, plain = run_ours("Attention", [Q, K, V], **options)
    for enum, dtype in ((10, np.float16), (16, ml_dtypes.bfloat16), (11, np.float64)):
        _, weights = run_ours("Attention", [Q, K, V], softmax_precision=enum, **options)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, plain, rtol=2e-2)
        assert (weights.astype(dtype).astype(np.float32) == weights).all()


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ([(1, 3, 8), (1, 3, 8), (1, 3, 8)], {}, "q_num_heads"),
        ([(1, 3, 1, 2), (1, 2, 1, 2), (1, 2, 1, 2)], {}, "must be a multiple"),
    ],
)
def test_bad_heads(shapes: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(so.ScratchOnnxError, match=message):
        run_ours("Attention", normal(6, *shapes), opset=23, **options)


@given(st.data(), st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_rotary_embedding(data: Any, B: int, H: int, S: int, half: int) -> None:
    rotated = data.draw(st.integers(1, half))
    (X,) = normal(half, (B, H, S, 2 * half))
    options: dict[str, Any] = {"opset": 23, "interleaved": data.draw(st.integers(0, 1))}
    if rotated < half or data.draw(st.booleans()):
        options["rotary_embedding_dim"] = 2 * rotated
        options["num_heads"] = H  # onnxruntime wants it beside a rotary_embedding_dim
    positions = None
    shape: tuple[int, ...] = (B, S, rotated)
    if data.draw(st.booleans()):
        rows = st.lists(st.integers(0, 4), min_size=S, max_size=S)
        positions = np.array(data.draw(st.lists(rows, min_size=B, max_size=B)))
        shape = (5, rotated)
    if data.draw(st.booleans()):
        X = X.transpose(0, 2, 1, 3).reshape(B, S, H * 2 * half)
        options["num_heads"] = H
    cos, sin = normal(S, shape, shape)
    check_node("RotaryEmbedding", [X, cos, sin, positions], **options)


def test_rotary_embedding_by_hand() -> None:
    """A quarter turn: (a, b) becomes (-b, a)."""
    X = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 1, 4)
    cos, sin = np.zeros((1, 1, 2), np.float32), np.ones((1, 1, 2), np.float32)
    (halves,) = run_ours("RotaryEmbedding", [X, cos, sin], opset=23)
    (pairs,) = run_ours("RotaryEmbedding", [X, cos, sin], opset=23, interleaved=1)
    assert halves.ravel().tolist() == [-3, -4, 1, 2]
    assert pairs.ravel().tolist() == [-2, 1, -4, 3]


def test_rotary_position_out_of_range() -> None:
    X, cos, sin = normal(1, (1, 1, 1, 4), (3, 2), (3, 2))
    for position in (-1, 3):
        with pytest.raises(so.RunError, match="position_ids must lie in 0 to 2"):
            run_ours("RotaryEmbedding", [X, cos, sin, np.array([[position]])], opset=23)


@given(
    st.data(),
    st.sampled_from(["linear", "gated", "delta", "gated_delta"]),
    st.integers(1, 2),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_linear_attention(data: Any, rule: str, B: int, T: int, heads: int, group: int) -> None:
    dk, dv = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    wide = data.draw(st.booleans())
    query, key, value, past, decay, beta = normal(
        data.draw(st.integers(0, 1000)),
        (B, T, heads * group * dk),
        (B, T, heads * dk),
        (B, T, heads * dv),
        (B, heads, dk, dv),
        (B, T, heads * (dk if wide else 1)),
        (B, T, heads if data.draw(st.booleans()) else 1),
    )
    inputs = [query, 0.5 * key, value, past if data.draw(st.booleans()) else None]
    inputs.append(-np.abs(decay) if "gated" in rule else None)
    inputs.append(1 / (1 + np.exp(-beta)) if "delta" in rule else None)
    check_node(
        "LinearAttention",
        inputs,
        opset=27,
        outputs=2,
        q_num_heads=heads * group,
        kv_num_heads=heads,
        update_rule=rule,
        scale=data.draw(st.sampled_from([0.0, 0.5])),
        rtol=1e-4,  # errors add up over the recurrence
        atol=1e-5,
    )


@pytest.mark.parametrize(("rule", "missing"), [("gated", "decay"), ("delta", "beta")])
def test_linear_attention_without_its_input(rule: str, missing: str) -> None:
    inputs = normal(1, (1, 1, 2), (1, 1, 2), (1, 1, 2))
    with pytest.raises(so.ScratchOnnxError, match=f"{missing} input"):
        run_ours(
            "LinearAttention",
            inputs,
            opset=27,
            outputs=2,
            q_num_heads=1,
            kv_num_heads=1,
            update_rule=rule,
        )


def flex(inputs: list[Any], **attributes: Any) -> Any:
    domain = "ai.onnx.preview"
    node = helper.make_node("FlexAttention", ["q", "k", "v"], ["y"], domain=domain, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    values = [
        helper.make_tensor_value_info(name, kind, x.shape)
        for name, x in zip("qkv", inputs, strict=True)
    ]
    output = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([node], "g", values, [output])
    opsets = [helper.make_opsetid("", 25), helper.make_opsetid(domain, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return so.InferenceSession(model).run(None, dict(zip("qkv", inputs, strict=True)))[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_flex_attention_alone_is_attention(dtype: Any) -> None:
    inputs = normal(7, (2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 6), dtype=dtype)
    assert_same([flex(inputs, scale=0.5)], run_ours("Attention", inputs, opset=25, scale=0.5))


def test_flex_attention_modified() -> None:
    """score_mod doubles the scores, as twice the scale would; prob_mod takes half of Y."""
    inputs = normal(8, (1, 4, 3, 8), (1, 2, 5, 8), (1, 2, 5, 6))

    def body(factor: float) -> onnx.GraphProto:
        return onnx.parser.parse_graph(
            "body (float[B, H, L, S] x) => (float[B, H, L, S] y) "
            f"{{ c = Constant <value_float = {factor}> () y = Mul (x, c) }}"
        )

    Y = flex(inputs, scale=0.25, score_mod=body(2.0), prob_mod=body(0.5))
    (expected,) = run_ours("Attention", inputs, opset=25, scale=0.5)
    assert_same([Y], [expected / 2])
