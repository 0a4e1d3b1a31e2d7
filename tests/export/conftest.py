"""Shared by the export's tests: Keras imported once and quietly, and parity with both runtimes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from scratch_onnx.export import framework, to_model_proto
from scratch_onnx.export.signature import input_specs, pack, random_sample
from scratch_onnx.interpreter import InferenceSession

# Float32 sums of a few hundred terms, in another order: 1e-5 of the largest value.
TOLERANCE = 1e-5


@pytest.fixture(scope="session")
def keras() -> Any:
    _, module = framework.load_frameworks()
    return module


@pytest.fixture(scope="session")
def layers(keras: Any) -> Any:
    return keras.layers


@pytest.fixture(autouse=True)
def _fresh_names(keras: Any) -> None:
    """Layer names that do not depend on the tests before."""
    keras.utils.clear_session(free_memory=False)


def randomise(model: Any, seed: int = 0) -> Any:
    """Weights that leave nothing at zero or one: biases, moving statistics, gammas."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.uniform(0.05, 0.5, w.shape).astype(w.dtype)
            * np.where(rng.random(w.shape) < 0.3, -1, 1).astype(w.dtype)
            if w.ndim > 1
            else rng.uniform(0.1, 0.6, w.shape).astype(w.dtype)
            if w.dtype.kind == "f"
            else w
            for w in model.get_weights()
        ]
    )
    return model


def assert_close(actual: Sequence[Any], expected: Sequence[Any], what: str) -> None:
    assert len(actual) == len(expected)
    for index, (got, want) in enumerate(zip(actual, expected, strict=True)):
        assert got.shape == want.shape, f"{what}, output {index}"
        assert got.dtype == want.dtype, f"{what}, output {index}"
        limit = TOLERANCE * max(1.0, float(np.abs(want).max(initial=0.0)))
        np.testing.assert_allclose(got, want, rtol=0, atol=limit, err_msg=f"{what}, output {index}")


@pytest.fixture
def parity() -> Callable[..., onnx.ModelProto]:
    """Export a model with random weights; onnxruntime and the interpreter give what Keras gives."""

    def check(
        model: Any, *arrays: Any, opset: int = 18, onnxruntime_too: bool = True
    ) -> onnx.ModelProto:
        import onnxruntime

        randomise(model)
        specs = input_specs(model)
        values = list(arrays) or random_sample(model, specs, seed=1)
        expected = framework.predict(model, pack(model, values))
        proto = to_model_proto(model, opset=opset)
        onnx.checker.check_model(proto, full_check=True)
        feeds = {spec.name: value for spec, value in zip(specs, values, strict=True)}
        assert_close(InferenceSession(proto).run(None, feeds), expected, "the interpreter")
        if onnxruntime_too:
            session = onnxruntime.InferenceSession(
                proto.SerializeToString(), providers=["CPUExecutionProvider"]
            )
            assert_close(session.run(None, feeds), expected, "onnxruntime")
        return proto

    return check


def count(proto: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each type the graph has."""
    types = [node.op_type for node in proto.graph.node]
    return {name: types.count(name) for name in sorted(set(types))}


@pytest.fixture
def counts() -> Callable[[onnx.ModelProto], dict[str, int]]:
    return count
