"""The text pipeline that goes beside a model, and comes back as Keras's own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from scratch_onnx.export import ExportError, from_keras
from scratch_onnx.interpreter.text import tokenizer_of

pytestmark = pytest.mark.tensorflow

WORDS = ["bagus", "sekali", "café"]
SENTENCES = ["Bagus sekali!", "tidak BAGUS", "café, sekali sekali sekali sekali", ""]


@pytest.fixture
def model(keras, layers):
    return keras.Sequential(
        [keras.Input((4,), dtype="int64"), layers.Embedding(5, 3), layers.GRU(2)]
    )


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_list_of_words(model, tmp_path):
    path = tmp_path / "model.onnx"
    text = {"output_sequence_length": 4, "standardize": "lower"}
    report = from_keras(model, path, vocabulary=WORDS, text=text)
    assert report.vocabulary == tmp_path / "model.vocab.txt"
    assert report.vocabulary.read_text("utf-8") == "\n[UNK]\nbagus\nsekali\ncafé\n"
    found = metadata(path)
    assert {key: value for key, value in found.items() if key.startswith("text_")} == {
        "text_vocabulary": "model.vocab.txt",
        "text_sequence_length": "4",
        "text_standardize": "lower",
        "text_split": "whitespace",
    }


def test_text_vectorization_layer(layers, model, tmp_path):
    vectorization = layers.TextVectorization(output_sequence_length=4, vocabulary=WORDS)
    path = tmp_path / "model.onnx"
    from_keras(model, path, vocabulary=vectorization)
    tokenizer = tokenizer_of(metadata(path), tmp_path)
    expected = np.asarray(vectorization(np.array(SENTENCES)))
    np.testing.assert_array_equal(tokenizer.encode(SENTENCES), expected)


@pytest.mark.parametrize(
    ("vocabulary", "text", "message"),
    [
        (["a", "a"], None, "has 'a' twice"),
        (["a\nb"], None, "a token with a line break"),
        (["a"], {"standardize": "upper"}, "cannot be exported"),
        (["a"], {"ngrams": 2}, "text= takes standardize, split and output_sequence_length"),
        (None, {"split": None}, "text= describes a vocabulary, and none is given"),
    ],
)
def test_refused(model, tmp_path, vocabulary, text, message):
    with pytest.raises(ExportError, match=message):
        from_keras(model, tmp_path / "m.onnx", vocabulary=vocabulary, text=text)
    assert list(tmp_path.iterdir()) == []


def test_vectorization_that_gives_no_ids_is_refused(layers, model, tmp_path):
    vectorization = layers.TextVectorization(output_mode="tf_idf")
    with pytest.raises(ExportError, match="must give token ids"):
        from_keras(model, tmp_path / "m.onnx", vocabulary=vectorization)
