"""Runs ONNX models in pure NumPy, exports Keras models to ONNX, and shows every step.

::

    import scratch_onnx as so

    session = so.InferenceSession("model.onnx")      # as in onnxruntime
    (probabilities,) = session.run(None, {"input": x})

    probabilities = so.run("model.onnx", x)          # the same in one line
    so.export.from_keras(model, "model.onnx")        # pip install 'scratch-onnx[export]'

    so.inspect("model.onnx")                         # nodes, types, parameters, costs
    so.trace("model.onnx", {"input": x})             # every value of a run
    so.compare("model.onnx", {"input": x}, "onnxruntime")
    so.profile("model.onnx", {"input": x})           # where the time goes
    so.explain("Conv")                               # what an operator does

Everything raised on purpose is a ``so.errors.ScratchOnnxError``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Python started in the checkout finds this folder before the installed package. The other folders
# of the package stand beside this one there, and not in it.
_CHECKOUT = Path(__file__).parent.parent
if (_CHECKOUT / "interpreter" / "session.py").is_file():
    __path__.append(str(_CHECKOUT))

from scratch_onnx.interpreter import errors  # noqa: E402

if TYPE_CHECKING:
    from scratch_onnx import experiments, export
    from scratch_onnx.interpreter import InferenceSession, op, run
    from scratch_onnx.interpreter.inspection.explain import explain
    from scratch_onnx.interpreter.inspection.inspecting import inspect
    from scratch_onnx.interpreter.inspection.profile import profile
    from scratch_onnx.interpreter.inspection.trace import trace
    from scratch_onnx.peers import compare

__all__ = [
    "InferenceSession",
    "__version__",
    "compare",
    "errors",
    "experiments",
    "explain",
    "export",
    "inspect",
    "op",
    "profile",
    "run",
    "trace",
]

__version__ = "0.1.0"

_EXTRAS = ("experiments", "export")
# name → its module. The package itself loads neither NumPy nor onnx.
_LAZY = {
    "InferenceSession": "interpreter",
    "compare": "peers",
    "explain": "interpreter.inspection.explain",
    "inspect": "interpreter.inspection.inspecting",
    "op": "interpreter",
    "profile": "interpreter.inspection.profile",
    "run": "interpreter",
    "trace": "interpreter.inspection.trace",
}


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name in _LAZY:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
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
