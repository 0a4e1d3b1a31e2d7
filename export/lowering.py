"""Which Keras layers are written as ONNX operators of their own, and how.

Everything else is traced as Keras computes it, and tf2onnx finds the ONNX
operators for it. A layer is listed here where that detour leaves more nodes
than the layer needs. Only Keras's own classes are taken: a subclass may
compute anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .native import onnx_op, values
from .recurrent import bidirectional, recurrent
from .spatial import (
    batch_normalization,
    convolution,
    depthwise,
    global_pooling,
    pooling,
    prelu,
    separable,
    transposed_convolution,
    up_sampling,
)

__all__ = ["lowering"]

Call = Callable[..., Any]


def lowering(layer: Any, *, opset: int) -> Call | None:
    """What stands for ``layer.call`` while the model is traced, or None for the call itself."""
    import keras

    name = type(layer).__name__
    if type(layer) is not getattr(keras.layers, name, None):
        return None
    if getattr(layer, "quantization_mode", None) is not None:
        return None
    if name == "LayerNormalization":
        return _layer_normalization(layer) if opset >= 17 else None
    lower = _LOWERINGS.get(name)
    return lower(layer) if lower is not None else None


def _embedding(layer: Any) -> Call:
    """One Gather.

    Keras adds the vocabulary's size to negative ids first. ONNX's Gather counts
    them from the end in the same way, so they need no nodes of their own.
    """

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        if inputs.dtype not in (tf.int32, tf.int64):
            inputs = tf.cast(inputs, tf.int32)
        table = tf.cast(layer.embeddings, layer.compute_dtype)
        return tf.gather(table, inputs)

    return call


def _dense(layer: Any) -> Call:
    """MatMul and Add for inputs of any rank, where Keras flattens and restores the shape."""

    def call(inputs: Any, training: Any = None) -> Any:
        del training
        import tensorflow as tf

        outputs = tf.matmul(inputs, tf.cast(layer.kernel, inputs.dtype))
        if layer.bias is not None:
            outputs = outputs + tf.cast(layer.bias, inputs.dtype)
        return outputs if layer.activation is None else layer.activation(outputs)

    return call


def _layer_normalization(layer: Any) -> Call | None:
    """One LayerNormalization, for axes that are the last ones."""
    if layer.rms_scaling:
        return None

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        rank = len(inputs.shape)
        axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
        axes = sorted(axis % rank for axis in axes)
        if axes != list(range(axes[0], rank)):
            return type(layer).call(layer, inputs)
        sizes = [inputs.shape[axis] for axis in axes]
        gamma = np.ones(sizes) if layer.gamma is None else values(layer.gamma).reshape(sizes)
        beta = None if layer.beta is None else values(layer.beta).reshape(sizes)
        (outputs,) = onnx_op(
            "LayerNormalization",
            [
                inputs,
                tf.constant(gamma, inputs.dtype),
                None if beta is None else tf.constant(beta, inputs.dtype),
            ],
            [(inputs.dtype, inputs.shape)],
            axis=axes[0] - rank,
            epsilon=float(layer.epsilon),
        )
        return outputs

    return call


def _time_distributed(layer: Any) -> Call | None:
    """The layer once over batch and time as one dimension, where Keras unrolls the time.

    No layer looks across the batch at inference, but one with a state of its own.
    """
    inner = layer.layer
    if getattr(inner, "stateful", False):
        return None

    def merge(value: Any) -> Any:
        import tensorflow as tf

        return tf.reshape(value, tf.concat([[-1], tf.shape(value)[2:]], 0))

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        import tensorflow as tf

        kwargs: dict[str, Any] = {}
        if mask is not None and inner._call_has_mask_arg:
            kwargs["mask"] = merge(mask)
        if inner._call_has_training_arg:
            kwargs["training"] = training
        outputs = inner.call(merge(inputs), **kwargs)
        shape = tf.concat([[-1], tf.shape(inputs)[1:2], tf.shape(outputs)[1:]], 0)
        result = tf.reshape(outputs, shape)
        result.set_shape([*inputs.shape[:2], *outputs.shape[1:]])
        return result

    return call


_LOWERINGS: dict[str, Callable[[Any], Call | None]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), convolution),
    **dict.fromkeys(
        ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), transposed_convolution
    ),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "MaxPooling3D"), pooling),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"), pooling),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D", "UpSampling3D"), up_sampling),
    **dict.fromkeys(("GlobalAveragePooling2D", "GlobalAveragePooling3D"), global_pooling),
    **dict.fromkeys(("GlobalMaxPooling2D", "GlobalMaxPooling3D"), global_pooling),
    "BatchNormalization": batch_normalization,
    "PReLU": prelu,
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM", "RNN"), recurrent),
    "Bidirectional": bidirectional,
    "TimeDistributed": _time_distributed,
    "Embedding": _embedding,
    "Dense": _dense,
}
