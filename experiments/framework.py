"""Keras, set up so that a seed gives the same model and that it can serve as the oracle.

TensorFlow's oneDNN kernels choose other summation orders, by machine and by batch size, so both
training and prediction run on TensorFlow's plain kernels. That has to be decided before
TensorFlow is imported, which is why every import of Keras in the experiments goes through here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from scratch_onnx.experiments.errors import ExperimentError


def load_keras() -> Any:
    """Import Keras on TensorFlow, without oneDNN and with deterministic operations.

    Raises:
        ExperimentError: TensorFlow is not installed, or was imported before with oneDNN on, or
            Keras runs on another backend.
    """
    if "tensorflow" in sys.modules and os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0":
        raise ExperimentError(
            "TensorFlow was imported before with its oneDNN kernels on; set "
            "TF_ENABLE_ONEDNN_OPTS=0 in the environment and start again"
        )
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        raise ExperimentError(
            f"the experiments need TensorFlow and Keras ({error}): "
            "pip install 'scratch-onnx[experiments]'"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ExperimentError(
            f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    tf.config.experimental.enable_op_determinism()
    return keras


def start_from(seed: int) -> Any:
    """Forget earlier models and seed everything: the same seed then gives the same model."""
    keras = load_keras()
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return keras
