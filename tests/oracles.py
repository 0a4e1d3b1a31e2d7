"""What tests compare with: one-node models for onnxruntime, and the tolerances, each with its
reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TypeProto, helper, numpy_helper

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter.types import enum_of_dtype

# Sums in another order than the oracle's: a few units in the last place of the largest term.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-12, "atol": 1e-13}
# One unit in the last place of the result, after float32 inside.
FLOAT16 = {"rtol": 2e-3, "atol": 2e-3}
BFLOAT16 = {"rtol": 1.6e-2, "atol": 1.6e-2}
EXACT = {"rtol": 0.0, "atol": 0.0}


def tolerance_of(dtype: np.dtype[Any]) -> dict[str, float]:
    """The tolerance of a dtype: exact for all that is not floating point."""
    return {
        "float32": FLOAT32,
        "float64": FLOAT64,
        "complex64": FLOAT32,
        "complex128": FLOAT64,
        "float16": FLOAT16,
        "bfloat16": BFLOAT16,
    }.get(dtype.name, EXACT)


def type_proto(value: Any) -> TypeProto:
    """The ONNX type of a run-time value: an array, or a list of arrays."""
    if isinstance(value, list):
        return helper.make_sequence_type_proto(type_proto(value[0]))
    return helper.make_tensor_type_proto(enum_of_dtype(value.dtype), value.shape)


def node_model(
    op_type: str,
    inputs: Sequence[Any],
    *,
    opset: int,
    outputs: int | Sequence[str] = 1,
    domain: str = "",
    constants: Sequence[int] = (),
    ir_version: int = 8,
    **attributes: Any,
) -> ModelProto:
    """A model of one node.

    ``inputs`` are arrays, None for one that is left out; those whose index is
    in ``constants`` become initialisers. ``outputs`` is how many, or their
    names ("" for one that is left out).
    """
    names = ["" if value is None else f"x{index}" for index, value in enumerate(inputs)]
    if isinstance(outputs, int):
        outputs = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(
        op_type, names, list(outputs), name="the_node", domain=domain, **attributes
    )
    graph = helper.make_graph(
        [node],
        "one_node",
        [
            helper.make_value_info(name, type_proto(value))
            for index, (name, value) in enumerate(zip(names, inputs, strict=True))
            if value is not None and index not in constants
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs if name],
        [numpy_helper.from_array(inputs[index], names[index]) for index in constants],
    )
    opsets = [helper.make_opsetid("", opset if not domain else 18)]
    if domain:
        opsets.append(helper.make_opsetid(domain, opset))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    return onnx.shape_inference.infer_shapes(model) if not domain else model


def feeds(inputs: Sequence[Any], constants: Sequence[int] = ()) -> dict[str, Any]:
    """The inputs of ``node_model`` by name."""
    return {
        f"x{index}": value
        for index, value in enumerate(inputs)
        if value is not None and index not in constants
    }


def run_ours(op_type: str, inputs: Sequence[Any], **options: Any) -> list[Any]:
    """Run one node through a session, plain and optimised; the two must agree."""
    model = node_model(op_type, inputs, **options)
    feed = feeds(inputs, options.get("constants", ()))
    plain = so.InferenceSession(model, optimize=False).run(None, feed)
    optimised = so.InferenceSession(model).run(None, feed)
    assert_same(optimised, plain)
    return plain


def run_onnxruntime(op_type: str, inputs: Sequence[Any], **options: Any) -> list[Any]:
    """Run the same node in onnxruntime, without its graph optimisations."""
    import onnxruntime as ort

    model = node_model(op_type, inputs, **options)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds(inputs, options.get("constants", ())))


def assert_same(
    actual: Sequence[Any], expected: Sequence[Any], rtol: float | None = None, atol: float = 0.0
) -> None:
    """Equal number, dtype and shape, and values within the dtype's tolerance (or the given one)."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        if isinstance(other, (list, tuple)):
            assert isinstance(one, list)
            assert_same(one, other, rtol, atol)
            continue
        if other is None:
            assert one is None
            continue
        assert isinstance(one, np.ndarray), type(one)
        other = np.asarray(other)
        assert one.shape == other.shape
        if other.dtype.kind in "OUS":
            assert one.tolist() == other.tolist()
            continue
        assert one.dtype == other.dtype
        limits = tolerance_of(other.dtype) if rtol is None else {"rtol": rtol, "atol": atol}
        if one.dtype.kind == "V" or one.dtype.name in ("float16", "bfloat16"):
            one, other = one.astype(np.float32), other.astype(np.float32)
        np.testing.assert_allclose(one, other, **limits)


def check_node(
    op_type: str,
    inputs: Sequence[Any],
    *,
    rtol: float | None = None,
    atol: float = 0.0,
    **options: Any,
) -> None:
    """One node, ours against onnxruntime."""
    expected = run_onnxruntime(op_type, inputs, **options)
    assert_same(run_ours(op_type, inputs, **options), expected, rtol, atol)
