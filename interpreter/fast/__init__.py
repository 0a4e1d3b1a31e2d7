"""Fast kernels: what the passes put in the place of the readable operators.

A fast node has the domain ``FAST`` and carries its weights as attributes. It is
prepared once, when the model is loaded: a class is built from the node, lays the
weights out, and its instance is called with the node's inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from ..graph import Node
from ..types import Array, Dtype

FAST = "scratch_onnx.fast"
"""The domain of fast nodes; no file may use it."""

MODULES = {
    "Activation": "elementwise",
    "Affine": "elementwise",
    "Attention": "attention",
    "AveragePool": "pool",
    "Centre": "quantized",
    "Conv": "conv",
    "Dense": "dense",
    "DynamicQuantize": "quantized",
    "DynamicQuantizeLSTM": "quantized_lstm",
    "DynamicRange": "quantized",
    "Gate": "excitation",
    "GlobalAveragePool": "pool",
    "Integers": "quantized",
    "LayerNormalization": "last_axis",
    "MatMul": "last_axis",
    "MaxPool": "pool",
    "QuantizedAdd": "quantized",
    "QuantizedConv": "quantized",
    "QuantizedDense": "quantized",
    "Recurrent": "recurrent",
    "Rows": "rows",
    "ScaledConv": "excitation",
    "Softmax": "last_axis",
}
"""Fast operator → the module that registers it, which is imported when a model first needs it."""

Factory = Callable[..., Callable[..., Any]]
F = TypeVar("F", bound=Factory)

_FACTORIES: dict[str, Factory] = {}


def fast(op_type: str) -> Callable[[F], F]:
    """Register what prepares a fast node: it is called with the node's attributes by keyword."""

    def register(factory: F) -> F:
        _FACTORIES[op_type] = factory
        return factory

    return register


def prepare(node: Node) -> Callable[..., Any]:
    """The prepared kernel of a fast node."""
    if node.op_type not in _FACTORIES:
        import_module(f"{__name__}.{MODULES[node.op_type]}")
    attributes = dict(node.attributes)
    dtype = attributes.pop("rounds_to", None)
    kernel = _FACTORIES[node.op_type](**attributes)
    return kernel if dtype is None else _Rounded(kernel, dtype)


class _Rounded:
    """A kernel for float16 or bfloat16: it computes in float32, and its result is rounded, as the
    specification's operator does."""

    def __init__(self, kernel: Callable[..., Any], dtype: Dtype) -> None:
        self.kernel, self.dtype = kernel, dtype

    def __call__(self, *inputs: Array) -> Array:
        result: Array = self.kernel(*[x.astype(np.float32) for x in inputs])
        return result.astype(self.dtype)
