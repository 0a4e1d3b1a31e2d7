from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing import fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

from scratch_onnx.interpreter.ops.microsoft import fused as kernels

MS = {"domain": "com.microsoft", "opset": 1}
ACTIVATIONS: list[dict[str, Any]] = [
    {"activation": "Relu"},
    {"activation": "Sigmoid"},
    {"activation": "Tanh"},
    {"activation": "LeakyRelu", "activation_params": [0.2]},
    {"activation": "Clip", "activation_params": [-1.0, 2.0]},
    {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
]


@given(st.sampled_from(ACTIVATIONS), st.integers(1, 2), st.booleans(), st.booleans())
def test_fused_conv(activation: Any, group: int, with_bias: bool, with_sum: bool) -> None:
    x, w = fill((2, 4, 6, 5), seed=1), fill((4, 4 // group, 3, 2), seed=2)
    b = fill((4,), seed=3) if with_bias or with_sum else None
    inputs = [x, w, b]
    if with_sum:
        inputs.append(fill((2, 4, 3, 4), seed=4))
        if activation["activation"] != "Relu":
            return  # onnxruntime leaves the sum out of the other activations
    attributes = {"group": group, "pads": [1, 0, 0, 0], "strides": [2, 1], **activation}
    check_node("FusedConv", inputs, **MS, **attributes)


def test_fused_conv_by_hand() -> None:
    x, w = np.array([[[1, -2, 3]]], np.float32), np.array([[[2]]], np.float32)
    z = np.array([[[-1, -1, -1]]], np.float32)
    y = kernels.fused_conv(x, w, np.array([1], np.float32), z, activation="LeakyRelu",
                           activation_params=(0.5,))  # fmt: skip
    assert y.tolist() == [[[2, -2, 6]]]
    plain = kernels.fused_conv(x, w)
    assert plain.tolist() == [[[2, -4, 6]]]
    with pytest.raises(ValueError, match=r"activation must be one of Relu, .*, and is 'Swish'"):
        kernels.fused_conv(x, w, activation="Swish")


GEMM_ACTIVATIONS: list[dict[str, Any]] = [
    {"activation": "Relu"},
    {"activation": "Sigmoid"},
    {"activation": "Tanh"},
    {"activation": "Softplus"},
    {"activation": "Softsign"},
    {"activation": "LeakyRelu", "activation_alpha": 0.2},
    {"activation": "Elu", "activation_alpha": 1.5},
    {"activation": "ThresholdedRelu", "activation_alpha": 0.5},
    {"activation": "HardSigmoid", "activation_alpha": 0.3, "activation_beta": 0.4},
    {"activation": "Selu", "activation_alpha": 1.5, "activation_gamma": 1.1},
]


@given(
    st.sampled_from(GEMM_ACTIVATIONS),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([None, (4,), (3, 1), (3, 4), ()]),
)
def test_fused_gemm(activation: Any, trans_a: int, trans_b: int, c: Any) -> None:
    a, b = fill((5, 3) if trans_a else (3, 5), seed=1), fill((4, 5) if trans_b else (5, 4), seed=2)
    inputs = [a, b] if c is None else [a, b, fill(c, seed=3)]
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 2.0}
    check_node("FusedGemm", inputs, **MS, **attributes, **activation)


@given(
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([1.0, 0.25]),
    st.sampled_from([(), (3,), (2, 3)]),
)
def test_fused_matmul(trans_a: int, trans_b: int, alpha: float, batch: Any) -> None:
    a = fill((*batch, 5, 4) if trans_a else (*batch, 4, 5), seed=1)
    b = fill((*batch, 6, 5) if trans_b else (*batch, 5, 6), seed=2)
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": alpha}
    check_node("FusedMatMul", [a, b], **MS, **attributes)


@given(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1), st.integers(0, 1))
def test_fused_matmul_of_batches_in_the_middle(ta: int, tb: int, ba: int, bb: int) -> None:
    a_rows, a_columns = (5, 4) if ta else (4, 5)
    b_rows, b_columns = (6, 5) if tb else (5, 6)
    a = fill((a_rows, 2, 3, a_columns) if ba else (2, 3, a_rows, a_columns), seed=1)
    b = fill((b_rows, 2, 3, b_columns) if bb else (2, 3, b_rows, b_columns), seed=2)
    attributes = {"transA": ta, "transB": tb, "transBatchA": ba, "transBatchB": bb}
    check_node("FusedMatMul", [a, b], **MS, **attributes)


def test_half_precision() -> None:
    a = np.full((1, 2048), 1, np.float16)
    (y,) = run_ours("FusedMatMul", [a, a.T.copy()], alpha=0.5, **MS)
    assert_same([y], [np.array([[1024]], np.float16)])
