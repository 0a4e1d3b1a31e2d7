"""Which Keras layers are written as ONNX operators of their own, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["lowering"]


def lowering(layer: Any, *, opset: int) -> Callable[..., Any] | None:  # noqa: ARG001
    """What stands for ``layer.call`` while the model is traced, or None for the call itself."""
    import keras

    if type(layer) is keras.layers.Embedding:
        return _embedding(layer)
    return None


def _embedding(layer: Any) -> Callable[..., Any]:
    """One Gather.

    Keras adds the vocabulary's size to negative ids first. ONNX's Gather counts
    them from the end in the same way, so they need no nodes of their own.
    """
    import tensorflow as tf

    def call(inputs: Any) -> Any:
        if inputs.dtype not in (tf.int32, tf.int64):
            inputs = tf.cast(inputs, tf.int32)
        table = tf.cast(layer.embeddings, layer.compute_dtype)
        return tf.gather(table, inputs)

    return call
