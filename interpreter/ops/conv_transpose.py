"""ConvTranspose and Col2Im: patches added back into images, the adjoint of what Conv takes out."""

from __future__ import annotations

from math import prod

import numpy as np

from ..registry import op
from ..types import Array
from ._shared import in_float32
from ._windows import Windows, last_axes, per_axis, place_windows
from .conv import TILE_BYTES, add_bias, check_kernels

Ints = tuple[int, ...]


@op("ConvTranspose", since=(11, 22))
@in_float32
def conv_transpose(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Add a kernel, scaled by each element of x, into the output: the gradient of Conv.

    ``y[n, m, i * stride + k * dilation - pad] += x[n, c, i] * w[c, m, k]``, where c runs over
    the channels of m's group. Along each axis the output has ``(input - 1) * stride +
    (kernel - 1) * dilation + 1 + output_padding - pads`` elements; where ``output_shape`` is
    given, or ``auto_pad`` asks for ``input * stride``, the pads follow from it, and an odd one
    goes to the end for SAME_UPPER and to the beginning otherwise.

    Shapes: x [N, C, D1, ..., Dn], w [C, M / group, k1, ..., kn], b [M] give [N, M, o1, ..., on].
    """
    check_kernels(x, w, group, kernel_shape)
    if w.shape[0] != x.shape[1] or x.shape[1] % group:
        raise ValueError(
            f"weights {list(w.shape)} take {w.shape[0]} channels in {group} groups: "
            f"the input has {x.shape[1]}, and group must divide it"
        )
    rank = x.ndim - 2
    windows = Windows(
        kernel=w.shape[2:],
        strides=per_axis("strides", strides, rank, least=1),
        dilations=per_axis("dilations", dilations, rank, least=1),
        begins=(0,) * rank,
        ends=(0,) * rank,
        output=x.shape[2:],
    )
    begins, size = _place_output(
        windows,
        output_padding,
        output_shape,
        pads,
        auto_pad,
        odd_at_beginning=auto_pad != "SAME_UPPER",
    )
    y = _add_kernels(x, w, windows, group, begins, size)
    return y if b is None else add_bias(y, b)


@op("ConvTranspose", since=1)
@in_float32
def conv_transpose_1(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """ConvTranspose before opset 11: with ``output_shape`` alone an odd pad goes to the end."""
    if output_shape is not None and auto_pad in ("NOTSET", ""):
        # The rest of the rules are the same, and SAME_UPPER has this one.
        auto_pad = "SAME_UPPER"
    return conv_transpose(
        x,
        w,
        b,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        output_padding=output_padding,
        output_shape=output_shape,
        pads=pads,
        strides=strides,
    )


def _place_output(
    windows: Windows,
    output_padding: Ints | None,
    output_shape: Ints | None,
    pads: Ints | None,
    auto_pad: str,
    odd_at_beginning: bool,
) -> tuple[list[int], list[int]]:
    """Where the output begins in what the windows cover, and its spatial shape."""
    rank = len(windows.kernel)
    covered = [
        (n - 1) * stride + (kernel - 1) * dilation + 1 + more
        for n, stride, kernel, dilation, more in zip(
            windows.output,
            windows.strides,
            windows.kernel,
            windows.dilations,
            per_axis("output_padding", output_padding, rank, least=0),
            strict=True,
        )
    ]
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = tuple(n * s for n, s in zip(windows.output, windows.strides, strict=True))
    if output_shape is None:
        if auto_pad not in ("NOTSET", "", "VALID"):
            raise ValueError(f"auto_pad {auto_pad!r} is not known")
        pads = per_axis("pads", None if auto_pad == "VALID" else pads, 2 * rank, least=0)
        size = [c - b - e for c, b, e in zip(covered, pads[:rank], pads[rank:], strict=True)]
        if any(n < 0 for n in size):
            raise ValueError(f"pads {list(pads)} take more than there is: {covered}")
        return list(pads[:rank]), size
    output_shape = per_axis("output_shape", output_shape, rank, least=0)
    # An output larger than what is covered ends in zeros.
    totals = [max(0, c - size) for c, size in zip(covered, output_shape, strict=True)]
    begins = [total - total // 2 if odd_at_beginning else total // 2 for total in totals]
    return begins, list(output_shape)


def _add_kernels(
    x: Array, w: Array, windows: Windows, group: int, begins: list[int], size: list[int]
) -> Array:
    """All kernels scaled and added, for a tile of images at a time: [N, M, *size]."""
    images, channels = x.shape[:2]
    features = w.shape[1] * group
    room = [max(c, b + n) for c, b, n in zip(windows.covered, begins, size, strict=True)]
    inside = last_axes(*(slice(b, b + n) for b, n in zip(begins, size, strict=True)))
    # [group, M/group * kernel, C/group] × [N, group, C/group, pixels]
    weights = w.reshape(group, channels // group, -1).swapaxes(1, 2)
    y = np.empty((images, features, *size), dtype=x.dtype)
    patch_bytes = weights.shape[1] * group * prod(windows.output) * x.itemsize
    step = max(1, TILE_BYTES // max(1, patch_bytes))
    for start in range(0, images, step):
        tile = x[start : start + step]
        pixels = tile.reshape(tile.shape[0], group, channels // group, -1)
        patches = np.matmul(weights, pixels)
        patches = patches.reshape(tile.shape[0], features, *windows.kernel, *windows.output)
        y[start : start + step] = windows.fold(patches, room)[inside]
    return y


@op("Col2Im", since=18)
@in_float32
def col2im(
    input: Array,
    image_shape: Array,
    block_shape: Array,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Add blocks back into images: [N, C * prod(block_shape), L] to [N, C, *image_shape].

    Column l is the l-th place of the block as it slides over the padded image in
    row-major order; elements that fall into the padding are dropped.
    """
    image, block = tuple(image_shape.tolist()), tuple(block_shape.tolist())
    if input.dtype == np.object_:
        raise TypeError("Col2Im adds up what overlaps, and strings cannot be added")
    windows = place_windows(image, block, strides=strides, dilations=dilations, pads=pads)
    if input.ndim != 3 or input.shape[1] % prod(block) or input.shape[2] != prod(windows.output):
        raise ValueError(
            f"columns {list(input.shape)} must be [N, C * {prod(block)}, {prod(windows.output)}] "
            f"for an image {list(image)} and blocks {list(block)}"
        )
    channels = input.shape[1] // prod(block)
    patches = input.reshape(input.shape[0], channels, *block, *windows.output)
    room = [
        begin + size + end
        for begin, size, end in zip(windows.begins, image, windows.ends, strict=True)
    ]
    inside = (slice(begin, begin + n) for begin, n in zip(windows.begins, image, strict=True))
    return windows.fold(patches, room)[last_axes(*inside)]
