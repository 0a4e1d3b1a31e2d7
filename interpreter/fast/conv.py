"""Convolution of NHWC images with bias, residual sum, activation and pooling in one kernel.

Which algorithm computes it is decided here, once, by the weights' shape: see ``choose``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..types import Array
from . import fast
from .blocks import Reach
from .epilogue import Epilogue
from .parallel import share


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """What a convolution does, NHWC, 2-D. ``weight`` is (kernel h, kernel w, C / group, K)."""

    weight: Array
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    pool: str = ""
    pool_shape: tuple[int, int] = (1, 1)
    epilogue: Epilogue = field(default_factory=lambda: Epilogue(None, "", ()))

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def channels(self) -> tuple[int, int]:
        """How many channels go in and come out."""
        return self.weight.shape[2] * self.group, self.weight.shape[3]

    def rows_and_columns(self, height: int, width: int) -> tuple[int, int]:
        """The convolution's output size, before pooling; ``ValueError`` where there is none."""
        sizes = []
        for axis, size in enumerate((height, width)):
            span = (self.kernel[axis] - 1) * self.dilations[axis] + 1
            room = size + self.pads[axis] + self.pads[axis + 2] - span
            if room < 0:
                raise ValueError(
                    f"the kernel spans {span} along spatial axis {axis}, more than the padded "
                    f"input's {size + self.pads[axis] + self.pads[axis + 2]}"
                )
            sizes.append(room // self.strides[axis] + 1)
        return sizes[0], sizes[1]

    def reach(self, height: int, first: int, rows: int) -> Reach:
        """Which rows of an image lie under ``rows`` rows of the padded image from ``first`` on."""
        top = first - self.pads[0]
        start = min(max(top, 0), height)
        stop = max(start, min(top + rows, height))
        above = min(max(-top, 0), rows)
        return Reach(start, stop, above, rows - above - (stop - start))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """The shape of the result, after pooling."""
        rows, columns = self.rows_and_columns(shape[1], shape[2])
        return shape[0], rows // self.pool_shape[0], columns // self.pool_shape[1], self.channels[1]


def choose(geometry: Geometry, precision: str) -> Callable[..., Any]:
    """The algorithm for a convolution.

    - depthwise (a group a channel): no patches, one multiply-add a kernel position;
    - 1×1: the image is the patch matrix already;
    - 3×3, stride 1, with channels enough that the transforms pay: Winograd,
      F(2×2), or F(4×4) where ``precision="fast"`` allows its larger error and there
      are tiles enough to be worth its larger weights;
    - all else: patches and a matrix product.

    Only the module of the one that is chosen is imported.
    """
    channels, filters = geometry.channels
    if geometry.group == channels == filters and geometry.group > 1 and not geometry.pool:
        from .depthwise import Depthwise

        return Depthwise(geometry)
    if geometry.kernel == (1, 1) and geometry.group == 1 and not any(geometry.pads):
        if not geometry.pool:
            from .pointwise import Pointwise

            return Pointwise(geometry)
    elif (
        precision != "strict"
        and geometry.kernel == (3, 3)
        and geometry.strides == geometry.dilations == (1, 1)
        and geometry.group == 1
        and channels >= 16
        and filters >= 16
        and geometry.pool_shape in ((1, 1), (2, 2))
    ):
        from .winograd import ByTiles, Winograd

        return ByTiles(geometry) if precision == "fast" else Winograd(geometry, 2)
    from .patches import Patches

    return Patches(geometry)


@fast("Conv")
class Conv:
    """The fast node: attributes as in ``Geometry``, the ``epilogue`` in its three parts.

    Inputs: x (N, H, W, C) float32, and a residual of the output's shape where
    the node has two. With ``pool`` the output is pooled with kernel and strides
    ``pool_shape``; a max pool is taken before bias and activation, which gives the
    same since both are monotone.
    """

    def __init__(
        self,
        *,
        weight: Array,
        bias: Array | None = None,
        activation: str = "",
        activation_parameters: tuple[float, ...] = (),
        precision: str = "default",
        **geometry: Any,
    ) -> None:
        epilogue = Epilogue(bias, activation, activation_parameters)
        self.geometry = Geometry(weight, epilogue=epilogue, **geometry)
        self.algorithm = choose(self.geometry, precision)
        self.precision = precision
        self.work = float(weight.size) * getattr(self.algorithm, "slowness", 1)

    def __call__(self, x: Array, residual: Array | None = None) -> Array:
        y = np.empty(self.geometry.output_shape(x.shape), np.float32)
        if residual is not None and residual.shape != y.shape:
            return self._broadcast_sum(x, residual)
        if y.size == 0:
            return y
        work = self.work * y.size / y.shape[3]
        share(lambda part, parts: self.algorithm(x, y, residual, part, parts), work)
        return y

    def _broadcast_sum(self, x: Array, residual: Array) -> Array:
        """Where sizes differ that the model calls by one name, the sum broadcasts."""
        bias, activate = self.geometry.epilogue.bias, self.geometry.epilogue.activate
        alone = replace(self.geometry, epilogue=Epilogue(bias, "", ()))
        y = np.empty(alone.output_shape(x.shape), np.float32)
        if y.size:
            choose(alone, self.precision)(x, y, None, 0, 1)
        y = y + residual
        if activate is not None:
            activate(y)
        return y
