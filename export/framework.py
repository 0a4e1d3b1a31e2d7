"""TensorFlow and Keras: imported quietly, and run in the one way that counts as the truth.

Keras's numbers depend on how TensorFlow runs it: one-DNN kernels sum in another
order than Eigen's, a compiled graph may be fused, and a GPU or another number
of threads rounds differently. The export compares its file with Keras run
eagerly, on the CPU, without one-DNN (where this module is the first to import
TensorFlow: the choice cannot be changed afterwards), with ``training=False``
and as one batch.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import ExportError

__all__ = ["load_frameworks", "predict", "quiet", "versions"]

Array = np.ndarray[Any, np.dtype[Any]]


def load_frameworks() -> tuple[Any, Any]:
    """Import TensorFlow and Keras without their log noise, and return both.

    Raises:
        ExportError: they are not installed, or Keras runs on another backend.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with quiet(), _no_standard_error():
            import keras
            import tensorflow
            import tf2onnx  # noqa: F401 - part of what the export needs
    except ImportError as error:
        raise ExportError(
            f"the export needs TensorFlow, Keras and tf2onnx ({error}); "
            "install them with: pip install 'scratch-onnx[export]'"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"Keras runs on {keras.backend.backend()!r}, and tf2onnx reads TensorFlow graphs; "
            "set KERAS_BACKEND=tensorflow before Keras is imported"
        )
    return tensorflow, keras


@contextmanager
def quiet() -> Iterator[None]:
    """Silence TensorFlow's and tf2onnx's logs and Keras's warnings; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _no_standard_error() -> Iterator[None]:
    """Send file descriptor 2 nowhere: while it is imported, TensorFlow's C++ code writes there
    before any setting of its own can quiet it."""
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def versions() -> dict[str, str]:
    """The versions that decide what an export looks like, under their metadata keys."""
    import keras
    import tensorflow
    import tf2onnx

    return {
        "keras_version": str(keras.__version__),
        "tensorflow_version": str(tensorflow.__version__),
        "tf2onnx_version": str(tf2onnx.__version__),
    }


def predict(model: Any, inputs: Any) -> list[Array]:
    """Run Keras as the oracle: eagerly, on the CPU, for inference, as one batch.

    ``inputs`` has the model's own structure. The model's variables (the states
    of a stateful layer among them) are afterwards what they were before.

    Returns:
        The outputs in the order of ``keras.tree.flatten``.
    """
    tensorflow, keras = load_frameworks()
    with quiet(), tensorflow.device("/CPU:0"), unchanged_variables(model):
        outputs = model(inputs, training=False)
        return [np.asarray(output) for output in keras.tree.flatten(outputs)]


@contextmanager
def unchanged_variables(model: Any) -> Iterator[None]:
    """Put back what a run changes: seeds, and the states of stateful layers.

    Keras does not list these states among the variables of a model.
    """
    import keras

    layers = [*model._flatten_layers()]
    states = keras.tree.flatten([getattr(layer, "states", None) or [] for layer in layers])
    variables: Sequence[Any] = [*model.non_trainable_variables, *states]
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            if not np.array_equal(keras.ops.convert_to_numpy(variable), value):
                variable.assign(value)
