"""Rewrites of a graph into a better one, one small named rewrite after another."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import NamedTuple

import numpy as np

from ..fast import FAST
from ..graph import Graph


class Pass(NamedTuple):
    """A rewrite, ``Graph`` to ``Graph``: the function ``name`` of ``module``.

    It changes nothing in a graph that has none of ``operators`` on its outermost level (None: it
    may change any), and its module is not even imported then.
    """

    name: str
    module: str
    operators: str | None = None

    def __call__(self, graph: Graph) -> Graph:
        there = {node.op_type for node in graph.nodes}
        if self.operators is not None and there.isdisjoint(self.operators.split()):
            return graph
        rewritten: Graph = getattr(import_module(f"{__name__}.{self.module}"), self.name)(graph)
        return rewritten


PASSES = (
    Pass("fold_constants", "constants"),
    Pass("drop_identities", "cleanup"),
    Pass("drop_dead", "cleanup"),
    Pass("fold_scale", "scale", "Conv Gemm"),
    Pass("find_silu", "activations", "Sigmoid"),
    Pass("find_gelu", "activations", "Erf Gelu"),
    Pass("find_gelu_tanh", "activations", "Tanh"),
    Pass("find_softmax", "normalization", "Exp"),
    Pass("find_layer_normalization", "normalization", "ReduceMean"),
    Pass("simplify_loops", "loops", "Loop"),
    Pass("rewrite_subgraphs", "subgraphs", "If Loop Scan SequenceMap"),
    Pass("find_recurrent", "recurrent_loops", "Loop Slice RNN GRU"),
    Pass("hoist", "hoist", "Loop"),
    Pass("drop_dead", "cleanup"),
    Pass("join_recurrent", "recurrent", "RNN GRU LSTM"),
    Pass("join_quantization", "grid", "DequantizeLinear"),
    Pass(
        "centre_quantized",
        "quantized",
        "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv ConvInteger "
        "QLinearMatMul MatMulInteger QLinearAdd DynamicQuantizeLSTM",
    ),
    Pass("channels_last", "layout"),
    Pass("make_dense", "products", "Gemm MatMul"),
    Pass("make_rows", "products", "Softmax LayerNormalization RMSNormalization MatMul"),
    Pass("drop_full_masks", "attention", "Where"),
    Pass("drop_dead", "cleanup"),
    Pass("find_attention", "attention", "MatMul Einsum"),
    Pass("lower_attention", "attention", "Attention"),
    Pass("drop_identities", "cleanup"),
    Pass("find_spatial_mean", "products", "ReduceMean"),
    Pass("fold_pads", "fuse", "Pad"),
    Pass("drop_dead", "cleanup"),
    Pass("pool_first", "pool_first", "AveragePool"),
    Pass("fuse_epilogues", "fuse"),
    Pass("join_gates", "excitation", "GlobalAveragePool"),
    Pass("scale_matrices", "excitation", "Mul"),
    Pass("drop_dead", "cleanup"),
    Pass("join_rows", "rows", "Dense"),
)
"""In the order in which they run."""


def optimise(graph: Graph, precision: str = "default") -> Graph:
    """The graph after all passes; each leaves the graph's inputs and outputs as they are.

    ``precision`` is what the convolutions may do: see ``InferenceSession``.
    """
    with np.errstate(all="ignore"):  # infinities and NaN in weights are numbers like others
        for rewrite in PASSES:
            graph = rewrite(graph)
    nodes = [
        replace(node, attributes={**node.attributes, "precision": precision})
        if node.domain == FAST and node.op_type == "Conv"
        else node
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))
