from __future__ import annotations

import builtins
import io
from typing import Any

import numpy as np
import pytest
from oracles import run_ours

from scratch_onnx.interpreter import UnsupportedError
from scratch_onnx.interpreter.ops.image_decoder import image_decoder

PIXELS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [0, 0, 0], [9, 9, 9]]], np.uint8
)


def encoded(kind: str) -> Any:
    image = pytest.importorskip("PIL.Image")
    data = io.BytesIO()
    image.fromarray(PIXELS).save(data, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return np.frombuffer(data.getvalue(), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_formats_without_loss(kind: str) -> None:
    (result,) = run_ours("ImageDecoder", [encoded(kind)], opset=20)
    assert result.dtype == np.uint8
    assert result.tolist() == PIXELS.tolist()


def test_pixel_formats() -> None:
    data = encoded("PNG")
    assert image_decoder(data, pixel_format="BGR").tolist() == PIXELS[:, :, ::-1].tolist()
    gray = image_decoder(data, pixel_format="Grayscale")
    assert gray.shape == (2, 3, 1)
    # ITU-R 601: 0.299 red, 0.587 green, 0.114 blue.
    assert gray[0, :, 0].tolist() == [76, 150, 29]
    with pytest.raises(ValueError, match="none of RGB, BGR and Grayscale"):
        image_decoder(data, pixel_format="CMYK")


def test_what_cannot_be_decoded_is_empty() -> None:
    for broken in (np.zeros(10, np.uint8), encoded("PNG")[:40], np.zeros(0, np.uint8)):
        assert image_decoder(broken).shape == (0, 0, 3)


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match=r"pip install 'scratch-onnx\[image\]'"):
        image_decoder(np.zeros(10, np.uint8))
