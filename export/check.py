"""The written model against Keras: the largest difference, and the first layer that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from scratch_onnx.interpreter import InferenceSession

from .framework import Array, load_frameworks, quiet, unchanged_variables
from .layers import marked_layers
from .signature import InputSpec, pack

__all__ = ["Tolerance", "compare", "first_difference", "run_onnx"]


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be from Keras's: ``atol + rtol * max(abs(output of Keras))``.

    The relative part is of the output's largest value and not of each value:
    float32 sums err in proportion to what was summed, and not to what is left.
    """

    rtol: float
    atol: float

    def allows(self, actual: Array, expected: Array) -> bool:
        """Whether the two have one shape, and differ by no more than the tolerance."""
        if actual.shape != expected.shape:
            return False
        if expected.dtype.kind not in "f":
            return bool(np.array_equal(actual, expected))
        finite = np.abs(expected[np.isfinite(expected)])
        limit = self.atol + self.rtol * float(finite.max(initial=0.0))
        return bool(np.allclose(actual, expected, rtol=0.0, atol=limit, equal_nan=True))


def run_onnx(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """Run the written model with this project's interpreter."""
    return list(InferenceSession(model).run(None, dict(feeds)))


def compare(
    model: onnx.ModelProto,
    specs: Sequence[InputSpec],
    arrays: Sequence[Array],
    expected: Sequence[Array],
    tolerance: Tolerance,
) -> tuple[float, str | None]:
    """Run ``model`` on ``arrays`` and compare its outputs with what Keras gave.

    Returns:
        The largest absolute difference, and the first output beyond the tolerance or None.
    """
    actual = run_onnx(model, {spec.name: a for spec, a in zip(specs, arrays, strict=True)})
    worst, wrong = 0.0, None
    for value, got, want in zip(model.graph.output, actual, expected, strict=True):
        worst = max(worst, largest_difference(got, want))
        if wrong is None and not tolerance.allows(got, want):
            wrong = value.name
    return worst, wrong


def largest_difference(actual: Array, expected: Array) -> float:
    """The largest absolute difference; infinite for another shape, 0 where both are NaN."""
    if actual.shape != expected.shape:
        return float("inf")
    if expected.dtype.kind in "bOSU":
        return float(not np.array_equal(actual, expected))
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    difference = np.abs(np.where(same, 0.0, a - b))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def first_difference(
    model: Any,
    probed: onnx.ModelProto,
    layers: Sequence[str],
    specs: Sequence[InputSpec],
    arrays: Sequence[Array],
    tolerance: Tolerance,
    sample: Any = None,
) -> str | None:
    """Name the first layer, in the order of computation, whose output differs from Keras's.

    Args:
        model: the Keras model.
        probed: the model exported with the outputs of ``layers`` behind its own.
        layers: the paths of these outputs' layers, in order.
        specs, arrays: the inputs, and what to feed them.
        tolerance: how far a layer's output may be off.
        sample: an input with the structure that a subclassed model takes.

    Returns:
        The layer's path, or None where every layer by itself is within the tolerance.
    """
    _, keras = load_frameworks()
    recorded: dict[str, list[Array]] = {}

    def record(path: str, outputs: Any) -> None:
        values = [np.asarray(value) for value in keras.tree.flatten(outputs) if value is not None]
        recorded.setdefault(path, []).extend(values)

    with quiet(), marked_layers(model, lambda _: None, record), unchanged_variables(model):
        model(pack(model, arrays, sample), training=False)
    actual = run_onnx(probed, {spec.name: a for spec, a in zip(specs, arrays, strict=True)})
    for path, got in zip(layers, actual[-len(layers) :], strict=True):
        values = recorded.get(path)
        if values and not tolerance.allows(got, values.pop(0)):
            return path
    return None
