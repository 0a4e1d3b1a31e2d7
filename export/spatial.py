"""Convolution, pooling, resizing and batch normalisation: each Keras layer as its one ONNX node.

Keras's tensors have their channels last and ONNX's have them first. The
transposes around every node cancel out between neighbours when tf2onnx
optimises the graph, so that a network keeps one at each end.

Each function gives what stands for the layer's ``call``; see ``lowering.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .native import onnx_op, values

__all__ = [
    "batch_normalization",
    "convolution",
    "depthwise",
    "global_pooling",
    "pooling",
    "prelu",
    "separable",
    "transposed_convolution",
    "up_sampling",
]

Call = Callable[..., Any]


def _channels_first(x: Any, layer: Any) -> Any:
    import tensorflow as tf

    if layer.data_format == "channels_first":
        return x
    last = len(x.shape) - 1
    return tf.transpose(x, (0, last, *range(1, last)))


def _back(x: Any, layer: Any) -> Any:
    import tensorflow as tf

    if layer.data_format == "channels_first":
        return x
    return tf.transpose(x, (0, *range(2, len(x.shape)), 1))


def _node(op_type: str, x: Any, others: Sequence[Any], channels: int, **attributes: Any) -> Any:
    """One node on a channels-first tensor; what it does to the sizes, ONNX's inference tells."""
    shape = (x.shape[0], channels, *[None] * (len(x.shape) - 2))
    (result,) = onnx_op(op_type, [x, *others], [(x.dtype, shape)], **attributes)
    return result


def _finish(outputs: Any, layer: Any, shape: Sequence[int | None]) -> Any:
    """Back to the layer's layout and known shape, then its activation."""
    outputs = _back(outputs, layer)
    outputs.set_shape(shape)
    activation = getattr(layer, "activation", None)
    return outputs if activation is None else activation(outputs)


