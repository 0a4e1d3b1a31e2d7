"""Scores of one side, and the comparison of the two."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def score(probabilities: Array, labels: Array, classes: int) -> dict[str, Any]:
    """F1 (macro, weighted, by class), accuracy and confusion matrix of (n, classes) probabilities.

    A class that is never predicted has F1 0, as scikit-learn has it with ``zero_division=0``.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    predicted = probabilities.argmax(axis=1)
    numbers = list(range(classes))

    def f1(average: str | None) -> Any:
        return f1_score(labels, predicted, labels=numbers, average=average, zero_division=0)

    return {
        "macro_f1": float(f1("macro")),
        "weighted_f1": float(f1("weighted")),
        "accuracy": float((predicted == labels).mean()),
        "f1_by_class": [float(value) for value in f1(None)],
        "confusion_matrix": confusion_matrix(labels, predicted, labels=numbers).tolist(),
    }


def compare(keras: Array, interpreter: Array) -> dict[str, Any]:
    """How far apart two arrays of (n, classes) probabilities are; Keras's is the reference.

    The relative difference of one probability is |interpreter - keras| / keras. Where Keras's is
    below the smallest normal float32 number, that number takes its place.
    """
    difference = np.abs(interpreter.astype(np.float64) - keras.astype(np.float64))
    reference = np.maximum(np.abs(keras.astype(np.float64)), np.finfo(np.float32).tiny)
    return {
        "classes_that_differ": int((keras.argmax(axis=1) != interpreter.argmax(axis=1)).sum()),
        "max_absolute_difference": float(difference.max()),
        "max_relative_difference": float((difference / reference).max()),
    }
