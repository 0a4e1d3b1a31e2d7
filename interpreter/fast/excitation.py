"""Squeeze and excitation: an image's channels are scaled by gates that its own means decide.

(Hu, Shen and Sun, Squeeze-and-Excitation Networks, 2018.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..types import Array
from . import fast
from .conv import Conv
from .dense import Dense
from .parallel import share
from .pointwise import Pointwise
from .pool import GlobalAveragePool


@fast("Gate")
class Gate:
    """The gates of x (N, H, W, C), as (N, 1, 1, K): the mean of each channel, through dense layers.

    ``layers`` are the attributes of one ``Dense`` each.
    """

    def __init__(self, *, layers: Sequence[Mapping[str, Any]]) -> None:
        self.mean = GlobalAveragePool()
        self.layers = [Dense(**layer) for layer in layers]

    def __call__(self, x: Array) -> Array:
        y = self.mean(x).reshape(len(x), x.shape[3])
        for layer in self.layers:
            y = layer(y)
        return y.reshape(len(x), 1, 1, y.shape[1])


@fast("ScaledConv")
class ScaledConv:
    """A 1×1 convolution of ``x * scale``, of stride 1, with the attributes of ``Conv``.

    Inputs: x (N, H, W, C), a scale a channel (N, 1, 1, C), and a residual where
    the node has three. The scale goes into the matrix where that is smaller than the image.
    """

    def __init__(self, **attributes: Any) -> None:
        self.conv = Conv(**attributes)
        algorithm = self.conv.algorithm
        assert isinstance(algorithm, Pointwise)
        self.pointwise = algorithm

    def __call__(self, x: Array, scale: Array, residual: Array | None = None) -> Array:
        images, height, width, channels = x.shape
        filters = self.conv.geometry.channels[1]
        shape = (images, height, width, filters)
        if (
            height * width < filters
            or scale.shape != (images, 1, 1, channels)
            or (residual is not None and residual.shape != shape)
        ):
            return self.conv(x * scale, residual)
        y = np.empty(shape, np.float32)

        def part(index: int, parts: int) -> None:
            for image in range(images):
                scaled = self.pointwise.product.scaled(scale[image].reshape(channels))
                one = slice(image, image + 1)
                rest = None if residual is None else residual[one]
                self.pointwise.multiply(scaled, x[one], y[one], rest, index, parts)

        if y.size:
            share(part, self.conv.work * images * height * width)
        return y
