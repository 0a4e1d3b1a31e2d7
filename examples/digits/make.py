"""Makes the files beside it: a small CNN on scikit-learn's digits, trained with Keras, exported.

    pip install 'scratch-onnx[experiments]'
    python examples/digits/make.py

Leaves ``digits.onnx``, ``input.npy`` (20 test images, float32 (20, 8, 8, 1), 0 to 1),
``labels.npy`` (what they show) and ``keras.npy`` (the probabilities that Keras gave).
"""

from __future__ import annotations

import os
from pathlib import Path

# Before TensorFlow is imported: its own rounding, not one-DNN's, which varies by machine.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import scratch_onnx as so

HERE = Path(__file__).parent
SAMPLES = 20


def main() -> None:
    """Train, export, and write what Keras gives for the example's input."""
    keras.utils.set_random_seed(42)
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[..., np.newaxis]
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.2, random_state=42, stratify=digits.target
    )
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2, name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_x, train_y, batch_size=32, epochs=20, verbose=2)
    loss, accuracy = model.evaluate(test_x, test_y, verbose=0)
    print(f"test accuracy {accuracy:.4f}, loss {loss:.4f}")

    sample = test_x[:SAMPLES]
    report = so.export.from_keras(
        model,
        HERE / "digits.onnx",
        class_names=[str(digit) for digit in range(10)],
        sample=sample,
    )
    print(report)
    np.save(HERE / "input.npy", sample)
    np.save(HERE / "labels.npy", test_y[:SAMPLES].astype(np.int64))
    np.save(HERE / "keras.npy", np.asarray(model(sample, training=False)))


if __name__ == "__main__":
    main()
