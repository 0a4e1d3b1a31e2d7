"""Runs ONNX graphs in NumPy. Knows nobody else in the project, and no framework."""

from __future__ import annotations

from .errors import InputError, LoadError, ModelError, RunError, ScratchOnnxError, UnsupportedError
from .registry import Context, op
from .session import InferenceSession, run

__all__ = [
    "Context",
    "InferenceSession",
    "InputError",
    "LoadError",
    "ModelError",
    "RunError",
    "ScratchOnnxError",
    "UnsupportedError",
    "op",
    "run",
]
