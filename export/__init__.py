"""Keras models to ONNX files."""

from __future__ import annotations

from .errors import ExportError
from .keras_export import ExportReport, from_keras, to_model_proto
from .loading import load_keras

__all__ = ["ExportError", "ExportReport", "from_keras", "load_keras", "to_model_proto"]
