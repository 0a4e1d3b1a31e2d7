"""From a trained model's folder to what its record says: export, both predictions, scores."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.framework import load_keras
from scratch_onnx.experiments.models import Prepared
from scratch_onnx.experiments.prediction import interpreter_predictions, keras_predictions
from scratch_onnx.experiments.scoring import compare, score
from scratch_onnx.experiments.variants import Config, Recurrent


def measure(config: Config, data: Prepared, folder: Path, out: Path) -> dict[str, Any]:
    """Export ``model.keras`` of the folder, run the test split on both sides, and score.

    Leaves ``model.onnx`` (with its vocabulary beside it for texts) and ``predictions.npz`` with
    ``labels`` (n,), ``keras`` and ``interpreter`` (n, classes).

    Returns:
        The record's fields from ``keras`` to ``finished``, and ``parameters``.

    Raises:
        ExperimentError: the kept model cannot be loaded.
        ScratchOnnxError: the export or the interpreter refuses the model.
    """
    keras = load_keras()
    keras.backend.clear_session()  # layers are then named alike whatever ran before
    try:
        model = keras.models.load_model(folder / "model.keras")
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"the model kept in {folder} cannot be loaded ({error}); run again with --force"
        ) from error
    path = folder / "model.onnx"
    _export(model, path, config, data)
    expected, keras_seconds = keras_predictions(model, data.test.x)
    actual, interpreter_seconds = interpreter_predictions(path, data.test.x)
    np.savez_compressed(
        folder / "predictions.npz", labels=data.test.y, keras=expected, interpreter=actual
    )
    classes = len(data.classes)
    sides = {
        "keras": {**score(expected, data.test.y, classes), "seconds": keras_seconds},
        "interpreter": {**score(actual, data.test.y, classes), "seconds": interpreter_seconds},
    }
    equal = all(
        sides["keras"][name] == sides["interpreter"][name]
        for name in ("macro_f1", "weighted_f1", "accuracy", "f1_by_class")
    )
    return {
        "parameters": int(model.count_params()),
        **sides,
        "comparison": {"equal_scores": equal, **compare(expected, actual)},
        "files": {
            name: _described(folder / name, out)
            for name in ("model.keras", "model.onnx", "predictions.npz")
        },
        "versions": _versions(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count() or 1,
        },
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _export(model: Any, path: Path, config: Config, data: Prepared) -> None:
    from scratch_onnx import export

    text = None
    if isinstance(config, Recurrent):
        text = {"output_sequence_length": config.sequence_length}
    export.from_keras(
        model,
        path,
        class_names=data.classes,
        sample=data.test.x[:32],
        vocabulary=data.vocabulary,
        text=text,
    )


def _described(path: Path, out: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    relative = path.relative_to(out).as_posix()
    return {"path": relative, "bytes": path.stat().st_size, "sha256": digest}


def _versions() -> dict[str, str]:
    import keras
    import sklearn
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "scratch-onnx": version("scratch-onnx"),
        "keras": str(keras.__version__),
        "tensorflow": str(tf.__version__),
        "tf2onnx": version("tf2onnx"),
        "onnx": version("onnx"),
        "numpy": np.__version__,
        "scikit-learn": str(sklearn.__version__),
    }


def _processor() -> str:
    """The processor's name; Linux keeps it in /proc, elsewhere Python may know it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
