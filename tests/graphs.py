"""Small graphs for tests of passes and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper
from oracles import assert_same

import scratch_onnx.interpreter as so


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    opset: int = 18,
    dtypes: Mapping[str, Any] | None = None,
) -> ModelProto:
    """A model of these nodes; inputs are float32 where ``dtypes`` does not say otherwise."""
    kinds = {name: np.dtype((dtypes or {}).get(name, np.float32)) for name in inputs}
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(kinds[name]), list(shape)
            )
            for name, shape in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """A node, its value names separated by blanks."""
    return helper.make_node(op_type, inputs.split(), outputs.split(), **attributes)


def steps(session: so.InferenceSession) -> list[str]:
    """The operators that a session runs, in order; fast ones with a ``*``."""
    return [f"{s.node.op_type}*" if s.node.domain else s.node.op_type for s in session.plan.steps]


def onnxruntime(proto: ModelProto, feed: Mapping[str, Any]) -> list[Any]:
    """What onnxruntime gives, without its own optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(feed))


def check(
    proto: ModelProto, feed: Mapping[str, Any], *, rtol: float = 1e-4, atol: float = 1e-5
) -> list[str]:
    """Run plain and optimised, with one thread and with two, against onnxruntime; returns the
    optimised session's operators."""
    expected = onnxruntime(proto, feed)
    plain = so.InferenceSession(proto, optimize=False, threads=1).run(None, feed)
    assert_same(plain, expected, rtol, atol)
    for threads in (1, 2):
        session = so.InferenceSession(proto, threads=threads)
        assert_same(session.run(None, feed), expected, rtol, atol)
    return steps(session)
