"""Images from the bytes of their files."""

from __future__ import annotations

import io

import numpy as np

from ..errors import UnsupportedError
from ..registry import op
from ..types import Array

_PILLOW_MODES = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}


@op("ImageDecoder", since=20)
def image_decoder(encoded_stream: Array, *, pixel_format: str = "RGB") -> Array:
    """The image of a file's bytes (uint8 [n]) as uint8 [height, width, channels], by Pillow.

    What cannot be decoded gives an empty image, as the specification wants.
    """
    if pixel_format not in _PILLOW_MODES:
        raise ValueError(f"pixel_format '{pixel_format}' is none of RGB, BGR and Grayscale")
    try:
        from PIL import Image
    except ImportError:
        raise UnsupportedError(
            "ImageDecoder needs Pillow: install it with pip install 'scratch-onnx[image]'"
        ) from None
    mode = _PILLOW_MODES[pixel_format]
    try:
        with Image.open(io.BytesIO(encoded_stream.tobytes())) as image:
            pixels = np.asarray(image.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.zeros((0, 0, len(mode)), np.uint8)
    if pixel_format == "Grayscale":
        return pixels[:, :, np.newaxis]
    return pixels[:, :, ::-1] if pixel_format == "BGR" else pixels
