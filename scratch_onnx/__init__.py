"""Runs ONNX models in pure NumPy, exports Keras models to ONNX, and shows every step.

::

    import scratch_onnx as so

    session = so.InferenceSession("model.onnx")      # as in onnxruntime
    (probabilities,) = session.run(None, {"input": x})

    probabilities = so.run("model.onnx", x)          # the same in one line
    so.export.from_keras(model, "model.onnx")        # pip install 'scratch-onnx[export]'

Everything raised on purpose is a ``so.errors.ScratchOnnxError``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scratch_onnx.interpreter import InferenceSession, errors, op, run

if TYPE_CHECKING:
    from scratch_onnx import experiments, export

__all__ = ["InferenceSession", "__version__", "errors", "experiments", "export", "op", "run"]

__version__ = "0.1.0"

_EXTRAS = ("experiments", "export")


def __getattr__(name: str) -> Any:
    """``export`` and ``experiments``, imported when they are first asked for."""
    if name not in _EXTRAS:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise missing_extra(f"so.{name}", name, error) from error


def __dir__() -> list[str]:
    return sorted(__all__)


def missing_extra(what: str, extra: str, error: ImportError) -> errors.ScratchOnnxError:
    """The error of a part whose packages are not installed: it names the extra that brings them."""
    package = (error.name or "").partition(".")[0] or "a package"
    return errors.ScratchOnnxError(
        f"{what} needs {package}, which is not installed: pip install 'scratch-onnx[{extra}]'"
    )
