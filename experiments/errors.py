"""What the experiments raise on purpose; both are caught with ``ScratchOnnxError``."""

from __future__ import annotations

from scratch_onnx.interpreter.errors import ScratchOnnxError


class DataError(ScratchOnnxError):
    """A data set cannot be used: missing, incomplete, altered, or not in the expected form."""


class ExperimentError(ScratchOnnxError):
    """An experiment cannot be named, configured, run, recorded or reported."""
