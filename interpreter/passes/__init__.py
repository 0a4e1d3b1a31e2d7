"""Rewrites of a graph into a better one, one small named rewrite after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..fast import FAST
from ..graph import Graph
from .activations import find_gelu, find_gelu_tanh, find_silu
from .attention import drop_full_masks, find_attention, lower_attention
from .cleanup import drop_dead, drop_identities
from .constants import fold_constants
from .excitation import join_gates, scale_matrices
from .fuse import fold_pads, fuse_epilogues
from .grid import join_quantization
from .hoist import hoist
from .layout import channels_last
from .loops import simplify_loops
from .normalization import find_layer_normalization, find_softmax
from .pool_first import pool_first
from .products import find_spatial_mean, make_dense, make_rows
from .quantized import centre_quantized
from .recurrent import join_recurrent
from .recurrent_loops import find_recurrent
from .rows import join_rows
from .scale import fold_scale
from .subgraphs import rewrite_subgraphs

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    fold_constants,
    drop_identities,
    drop_dead,
    fold_scale,
    find_silu,
    find_gelu,
    find_gelu_tanh,
    find_softmax,
    find_layer_normalization,
    simplify_loops,
    rewrite_subgraphs,
    find_recurrent,
    hoist,
    drop_dead,
    join_recurrent,
    join_quantization,
    centre_quantized,
    channels_last,
    make_dense,
    make_rows,
    drop_full_masks,
    drop_dead,
    find_attention,
    lower_attention,
    drop_identities,
    find_spatial_mean,
    fold_pads,
    drop_dead,
    pool_first,
    fuse_epilogues,
    join_gates,
    scale_matrices,
    drop_dead,
    join_rows,
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
