"""Keras models from files: .keras, legacy .h5, SavedModel folders, weights with a builder."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from .errors import ExportError, first_line
from .framework import load_frameworks, quiet

__all__ = ["load_keras"]

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def load_keras(
    path: str | os.PathLike[str] | None = None,
    *,
    builder: str | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> Any:
    """Load a Keras model.

    Args:
        path: a ``.keras`` file, a legacy full-model ``.h5`` file, or a SavedModel folder
            (its ``serving_default`` signature).
        builder: ``package.module:function`` that returns the model without its
            weights, instead of ``path``. The current folder is searched too.
        weights: a ``.weights.h5`` file for the model that ``builder`` made.

    Raises:
        ExportError: one sentence on what is wrong with the file or the function.
    """
    load_frameworks()
    if builder is not None:
        if path is not None:
            raise ExportError("give a model file or a builder, and not both")
        return _build(builder, weights)
    if path is None:
        raise ExportError("weights alone are no model: give the builder of their architecture")
    if weights is not None:
        raise ExportError("weights belong to a builder: a model file has its own")
    path = Path(path)
    if not path.exists():
        raise ExportError(f"there is no file {str(path)!r}")
    if path.is_dir():
        return _load_saved_model(path)
    with path.open("rb") as file:
        start = file.read(8)
    if start == _HDF5_SIGNATURE:
        return _load_h5(path)
    if start.startswith(b"PK"):
        return _load_archive(path)
    raise ExportError(
        f"{str(path)!r} is not a Keras model: a .keras archive, an .h5 file or a SavedModel folder "
        "was expected"
    )


def _load_archive(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ExportError(f"{str(path)!r} is truncated or damaged: {first_line(error)}") from error
    if "config.json" not in names:
        raise ExportError(f"{str(path)!r} is a zip archive, and no Keras model: no config.json")
    return _deserialised(path, ".keras")


def _load_h5(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            has_model = "model_config" in file.attrs
    except OSError as error:
        raise ExportError(f"{str(path)!r} is truncated or damaged: {first_line(error)}") from error
    if not has_model:
        raise ExportError(
            f"{str(path)!r} holds weights alone: give the architecture with "
            "--builder package.module:function --weights FILE"
        )
    return _deserialised(path, ".h5")


def _deserialised(path: Path, suffix: str) -> Any:
    """Call Keras's loader, and turn its many exceptions into a sentence.

    Keras chooses the format by the file's name: a file of another name is copied first.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder:
        named = path
        if path.suffix != suffix:
            named = Path(folder) / f"model{suffix}"
            shutil.copyfile(path, named)
        try:
            with quiet():
                return keras.models.load_model(named, compile=False)
        except Exception as error:
            raise ExportError(_loading_failure(path, str(error) or repr(error))) from error


def _loading_failure(path: Path, text: str) -> str:
    unknown = re.search(r"(?:Could not locate \w+|Unknown \w+:) '(\w+)'", text)
    if unknown:
        return (
            f"{str(path)!r} has a custom object that is not known here, {unknown[1]!r}: "
            "load it with Keras and give the model itself, or use a builder"
        )
    if "Lambda" in text:
        return (
            f"{str(path)!r} has a Lambda layer, which is code in a file and is not run: "
            "load it with Keras and give the model itself, or use a builder"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{str(path)!r} cannot be loaded by Keras: {lines[0]}"


def _build(builder: str, weights: str | os.PathLike[str] | None) -> Any:
    """Call ``package.module:function``, and load the weights into what it returns."""
    module_name, colon, function_name = builder.partition(":")
    if not (module_name and colon and function_name):
        raise ExportError(f"a builder is written package.module:function, and not {builder!r}")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except ModuleNotFoundError as error:
        raise ExportError(f"the builder's module {module_name!r}: {error}") from error
    except AttributeError as error:
        raise ExportError(f"the module {module_name!r} has no {function_name!r}") from error
    model = function()
    if not hasattr(model, "load_weights"):
        raise ExportError(f"the builder {builder!r} gave a {type(model).__name__}, no Keras model")
    if weights is None:
        return model
    if not Path(weights).is_file():
        raise ExportError(f"there is no file {str(weights)!r}")
    try:
        with quiet():
            model.load_weights(str(weights))
    except Exception as error:
        raise ExportError(
            f"the weights in {str(weights)!r} do not fit the model of {builder!r}: "
            f"{first_line(error)}"
        ) from error
    return model


def _load_saved_model(path: Path) -> Any:
    """Wrap a SavedModel's serving signature in a functional model with its names."""
    tensorflow, keras = load_frameworks()
    if not (path / "saved_model.pb").is_file():
        raise ExportError(f"the folder {str(path)!r} is no SavedModel: no saved_model.pb in it")
    try:
        with quiet():
            loaded = tensorflow.saved_model.load(str(path))
    except Exception as error:
        raise ExportError(
            f"the SavedModel {str(path)!r} cannot be loaded: {first_line(error)}"
        ) from error
    function = loaded.signatures.get("serving_default")
    if function is None:
        raise ExportError(
            f"the SavedModel {str(path)!r} has no signature 'serving_default': it has "
            f"{sorted(loaded.signatures)}"
        )

    class SavedModel(keras.layers.Layer):  # type: ignore[misc, name-defined]
        """Calls the signature with named tensors; keeps the loaded object alive."""

        def __init__(self) -> None:
            super().__init__(name="saved_model")
            self.loaded = loaded

        def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
            outputs: dict[str, Any] = function(**inputs)
            return outputs

    specs = function.structured_input_signature[1]
    inputs = {
        name: keras.Input(batch_shape=tuple(spec.shape), dtype=spec.dtype.name, name=name)
        for name, spec in specs.items()
    }
    return keras.Model(inputs, SavedModel()(inputs), name=path.name)
