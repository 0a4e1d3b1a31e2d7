"""Runs the example models with NumPy alone, and shows what they give beside what Keras gave.

python examples/demo.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import scratch_onnx as so

HERE = Path(__file__).parent
TOLERANCE = 1e-5
"""Float32 sums in another order: probabilities differ by far less."""


def show_digits() -> float:
    """The digits CNN: prints a line an image, returns the largest difference from Keras."""
    folder = HERE / "digits"
    images = np.load(folder / "input.npy")
    labels = np.load(folder / "labels.npy")
    expected = np.load(folder / "keras.npy")
    session = so.InferenceSession(folder / "digits.onnx")
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: images})

    print(f"A CNN on 8×8 digits: {session!r}\n")
    print("image  shows  NumPy says        Keras said        difference")
    for index, (ours, theirs) in enumerate(zip(probabilities, expected, strict=True)):
        print(
            f"{index:5d}  {labels[index]:5d}  {ours.argmax()} ({ours.max():.7f})     "
            f"{theirs.argmax()} ({theirs.max():.7f})     {np.abs(ours - theirs).max():.1e}"
        )
    return float(np.abs(probabilities - expected).max())


def show_sentiment() -> float:
    """The sentiment LSTM: prints a line a sentence, returns the largest difference from Keras."""
    folder = HERE / "sentiment"
    tokens = np.load(folder / "input.npy")
    expected = np.load(folder / "keras.npy")
    sentences = (folder / "sentences.txt").read_text(encoding="utf-8").splitlines()
    session = so.InferenceSession(folder / "sentiment.onnx")
    classes = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    (probabilities,) = session.run(None, {session.get_inputs()[0].name: tokens})

    print(f"\nA bidirectional LSTM on sentences: {session!r}\n")
    print(
        "sentence                          NumPy says            Keras said            difference"
    )
    for sentence, ours, theirs in zip(sentences, probabilities, expected, strict=True):
        said = [f"{classes[p.argmax()]:8s} ({p.max():.7f})" for p in (ours, theirs)]
        print(f"{sentence:32s}  {said[0]}  {said[1]}  {np.abs(ours - theirs).max():.1e}")
    return float(np.abs(probabilities - expected).max())


def main() -> int:
    """Run all examples; the exit code is 1 where one differs from Keras."""
    worst = max(show_digits(), show_sentiment())
    frameworks = sorted({"tensorflow", "keras", "torch", "onnxruntime"} & sys.modules.keys())
    print(f"\nlargest difference from Keras: {worst:.1e}")
    print(f"frameworks imported: {', '.join(frameworks) or 'none'}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
