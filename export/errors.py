"""What goes wrong on the way from Keras to a file."""

from __future__ import annotations

from scratch_onnx.interpreter.errors import ScratchOnnxError

__all__ = ["ExportError"]


class ExportError(ScratchOnnxError):
    """The model cannot be loaded, cannot be written as ONNX, or the file differs from Keras."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's text that says something, for a one-sentence error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
