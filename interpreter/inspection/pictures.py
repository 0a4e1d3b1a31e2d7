"""Arrays as pictures inside an HTML page: PNG in data URIs, histograms in SVG. Needs no library."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from ..types import Array

# Anchors of matplotlib's viridis, and of a blue-white-red scale: colours between are interpolated.
_VIRIDIS = np.array(
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float64
)
_SIGNED = np.array(
    [[33, 102, 172], [146, 197, 222], [247, 247, 247], [244, 165, 130], [178, 24, 43]]
)
_GAP = np.array([255, 255, 255], np.uint8)


def png_uri(pixels: Array) -> str:
    """A data URI of a PNG; ``pixels`` is uint8 of shape [height, width, 3]."""
    height, width, _ = pixels.shape
    # Filter type 0 before every row (PNG specification, 9.2).
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            (b"IHDR", header),
            (b"IDAT", zlib.compress(rows.tobytes())),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()


def colours(values: Array, low: float, high: float) -> Array:
    """uint8 RGB of shape values.shape + (3,): one colour scale from low to high, or where values
    have both signs a scale around 0. NaN and infinities are magenta."""
    values = values.astype(np.float64)
    scale = _VIRIDIS
    if low < 0 < high:
        scale, high = _SIGNED, max(-low, high)
        low = -high
    position = (values - low) / ((high - low) or 1.0) * (len(scale) - 1)
    sick = ~np.isfinite(position)
    position = np.clip(np.where(sick, 0, position), 0, len(scale) - 1)
    below = np.minimum(position.astype(int), len(scale) - 2)
    part = (position - below)[..., None]
    rgb = scale[below] * (1 - part) + scale[below + 1] * part
    rgb[sick] = (255, 0, 255)
    pixels: Array = np.rint(rgb).astype(np.uint8)
    return pixels


def finite_range(values: Array) -> tuple[float, float]:
    """The smallest and largest finite value, (0, 0) where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def thin(array: Array, most: int, axis: int) -> Array:
    """Every n-th slice along an axis, so that no more than ``most`` are left."""
    step = -(-array.shape[axis] // most)
    return array[(slice(None),) * axis + (slice(None, None, max(step, 1)),)]


def feature_maps(maps: Array, most: int = 32, side: int = 64) -> str:
    """The first channels of one sample, [channels, height, width], side by side."""
    low, high = finite_range(maps)
    shown = thin(thin(maps[:most], side, 1), side, 2)
    count, height, width = shown.shape
    columns = min(count, 8)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), _GAP, np.uint8)
    for index, one in enumerate(colours(shown, low, high)):
        row, column = divmod(index, columns)
        top, left = row * (height + 1), column * (width + 1)
        sheet[top : top + height, left : left + width] = one
    zoom = max(1, 48 // max(height, width))
    title = f"{count} of {len(maps)} channels of the first sample, {low:.4g} to {high:.4g}"
    return _image(sheet, title, sheet.shape[1] * zoom)


def heat_map(values: Array, title: str, side: int = 256) -> str:
    """[steps, units] with time to the right and a unit a row."""
    low, high = finite_range(values)
    shown = thin(thin(values, 2 * side, 0), side, 1).T
    zoom = max(1, min(8, 480 // max(shown.shape[1], 1)))
    return _image(
        colours(shown, low, high), f"{title}, {low:.4g} to {high:.4g}", shown.shape[1] * zoom
    )


def _image(pixels: Array, title: str, width: int) -> str:
    if not pixels.size:
        return ""
    return (
        f'<figure><img src="{png_uri(pixels)}" width="{width}" alt="{title}">'
        f"<figcaption>{title}</figcaption></figure>"
    )


def histogram_svg(counts: Sequence[int], limits: tuple[str, str]) -> str:
    """Bars between their limits; the tallest has the full height."""
    most = max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{index * 3}" y="{24 - 24 * count / most:.2f}" width="2.5" '
        f'height="{24 * count / most:.2f}"/>'
        for index, count in enumerate(counts)
        if count
    )
    return (
        f"<div><small>{limits[0]}</small>"
        f'<svg class="histogram" viewBox="0 0 {3 * len(counts)} 24" width="{3 * len(counts)}" '
        f'height="24" role="img" preserveAspectRatio="none">'
        f"<title>how the values are spread</title>{bars}</svg>"
        f"<small>{limits[1]}</small></div>"
    )
