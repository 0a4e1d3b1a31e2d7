"""MACs and FLOPs by hand."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from scratch_onnx.interpreter.fast import FAST
from scratch_onnx.interpreter.graph import Node
from scratch_onnx.interpreter.inspection.costs import Cost, cost_of


def cost(op, inputs, outputs, domain="", **attributes):
    return cost_of(Node(op, (), (), attributes, domain=domain), inputs, outputs)


def test_conv_and_its_bias():
    # 2 images, 8 filters over 3 channels of 5×5, 10×12 positions each.
    outputs = 2 * 8 * 10 * 12
    x, w, y = (2, 3, 14, 16), (8, 3, 5, 5), (2, 8, 10, 12)
    assert cost("Conv", [x, w, (8,)], [y]) == Cost(outputs * 75, outputs * 150 + outputs)
    assert cost("Conv", [x, w], [y]) == Cost(outputs * 75, outputs * 150)


def test_depthwise_conv_counts_its_groups():
    assert cost("Conv", [(1, 32, 9, 9), (32, 1, 3, 3)], [(1, 32, 7, 7)], group=32) == Cost(
        32 * 49 * 9, 2 * 32 * 49 * 9
    )


def test_conv_transpose_spreads_each_input():
    # 4 channels of 5×5, each element to 6 channels of 3×3.
    assert cost("ConvTranspose", [(1, 4, 5, 5), (4, 6, 3, 3)], [(1, 6, 7, 7)]) == Cost(
        100 * 54, 2 * 100 * 54
    )


@pytest.mark.parametrize(("trans", "a"), [(0, (7, 20)), (1, (20, 7))])
def test_gemm(trans, a):
    assert cost("Gemm", [a, (20, 3), (3,)], [(7, 3)], transA=trans) == Cost(420, 840 + 21)


def test_matmul_of_stacks():
    assert cost("MatMul", [(6, 4, 10), (10, 5)], [(6, 4, 5)]) == Cost(1200, 2400)


@pytest.mark.parametrize(
    ("op", "gates", "others"), [("RNN", 1, 2), ("GRU", 3, 10), ("LSTM", 4, 13)]
)
def test_recurrent(op, gates, others):
    steps, batch, inputs, hidden, directions = 11, 2, 5, 8, 2
    shapes = [
        (steps, batch, inputs),
        (directions, gates * hidden, inputs),
        (directions, gates * hidden, hidden),
    ]
    macs = steps * batch * directions * gates * hidden * (inputs + hidden)
    found = cost(op, shapes, [None])
    assert found == Cost(macs, 2 * macs + steps * batch * directions * hidden * others)


def test_elementwise_reductions_pools_and_moves():
    assert cost("Relu", [(3, 4)], [(3, 4)]) == Cost(0, 12)
    assert cost("Softmax", [(3, 4)], [(3, 4)]) == Cost(0, 60)
    assert cost("ReduceMean", [(3, 4)], [(3,)]) == Cost(0, 12)
    assert cost("MaxPool", [(1, 2, 8, 8)], [(1, 2, 4, 4)], kernel_shape=(3, 3)) == Cost(0, 288)
    assert cost("Transpose", [(3, 4)], [(4, 3)]) == Cost(0, 0)


def test_einsum_counts_all_indices():
    assert cost("Einsum", [(2, 3, 4), (2, 4, 5)], [(2, 3, 5)], equation="bij,bjk->bik") == Cost(
        120, 240
    )


def test_what_is_not_known_is_none():
    assert cost("Conv", [None, (8, 3, 5, 5)], [None]) is None
    assert cost("Frobnicate", [(1,)], [(1,)], domain="com.example") is None


def test_a_fast_convolution_with_a_pool_counts_what_it_computes():
    weight = np.zeros((3, 3, 4, 8), np.float32)
    found = cost(
        "Conv", [(2, 10, 10, 4)], [(2, 5, 5, 8)], domain=FAST, weight=weight,
        pads=(1, 1, 1, 1), strides=(1, 1), dilations=(1, 1),
    )  # fmt: skip
    assert found is not None
    assert found.macs == 2 * 100 * prod(weight.shape)
