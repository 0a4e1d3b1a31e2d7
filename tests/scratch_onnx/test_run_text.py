"""``scratch-onnx run --text``: sentences to classes, with no TensorFlow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import ROWS, linear, model_of, saved, saved_array

VOCABULARY = ["", "[UNK]", "bagus", "buruk", "sekali"]
# One row a token id: how much it speaks for negative and for positive.
SCORES = np.array([[0, 0], [0.25, 0.25], [0, 2], [2, 0], [0.5, 0.5]], np.float32)


@pytest.fixture(params=[TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT])
def model(tmp_path, request):
    """The sum of the scores of up to four tokens."""
    (tmp_path / "reviews.vocab.txt").write_text(
        "".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8"
    )
    nodes = [
        helper.make_node("Cast", ["tokens"], ["ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["scores", "ids"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["y"], keepdims=0),
    ]
    proto = model_of(
        nodes,
        {"tokens": (request.param, ["N", 4])},
        {"y": (1, ["N", 2])},
        {"scores": SCORES, "axis": np.array([1])},
        {
            "class_names": '["negative", "positive"]',
            "text_vocabulary": "reviews.vocab.txt",
            "text_sequence_length": "4",
            "text_standardize": "lower_and_strip_punctuation",
            "text_split": "whitespace",
        },
    )
    return saved(tmp_path, proto, "reviews.onnx")


def test_a_sentence_is_classified(call, model):
    lines = call("run", model, "--text", "BAGUS, sekali!").stdout.splitlines()
    assert lines[1].split() == ["0", "1", "1", "positive", "2.5"]


def test_several_sentences(call, model):
    sentences = ("Buruk?", "bagus bagus bagus aneh bagus", "")
    arguments = [part for text in sentences for part in ("--text", text)]
    document = json.loads(call("run", model, *arguments, "--json", "--top", "2").stdout)
    assert document["outputs"][0]["values"] == [[2.0, 0.0], [0.25, 6.25], [0.0, 0.0]]
    assert [row["text"] for row in document["top"]] == list(sentences)
    assert [row["classes"][0]["name"] for row in document["top"]] == [
        "negative", "positive", "negative",
    ]  # fmt: skip


def test_from_another_folder(process, model, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    done = process("run", model, "--text", "buruk", cwd=tmp_path / "elsewhere")
    assert b"negative" in done.stdout


def test_text_and_input_are_wrong_usage(call, model, tmp_path):
    rows = saved_array(tmp_path, ROWS)
    result = call("run", model, rows, "--text", "bagus")
    assert result.exit_code == 2
    assert "give INPUT or --text, not both" in result.stderr


def test_a_model_that_takes_no_text(fails, tmp_path):
    assert "the model takes no text" in fails("run", saved(tmp_path, linear()), "--text", "a")


def test_a_vocabulary_that_is_missing(fails, model, tmp_path):
    (tmp_path / "reviews.vocab.txt").unlink()
    assert "reviews.vocab.txt cannot be read" in fails("run", model, "--text", "a")
