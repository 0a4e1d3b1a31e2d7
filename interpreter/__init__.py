"""Runs ONNX graphs in NumPy. Knows nobody else in the project, and no framework.

NumPy and onnx are loaded when one of the names is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError, LoadError, ModelError, RunError, ScratchOnnxError, UnsupportedError

if TYPE_CHECKING:
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

_LAZY = {"Context": "registry", "InferenceSession": "session", "op": "registry", "run": "session"}


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
