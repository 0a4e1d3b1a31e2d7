"""Where windows lie over an image: what convolutions and poolings of any rank share.

Along each spatial axis a window of ``kernel`` elements, ``dilation`` apart, moves
by ``stride`` over an input with padding at both ends::

    extent = (kernel - 1) * dilation + 1
    output = floor((input + pads - extent) / stride) + 1

(ONNX's Operators.md, Conv and MaxPool). Tensors are [N, C, D1, ..., Dn]; all here
works on the last n axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from ..types import Array


def last_axes(*parts: Any) -> tuple[Any, ...]:
    """An index of the last axes, whatever stands before them."""
    return (..., *parts)


class Windows(NamedTuple):
    """The geometry, one entry a spatial axis: ``begins`` and ``ends`` are the pads."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    output: tuple[int, ...]

    @property
    def covered(self) -> tuple[int, ...]:
        """How many elements of the padded input lie between the first and the last window's ends.

        Fewer than there are where strides leave a rest, more where ``ceil_mode``
        lets the last window hang over.
        """
        return tuple(
            (count - 1) * stride + (kernel - 1) * dilation + 1 if count else 0
            for count, stride, kernel, dilation in zip(
                self.output, self.strides, self.kernel, self.dilations, strict=True
            )
        )

    def pad(self, x: Array, value: Any) -> Array:
        """``x`` with its spatial axes padded with ``value``, exactly as far as windows reach.

        ``x`` itself, or a view of it, where nothing has to be added.
        """
        covered = self.covered
        spatial = x.shape[x.ndim - len(covered) :]
        if not any(self.begins) and all(c <= n for c, n in zip(covered, spatial, strict=True)):
            return x[last_axes(*map(slice, covered))]
        padded = np.full(x.shape[: x.ndim - len(covered)] + covered, value, dtype=x.dtype)
        kept = [
            max(0, min(n, size - begin))
            for n, size, begin in zip(spatial, covered, self.begins, strict=True)
        ]
        inside = (slice(begin, begin + n) for begin, n in zip(self.begins, kept, strict=True))
        padded[last_axes(*inside)] = x[last_axes(*map(slice, kept))]
        return padded

    def view(self, padded: Array) -> Array:
        """All windows of what ``pad`` gave, without a copy: [N, C, *kernel, *output]."""
        lead = padded.ndim - len(self.kernel)
        steps = padded.strides[lead:]
        by_kernel = tuple(s * d for s, d in zip(steps, self.dilations, strict=True))
        by_output = tuple(s * d for s, d in zip(steps, self.strides, strict=True))
        return np.lib.stride_tricks.as_strided(
            padded,
            padded.shape[:lead] + self.kernel + self.output,
            padded.strides[:lead] + by_kernel + by_output,
            writeable=False,
        )

    def along(self, axis: int) -> list[slice]:
        """For each kernel position along one spatial axis, the elements that windows have there."""
        stride, dilation, count = self.strides[axis], self.dilations[axis], self.output[axis]
        return [
            slice(k * dilation, k * dilation + (count - 1) * stride + 1 if count else 0, stride)
            for k in range(self.kernel[axis])
        ]

    def positions(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Each position in the kernel, with the region of the padded input that windows have
        there; a region has the shape ``output``."""
        axes = range(len(self.kernel))
        indices = product(*(range(self.kernel[axis]) for axis in axes))
        regions = product(*(self.along(axis) for axis in axes))
        return zip(indices, regions, strict=True)

    def fold(self, patches: Array, size: Sequence[int]) -> Array:
        """The adjoint of ``view``: add all windows into zeros of the spatial shape ``size``.

        ``patches`` is [N, C, *kernel, *output]; ``size`` is at least ``covered``.
        """
        whole = (slice(None),) * len(self.output)
        lead = patches.shape[: patches.ndim - 2 * len(self.kernel)]
        total = np.zeros((*lead, *size), dtype=patches.dtype)
        for position, region in self.positions():
            total[last_axes(*region)] += patches[last_axes(*position, *whole)]
        return total

    def reduce(self, x: Array, combine: np.ufunc, pad_value: Any) -> Array:
        """Combine the elements of each window: [N, C, *spatial] to [N, C, *output].

        One axis after another, so that a window of k × k elements costs 2k passes
        and not k².
        """
        x = self.pad(x, pad_value)
        lead = x.ndim - len(self.kernel)
        for axis in range(len(self.kernel)):
            before = (slice(None),) * (lead + axis)
            first, *rest = (x[(*before, part)] for part in self.along(axis))
            if rest:
                result = combine(first, rest[0])
                for part in rest[1:]:
                    combine(result, part, out=result)
                first = result
            x = first
        return x

    def counts(self, spatial: Sequence[int], include_pads: bool) -> Array:
        """How many elements each window has inside the input, or inside its padded form.

        An array of shape ``output``. What hangs over in ``ceil_mode`` never counts.
        """
        total = np.ones((), dtype=np.int64)
        for axis, size in enumerate(spatial):
            low, high = -self.begins[axis], size + self.ends[axis]
            if not include_pads:
                low, high = 0, size
            starts = np.arange(self.output[axis]) * self.strides[axis] - self.begins[axis]
            elements = starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            total = total[..., None] * ((elements >= low) & (elements < high)).sum(axis=1)
        return total


def place_windows(
    spatial: Sequence[int],
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
) -> Windows:
    """The windows over an input of the given spatial shape.

    Parameters
    ----------
    pads : all begins, then all ends. Where ``auto_pad`` is not NOTSET it decides, as in
        onnxruntime: old files write both.
    auto_pad : SAME_UPPER and SAME_LOWER give ``ceil(input / stride)`` windows, and the odd
        pad goes to the end or to the beginning; VALID pads nothing.
    ceil_mode : round the number of windows up. Windows that would lie in the end padding
        alone are left out (opset 22 says so; before it they had no defined value).

    Raises ``ValueError`` where an attribute has the wrong length or range, or where
    windows do not fit into the input.
    """
    rank = len(spatial)
    kernel = per_axis("kernel_shape", kernel, rank, least=1)
    strides = per_axis("strides", strides, rank, least=1)
    dilations = per_axis("dilations", dilations, rank, least=1)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output = tuple(-(-n // s) for n, s in zip(spatial, strides, strict=True))
        totals = [
            max(0, (count - 1) * s + extent - n)
            for count, s, extent, n in zip(output, strides, extents, spatial, strict=True)
        ]
        smaller, larger = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        begins, ends = (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
        return Windows(kernel, strides, dilations, begins, ends, output)
    if auto_pad == "VALID":
        pads = None
    elif auto_pad not in ("NOTSET", ""):
        raise ValueError(
            f"auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID, and is {auto_pad!r}"
        )
    pads = per_axis("pads", pads, 2 * rank, least=0)
    begins, ends = pads[:rank], pads[rank:]
    output = tuple(
        _count(*geometry, ceil_mode)
        for geometry in zip(spatial, begins, ends, extents, strides, strict=True)
    )
    return Windows(kernel, strides, dilations, begins, ends, output)


def _count(size: int, begin: int, end: int, extent: int, stride: int, ceil_mode: bool) -> int:
    """The number of windows along one axis."""
    room = size + begin + end - extent
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and count > 0 and (count - 1) * stride >= size + begin:
        count -= 1
    if count < 0:
        raise ValueError(
            f"a window that spans {extent} elements does not fit into an axis of {size} "
            f"with pads {begin} and {end}"
        )
    return count


def per_axis(name: str, values: Sequence[int] | None, length: int, least: int) -> tuple[int, ...]:
    """An attribute's values, ``least`` where absent.

    Raises ``ValueError`` where there are not ``length`` of them, each ``least`` or more.
    """
    values = (least,) * length if values is None else tuple(int(value) for value in values)
    if len(values) != length:
        raise ValueError(f"{name} {list(values)} must have {length} elements")
    if any(value < least for value in values):
        raise ValueError(f"{name} {list(values)} must be {least} or more")
    return values
