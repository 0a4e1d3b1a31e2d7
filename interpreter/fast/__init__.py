"""Fast kernels: what the passes put in the place of the readable operators.

A fast node has the domain ``FAST`` and carries its weights as attributes. It is
prepared once, when the model is loaded: a class is built from the node, lays the
weights out, and its instance is called with the node's inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..graph import Node
from ..types import Array, Dtype

FAST = "scratch_onnx.fast"
"""The domain of fast nodes; no file may use it."""

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
    # Importing registers them; not before the first model needs one.
    from . import (
        attention,
        conv,
        dense,
        elementwise,
        excitation,
        last_axis,
        pool,
        quantized,
        quantized_lstm,
        recurrent,
        rows,
    )

    del attention, conv, dense, elementwise, excitation, last_axis, pool, recurrent, rows
    del quantized, quantized_lstm
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
