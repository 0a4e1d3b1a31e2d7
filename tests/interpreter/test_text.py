"""The tokeniser against Keras's TextVectorization."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from scratch_onnx.interpreter.errors import InputError, LoadError
from scratch_onnx.interpreter.text import Tokenizer, tokenizer_of

NUSAX = Path(__file__).parents[2] / ".." / "shared" / "data" / "nusax"

EDGES = [
    "",
    "   ",
    "...",
    "Halo, DUNIA! Apa-kabar?",
    "É È ÀÉ İI ẞß Σς ǅ K",  # lower case of other letters than ASCII's
    "a\u00a0b\u3000c\u2028d\u0085e",  # white space that is not ASCII's
    "a\x1cb\x1dc\x1ed\x1fe",  # white space to Python's str, not to C
    "x\x0by\x0cz\tq\rw\ne",
    "naïve café “quoted” – don't…",
    "e\u0301 é",  # composed and not
    "a,b-c/d a_b `x` ~y^z|{}[\\]",
    "\ufeffbom word",
    "emoji 😀 👩‍👩‍👧 ok",
    "[UNK] unk [unk] UNK",
    "ไทย 日本語 العربية",
    "word " * 40,
]
STANDARDIZE = ["lower_and_strip_punctuation", "lower", "strip_punctuation", None]


def saved(folder, vocabulary):
    (folder / "model.vocab.txt").write_text(
        "".join(f"{token}\n" for token in vocabulary), encoding="utf-8", newline=""
    )
    return {"text_vocabulary": "model.vocab.txt"}


@pytest.mark.tensorflow
@pytest.mark.parametrize("standardize", STANDARDIZE)
@pytest.mark.parametrize("split", ["whitespace", "character", None])
def test_edge_cases_as_keras_has_them(tmp_path, standardize, split):
    keras = pytest.importorskip("keras")
    layer = keras.layers.TextVectorization(
        output_sequence_length=30, standardize=standardize, split=split
    )
    known = [text for text in EDGES[::2] if "\n" not in text]
    layer.adapt(known)
    vocabulary = layer.get_vocabulary()
    assert len(vocabulary) > 5
    metadata = saved(tmp_path, vocabulary) | {
        "text_sequence_length": "30",
        "text_standardize": standardize or "none",
        "text_split": split or "none",
    }
    tokenizer = tokenizer_of(metadata, tmp_path)
    expected = layer(np.array(EDGES)[:, None] if split is None else np.array(EDGES)).numpy()
    assert tokenizer.encode(EDGES).tolist() == expected.tolist()


@pytest.mark.tensorflow
@pytest.mark.parametrize("length", [250, 72])
def test_the_whole_of_nusax_as_keras_has_it(tmp_path, length):
    if not NUSAX.is_dir():
        pytest.skip("the NusaX data is not there")
    keras = pytest.importorskip("keras")
    texts = {}
    for split in ("train", "valid", "test"):
        with (NUSAX / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            texts[split] = [row["text"] for row in csv.DictReader(file)]
    layer = keras.layers.TextVectorization(max_tokens=10_000, output_sequence_length=length)
    layer.adapt(texts["train"])
    metadata = saved(tmp_path, layer.get_vocabulary()) | {"text_sequence_length": str(length)}
    tokenizer = tokenizer_of(metadata, tmp_path)
    assert len(tokenizer.vocabulary) == 2836
    everything = [text for split in texts.values() for text in split]
    assert len(everything) == 1000
    expected = layer(np.array(everything)).numpy()
    np.testing.assert_array_equal(tokenizer.encode(everything), expected)


def test_by_hand():
    tokenizer = Tokenizer({b"": 0, b"[UNK]": 1, b"bagus": 2, b"sekali": 3}, length=4)
    assert tokenizer.tokens("Bagus, sekali!") == [b"bagus", b"sekali"]
    ids = tokenizer.encode(["Bagus, sekali!", "buruk", "", "bagus " * 9], np.float32)
    assert ids.dtype == np.float32
    assert ids.tolist() == [[2, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [2, 2, 2, 2]]


def test_without_a_length_the_longest_sentence_decides():
    tokenizer = Tokenizer({b"a": 2})
    assert tokenizer.encode(["a", "a b a"]).tolist() == [[2, 0, 0], [2, 1, 2]]
    assert tokenizer.encode([]).shape == (0, 0)


def test_bytes_that_are_no_utf_8_are_unknown_words():
    assert Tokenizer({b"a": 2}, 2).encode(["a \udcff"]).tolist() == [[2, 1]]


@pytest.mark.parametrize("kind", ["parent", "absolute", "link"])
def test_a_vocabulary_outside_the_folder_is_refused(tmp_path, kind):
    folder = tmp_path / "model"
    folder.mkdir()
    outside = tmp_path / "vocab.txt"
    outside.write_text("\n[UNK]\n", encoding="utf-8")
    (folder / "link.txt").symlink_to(outside)
    name = {"parent": "../vocab.txt", "absolute": str(outside), "link": "link.txt"}[kind]
    with pytest.raises(LoadError, match="outside the model's own folder"):
        tokenizer_of({"text_vocabulary": name}, folder)


@pytest.mark.parametrize(
    ("content", "metadata", "message"),
    [
        (None, {}, "cannot be read: No such file"),
        (b"a\nb\n", {}, "must begin with an empty line"),
        (b"", {}, "must begin with an empty line"),
        (b"\n[UNK]\na\na\n", {}, "names a token twice"),
        (b"\n[UNK]\n", {"text_standardize": "stem"}, "text_standardize is 'stem'; known are"),
        (b"\n[UNK]\n", {"text_split": "bpe"}, "text_split is 'bpe'; known are"),
        (b"\n[UNK]\n", {"text_sequence_length": "-3"}, "is '-3', no number"),
    ],
)
def test_what_is_wrong_or_unknown_is_refused(tmp_path, content, metadata, message):
    if content is not None:
        (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(LoadError, match=message):
        tokenizer_of({"text_vocabulary": "vocab.txt", **metadata}, tmp_path)


def test_a_model_without_a_text_pipeline():
    with pytest.raises(InputError, match="the model takes no text"):
        tokenizer_of({}, Path())
