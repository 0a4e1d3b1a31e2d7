"""Products and roundings of quantised values, which are kept as float32 between kernels.

A *centred* value is ``q - zero_point``: an integer, which float32 holds. Products of
centred values are computed by BLAS in float32 and are exact, since the pass that made
the node has proved that no partial sum leaves 2^24 (``passes/quantized.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..ops.quantization import range_of
from ..types import Array, Dtype
from . import fast
from .activations import CHUNK, InPlace, rounded_between
from .conv import Geometry, choose
from .epilogue import Epilogue, along_rows
from .parallel import share, slice_of
from .workspace import scratch

WORK = 8
"""About how many multiplications an element of a rounding is worth."""


class Requantize(Epilogue):
    """Bias, then ``clip(round(y * factor))``: exact sums as the next layer's centred integers.

    ``bias`` [C] holds integers; ``factor`` float32 is one, or [C].
    """

    def __init__(self, bias: Array | None, factor: Array, limits: tuple[float, float]) -> None:
        super().__init__(bias, "", ())
        self.factor = np.ascontiguousarray(factor, np.float32)
        self.tiled_factors: dict[int, Array] = {}
        self.round = rounded_between(*limits)
        self.activate: InPlace = self.requantize

    def requantize(self, y: Array) -> None:
        """Into units of the result, in place."""
        if self.factor.ndim:
            along_rows(np.multiply, y, self.factor, self.tiled_factors, out=y)
        else:
            np.multiply(y, self.factor, out=y)
        self.round(y)


@fast("QuantizedConv")
class QuantizedConv:
    """Convolution of centred images (N, H, W, C) with centred weights, both float32 integers.

    ``weight`` and the geometry are those of ``Conv``. The result is the exact sums, or
    with ``factor`` and ``limits`` what ``Requantize`` makes of them. With ``pieces``
    above 1 the sums are exact in so many pieces of the channels only, which are added in
    float64 and rounded once, as int32 is when it becomes float32.
    """

    def __init__(
        self,
        *,
        weight: Array,
        bias: Array | None = None,
        factor: Array | None = None,
        limits: tuple[float, float] = (0, 0),
        pieces: int = 1,
        **geometry: Any,
    ) -> None:
        whole, nothing = pieces == 1, Epilogue(None, "", ())
        self.bias = None if whole else bias
        bias = bias if whole else None
        self.epilogue = (
            Epilogue(bias, "", ()) if factor is None else Requantize(bias, factor, limits)
        )
        self.pieces = pieces_of(weight.shape[2], pieces)
        inside = self.epilogue if whole else nothing
        geometries = [
            Geometry(weight[:, :, piece], epilogue=inside, **geometry) for piece in self.pieces
        ]
        self.geometry = geometries[0]
        self.algorithms = [choose(each, "strict") for each in geometries]
        self.work = float(weight.size) * getattr(self.algorithms[0], "slowness", 1)

    def __call__(self, x: Array) -> Array:
        y = np.empty(self.geometry.output_shape(x.shape), np.float32)
        if not y.size:
            return y
        work = self.work * y.size / y.shape[3]
        if len(self.algorithms) == 1:
            share(lambda part, parts: self.algorithms[0](x, y, None, part, parts), work)
            return y
        total = np.zeros(y.shape)
        for piece, algorithm in zip(self.pieces, self.algorithms, strict=True):
            run = partial(algorithm, x[..., piece], y, None)
            share(run, work / len(self.pieces))
            total += y
        if self.bias is not None:
            total += self.bias
        np.copyto(y, total, casting="same_kind")
        self.epilogue(y)
        return y


@fast("QuantizedDense")
class QuantizedDense:
    """``x @ weight`` of centred x (..., K) and weight (K, N): the sums, or requantised.

    With ``pieces`` above 1 the sums are exact in so many pieces of K only. They are
    added in float64, and rounded once, as int32 is when it becomes float32; or given
    as int32 with ``integers``.
    """

    def __init__(
        self,
        *,
        weight: Array,
        pieces: int = 1,
        integers: bool = False,
        factor: Array | None = None,
        limits: tuple[float, float] = (0, 0),
    ) -> None:
        self.weight = np.ascontiguousarray(weight, np.float32)
        self.pieces = pieces_of(len(weight), pieces)
        self.dtype = np.int32 if integers else np.float32
        self.requantize = None if factor is None else Requantize(None, factor, limits)

    def __call__(self, x: Array) -> Array:
        depth, width = self.weight.shape
        if x.shape[-1] != depth:
            raise ValueError(f"the last axis is {x.shape[-1]} long; the weight's first is {depth}")
        rows = x.reshape(-1, depth)
        y = np.empty((rows.shape[0], width), self.dtype)
        if y.size:
            share(lambda part, parts: self._part(rows, y, part, parts), float(rows.size) * width)
        return y.reshape(*x.shape[:-1], width)

    def _part(self, rows: Array, y: Array, part: int, parts: int) -> None:
        mine = slice_of(len(rows), part, parts)
        rows, out = rows[mine], y[mine]
        if len(self.pieces) == 1:
            np.matmul(rows, self.weight, out=out)
        else:
            total = np.zeros(out.shape)
            for piece in self.pieces:
                total += np.matmul(rows[:, piece], self.weight[piece])
            np.copyto(out, total, casting="unsafe")
        if self.requantize is not None:
            self.requantize(out)


def pieces_of(depth: int, pieces: int) -> list[slice]:
    """A range cut into nearly equal pieces."""
    return [slice_of(depth, piece, pieces) for piece in range(pieces)]


@fast("DynamicRange")
class DynamicRange:
    """The scale and the zero point that DynamicQuantizeLinear gives x."""

    def __call__(self, x: Array) -> tuple[Array, Array]:
        return range_of(x)


@fast("DynamicQuantize")
class DynamicQuantize:
    """x as centred uint8 by a scale and a zero point that are known when it runs."""

    def __call__(self, x: Array, scale: Array, zero_point: Array) -> Array:
        least = -float(zero_point)
        round_ = rounded_between(least, least + 255)

        y = np.empty(x.shape, np.float32)
        source, target = np.ascontiguousarray(x).reshape(-1), y.reshape(-1)

        def quantize(mine: slice) -> None:
            np.divide(source[mine], scale, out=target[mine])
            round_(target[mine])

        _by_chunks(y.size, quantize)
        return y


@fast("QuantizedAdd")
class QuantizedAdd:
    """QLinearAdd of centred values of one shape: ``a * factors[0] + b * factors[1]``.

    As in the operator, halves are rounded with the zero point added.
    """

    def __init__(
        self, *, factors: tuple[Array, Array], zero_point: float, limits: tuple[float, float]
    ) -> None:
        self.factors = factors
        self.zero_point = np.array(zero_point, np.float32)
        self.round = rounded_between(*limits, zero_point)

    def __call__(self, a: Array, b: Array) -> Array:
        a, b = np.broadcast_arrays(a, b)  # they differ where a name stands for two sizes
        y = np.empty(a.shape, np.float32)
        one, other = (np.ascontiguousarray(x).reshape(-1) for x in (a, b))
        target = y.reshape(-1)

        def add(mine: slice) -> None:
            out, term = target[mine], scratch("term", mine.stop - mine.start)
            np.multiply(one[mine], self.factors[0], out=out)
            np.multiply(other[mine], self.factors[1], out=term)
            np.add(out, term, out=out)
            np.add(out, self.zero_point, out=out)
            self.round(out)

        _by_chunks(y.size, add)
        return y


def _by_chunks(size: int, kernel: Callable[[slice], None]) -> None:
    """``kernel`` of all of ``size`` elements, a chunk that stays in the cache at a time, in
    threads."""

    def part(index: int, parts: int) -> None:
        mine = slice_of(size, index, parts)
        for start in range(mine.start, mine.stop, CHUNK):
            kernel(slice(start, min(start + CHUNK, mine.stop)))

    share(part, float(size) * WORK)


@fast("Centre")
class Centre:
    """Integers as float32 without their zero point."""

    def __call__(self, x: Array, zero_point: Array | None = None) -> Array:
        y = x.astype(np.float32)
        if zero_point is not None and zero_point.any():
            y -= zero_point.astype(np.float32).reshape(())
        return y


@fast("Integers")
class Integers:
    """Centred float32 as integers with their zero point."""

    def __init__(self, *, dtype: Dtype) -> None:
        self.dtype = dtype

    def __call__(self, x: Array, zero_point: Array | None = None) -> Array:
        if zero_point is not None and zero_point.any():
            x = x + zero_point.astype(np.float32).reshape(())
        return x.astype(self.dtype)
