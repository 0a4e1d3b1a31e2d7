"""The best classes of each row, with their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scratch_onnx.interpreter.errors import InputError, LoadError


def class_names(metadata: Mapping[str, str], labels: str | None) -> list[str] | None:
    """The names of the file ``labels`` (one a line), else of the metadata key ``class_names``
    (a JSON list of strings), else None."""
    if labels is not None:
        try:
            lines = Path(labels).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise InputError(f"{labels} is not a text file in UTF-8") from None
        except OSError as error:
            raise InputError(f"{labels} cannot be read: {error.strerror}") from None
        return [line.strip() for line in lines if line.strip()]
    if "class_names" not in metadata:
        return None
    import json  # which few models need

    try:
        names = json.loads(metadata["class_names"])
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LoadError("the model's metadata 'class_names' is no JSON list of strings: --labels?")
    return names


def ranked(scores: Any, count: int) -> list[list[tuple[int, float]]]:
    """For each row, the ``count`` best (class, score), best first; equal ones by class number,
    NaN last.

    ``scores`` has the shape [classes] or [rows, classes].
    """
    table = np.atleast_2d(np.asarray(scores).astype(np.float64))
    order = np.argsort(-table, axis=1, kind="stable")[:, :count]
    best = np.take_along_axis(table, order, axis=1)
    return [
        list(zip(classes, values, strict=True))
        for classes, values in zip(order.tolist(), best.tolist(), strict=True)
    ]


def has_classes(output: Any) -> bool:
    """Whether an output is scores of classes: numbers of shape [classes] or [rows, classes]."""
    return (
        isinstance(output, np.ndarray)
        and output.ndim in (1, 2)
        and (output.dtype.kind in "iuf" or (output.dtype.kind == "V"))
    )


def check_labels(names: Sequence[str], classes: Sequence[int], path: str) -> None:
    """Raise ``InputError`` where a file of names fits none of the outputs."""
    if len(names) not in classes:
        counts = " or ".join(str(count) for count in classes)
        raise InputError(f"{path} names {len(names)} classes, and the output has {counts}")
