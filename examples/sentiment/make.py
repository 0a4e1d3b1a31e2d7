"""Makes the files beside it: a small bidirectional LSTM on sentences of a toy language.

    pip install 'scratch-onnx[experiments]'
    python examples/sentiment/make.py

The sentences are made from a few words, with "not" turning what follows around, so that their
order matters. Leaves ``sentiment.onnx`` with ``sentiment.vocab.txt``, ``sentences.txt`` (what is
shown), ``input.npy`` (their token ids) and ``keras.npy`` (the probabilities that Keras gave).
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

# Before TensorFlow is imported: its own rounding, not one-DNN's, which varies by machine.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np

import scratch_onnx as so

HERE = Path(__file__).parent
CLASSES = ["negative", "neutral", "positive"]
THINGS = "the film|the food|this phone|our room|the service|that song|the story|my seat".split("|")
WORDS = {
    "positive": "good great lovely excellent wonderful".split(),
    "negative": "bad awful terrible boring broken".split(),
    "neutral": "long short new loud red".split(),
}
OPPOSITE = {"positive": "negative", "negative": "positive", "neutral": "neutral"}
SHOWN = [
    "The film was great!",
    "The food was not good.",
    "This phone is not bad, really",
    "Our room was red",
    "That song is TERRIBLE",
    "the service was really excellent",
    "My seat was not long",
    "An unknown thing was wonderful",
]


def sentences() -> tuple[list[str], list[int]]:
    """Every sentence of the toy language with its class."""
    texts, labels = [], []
    for thing, verb, extra in itertools.product(THINGS, ("is", "was"), ("", "really ", "not ")):
        for kind, words in WORDS.items():
            label = OPPOSITE[kind] if extra == "not " else kind
            for word in words:
                texts.append(f"{thing} {verb} {extra}{word}")
                labels.append(CLASSES.index(label))
    return texts, labels


def main() -> None:
    """Train, export, and write what Keras gives for the sentences that the demo shows."""
    keras.utils.set_random_seed(42)
    texts, labels = sentences()
    layers = keras.layers
    vectorize = layers.TextVectorization(output_sequence_length=10)
    vectorize.adapt(texts)
    vocabulary = vectorize.get_vocabulary()
    model = keras.Sequential(
        [
            layers.Input((10,), dtype="int32", name="tokens"),
            layers.Embedding(len(vocabulary), 16, name="embedding"),
            layers.Bidirectional(layers.LSTM(16), name="lstm"),
            layers.Dense(len(CLASSES), activation="softmax", name="sentiment"),
        ],
        name="sentiment",
    )
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    tokens = np.asarray(vectorize(np.array(texts)), np.int32)
    model.fit(tokens, np.array(labels), batch_size=32, epochs=12, verbose=2)

    shown = np.asarray(vectorize(np.array(SHOWN)), np.int32)
    report = so.export.from_keras(
        model,
        HERE / "sentiment.onnx",
        class_names=CLASSES,
        sample=shown,
        vocabulary=vectorize,
    )
    print(report)
    (HERE / "sentences.txt").write_text("\n".join(SHOWN) + "\n", encoding="utf-8")
    np.save(HERE / "input.npy", shown)
    np.save(HERE / "keras.npy", np.asarray(model(shown, training=False)))


if __name__ == "__main__":
    main()