def _pads(layer: Any, x: Any, kernel: Sequence[int], dilations: Sequence[int]) -> dict[str, Any]:
    """ONNX's pads (all starts, then all ends) for Keras's padding, of a channels-first ``x``.

    "same" adds ``max((ceil(n / stride) - 1) * stride + extent - n, 0)``, the odd
    one at the end. With a stride of 1 this does not depend on the size n; with
    another stride and a variable size, ONNX's SAME_UPPER says the same.
    """
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if layer.padding == "causal":
        return {"pads": [extents[0] - 1, 0]}
    if layer.padding == "valid":
        return {}
    sizes = list(x.shape[2:])
    if any(n is None and s != 1 for n, s in zip(sizes, layer.strides, strict=True)):
        return {"auto_pad": "SAME_UPPER"}
    totals = [
        extent - 1 if n is None else max((-(-n // s) - 1) * s + extent - n, 0)
        for n, s, extent in zip(sizes, layer.strides, extents, strict=True)
    ]
    starts = [total // 2 for total in totals]
    ends = [total - start for total, start in zip(totals, starts, strict=True)]
    return {"pads": [*starts, *ends]} if any(totals) else {}


def convolution(layer: Any) -> Call:
    """Conv1D, Conv2D, Conv3D: one Conv, groups, dilations and bias in it."""

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        x = _channels_first(inputs, layer)
        kernel = np.moveaxis(values(layer.kernel), (-1, -2), (0, 1))  # (filters, in/groups, ...)
        bias = [tf.constant(values(layer.bias), x.dtype)] if layer.use_bias else []
        outputs = _node(
            "Conv",
            x,
            [tf.constant(kernel, x.dtype), *bias],
            layer.filters,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.strides),
            dilations=list(layer.dilation_rate),
            group=layer.groups,
            **_pads(layer, x, layer.kernel_size, layer.dilation_rate),
        )
        return _finish(outputs, layer, layer.compute_output_shape(tuple(inputs.shape)))

    return call


def depthwise(layer: Any) -> Call:
    """DepthwiseConv1D and 2D: one Conv with a group for each channel."""

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        bias = [tf.constant(values(layer.bias), inputs.dtype)] if layer.use_bias else []
        outputs = _depthwise(layer, _channels_first(inputs, layer), layer.kernel, bias)
        return _finish(outputs, layer, layer.compute_output_shape(tuple(inputs.shape)))

    return call


def _depthwise(layer: Any, x: Any, kernel: Any, bias: Sequence[Any]) -> Any:
    import tensorflow as tf

    array = np.moveaxis(values(kernel), (-2, -1), (0, 1))  # (channels, multiplier, ...)
    channels, multiplier = array.shape[:2]
    array = array.reshape(channels * multiplier, 1, *array.shape[2:])
    return _node(
        "Conv",
        x,
        [tf.constant(array, x.dtype), *bias],
        channels * multiplier,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        group=channels,
        **_pads(layer, x, layer.kernel_size, layer.dilation_rate),
    )


def separable(layer: Any) -> Call:
    """SeparableConv1D and 2D: a depthwise Conv, and one of size 1 across the channels."""

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        x = _depthwise(layer, _channels_first(inputs, layer), layer.depthwise_kernel, [])
        pointwise = np.moveaxis(values(layer.pointwise_kernel), (-1, -2), (0, 1))
        bias = [tf.constant(values(layer.bias), x.dtype)] if layer.use_bias else []
        kernel_shape = [1] * len(layer.kernel_size)
        weights = [tf.constant(pointwise, x.dtype), *bias]
        outputs = _node("Conv", x, weights, layer.filters, kernel_shape=kernel_shape)
        return _finish(outputs, layer, layer.compute_output_shape(tuple(inputs.shape)))

    return call


def transposed_convolution(layer: Any) -> Call:
    """Conv1DTranspose, 2D and 3D: one ConvTranspose.

    Keras fixes the size of the output (``compute_conv_transpose_output_shape``),
    and TensorFlow pads as the convolution that leads back would. What is padded,
    or added at the end where it is less than nothing, does not depend on the input.
    """

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        x = _channels_first(inputs, layer)
        kernel = np.moveaxis(values(layer.kernel), (-1, -2), (0, 1))  # (in, filters, ...)
        bias = [tf.constant(values(layer.bias), x.dtype)] if layer.use_bias else []
        cropped = _cropped(layer)
        starts = [max(crop, 0) // 2 for crop in cropped]
        ends = [max(crop, 0) - start for crop, start in zip(cropped, starts, strict=True)]
        outputs = _node(
            "ConvTranspose",
            x,
            [tf.constant(kernel, x.dtype), *bias],
            layer.filters,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.strides),
            dilations=list(layer.dilation_rate),
            pads=[*starts, *ends],
            output_padding=[max(-crop, 0) for crop in cropped],
        )
        return _finish(outputs, layer, layer.compute_output_shape(tuple(inputs.shape)))

    return call


def _cropped(layer: Any) -> list[int]:
    """By how much each size is less than ``(n - 1) * stride + extent``."""
    given = layer.output_padding
    if given is None or isinstance(given, int):
        given = [given] * len(layer.kernel_size)
    cropped = []
    for k, s, d, extra in zip(
        layer.kernel_size, layer.strides, layer.dilation_rate, given, strict=True
    ):
        extent = (k - 1) * d + 1
        if layer.padding == "valid":
            cropped.append(min(extent - s, 0) if extra is None else -extra)
        else:
            cropped.append(extent - s if extra is None else extent - extent % 2 - extra)
    return cropped


def pooling(layer: Any) -> Call:
    """MaxPooling and AveragePooling in 1, 2 and 3 dimensions: one MaxPool or AveragePool."""

    def call(inputs: Any) -> Any:
        x = _channels_first(inputs, layer)
        outputs = _node(
            {"max": "MaxPool", "average": "AveragePool"}[layer.pool_mode],
            x,
            [],
            x.shape[1],
            kernel_shape=list(layer.pool_size),
            strides=list(layer.strides),
            **_pads(layer, x, layer.pool_size, [1] * len(layer.pool_size)),
        )
        return _finish(outputs, layer, layer.compute_output_shape(tuple(inputs.shape)))

    return call


def global_pooling(layer: Any) -> Call:
    """GlobalAveragePooling and GlobalMaxPooling in 2 and 3 dimensions: one reduction.

    On channels-first tensors, so that its neighbours need no transpose.
    """

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        average = "Average" in type(layer).__name__
        reduce = tf.reduce_mean if average else tf.reduce_max
        x = _channels_first(inputs, layer)
        axes = list(range(2, len(inputs.shape)))
        outputs = reduce(x, axis=axes, keepdims=layer.keepdims)
        return _back(outputs, layer) if layer.keepdims else outputs

    return call


def up_sampling(layer: Any) -> Call | None:
    """UpSampling1D, 2D and 3D: one Resize by whole factors.

    For "bicubic" TensorFlow rounds the weights to a table of 1024 places, so
    that Keras itself is off by up to 1e-3 where the factor is no power of 2.
    """
    interpolation = getattr(layer, "interpolation", "nearest")
    half = {"coordinate_transformation_mode": "half_pixel"}
    modes: dict[str, dict[str, Any]] = {
        "nearest": {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
        "bilinear": {"mode": "linear", **half},
        "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1, **half},
    }
    if interpolation not in modes:
        return None

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        last = len(inputs.shape) - 1
        first = getattr(layer, "data_format", "channels_last") == "channels_first"
        x = inputs if first else tf.transpose(inputs, (0, last, *range(1, last)))
        factors = layer.size if isinstance(layer.size, (list, tuple)) else [layer.size]
        scales = tf.constant([1.0, 1.0, *map(float, factors)], tf.float32)
        x = _node("Resize", x, [None, scales], x.shape[1], **modes[interpolation])
        outputs = x if first else tf.transpose(x, (0, *range(2, last + 1), 1))
        outputs.set_shape(layer.compute_output_shape(tuple(inputs.shape)))
        return outputs

    return call


def batch_normalization(layer: Any) -> Call | None:
    """BatchNormalization at inference, in float32: one node with the moving statistics."""
    if layer.compute_dtype != "float32" or not isinstance(layer.axis, int):
        return None

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        del training, mask  # both matter to the statistics of a batch alone
        import tensorflow as tf

        rank = len(inputs.shape)
        axis = layer.axis % rank
        order = [axis, *(i for i in range(rank) if i != axis)]
        order.insert(0, order.pop(1))  # the batch (axis 0), the channels, and the others
        mean, variance = values(layer.moving_mean), values(layer.moving_variance)
        gamma = values(layer.gamma) if layer.scale else np.ones_like(mean)
        beta = values(layer.beta) if layer.center else np.zeros_like(mean)
        x = tf.transpose(inputs, order) if axis != 1 else inputs
        (x,) = onnx_op(
            "BatchNormalization",
            [x, *(tf.constant(a, x.dtype) for a in (gamma, beta, mean, variance))],
            [(x.dtype, x.shape)],
            epsilon=float(layer.epsilon),
        )
        return tf.transpose(x, np.argsort(order)) if axis != 1 else x

    return None if layer.axis == 0 else call


def prelu(layer: Any) -> Call:
    """One PRelu, on channels-first tensors as its neighbours."""

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        last = len(inputs.shape) - 1
        alpha = values(layer.alpha)
        x = inputs
        if last > 1:
            alpha = np.moveaxis(alpha, -1, 0)
            x = tf.transpose(inputs, (0, last, *range(1, last)))
        (x,) = onnx_op("PRelu", [x, tf.constant(alpha, x.dtype)], [(x.dtype, x.shape)])
        return tf.transpose(x, (0, *range(2, last + 1), 1)) if last > 1 else x

    return call
