"""One seeded training, with its history and its progress."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratch_onnx.experiments.framework import load_keras, start_from
from scratch_onnx.experiments.models import Prepared, build
from scratch_onnx.experiments.progress import Epochs, Progress
from scratch_onnx.experiments.variants import Config


@dataclass(frozen=True)
class Trained:
    """A trained Keras model, Keras's history by name and epoch, and the seconds it took."""

    model: Any
    history: dict[str, list[float]]
    seconds: float


def train(config: Config, data: Prepared, seed: int, title: str, progress: Progress) -> Trained:
    """Build and fit the model: the same seed gives the same weights on the same machine."""
    start_from(seed)
    words = None if data.vocabulary is None else len(data.vocabulary)
    model = build(config, len(data.classes), words)
    training = config.training
    steps = math.ceil(len(data.train) / training.batch_size)
    start = time.perf_counter()
    with progress.training(title, training.epochs, steps) as epochs:
        fitted = model.fit(
            data.train.x,
            data.train.y,
            batch_size=training.batch_size,
            epochs=training.epochs,
            validation_data=(data.validation.x, data.validation.y),
            verbose=0,
            callbacks=[_callback(epochs)],
        )
    history = {name: [float(v) for v in values] for name, values in fitted.history.items()}
    return Trained(model, history, time.perf_counter() - start)


def _callback(epochs: Epochs) -> Any:
    current = 0

    def batch_end(batch: int, logs: Mapping[str, float]) -> None:
        epochs.batch(current, batch, float(logs.get("loss", math.nan)))

    def epoch_end(epoch: int, logs: Mapping[str, float]) -> None:
        nonlocal current
        current = epoch + 1
        epochs.epoch(epoch, {name: float(value) for name, value in logs.items()})

    keras = load_keras()
    return keras.callbacks.LambdaCallback(on_train_batch_end=batch_end, on_epoch_end=epoch_end)
