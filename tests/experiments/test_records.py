"""Records: the schema, and that a file is whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.records import (
    load_records,
    read_json,
    record_path,
    schema,
    validate,
    write_json,
)
from scratch_onnx.experiments.scoring import compare, score


def test_the_schema_is_a_schema_and_a_record_fits(make_record: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    record = make_record("lstm/layers/1", [[3, 1], [0, 2]], reported=0.25)
    assert validate(record, "here") is record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "42"}, "seed: '42' is not of type 'integer'"),
        ({"format": 2}, "format: 1 was expected"),
        ({"limit": 0}, "limit"),
        ({"history": {"loss": [1.0]}}, "val_loss"),
        ({"surplus": 1}, "surplus"),
        ({"comparison": {"equal_scores": True}}, "classes_that_differ"),
    ],
)
def test_a_record_that_does_not_fit(make_record: Any, change: Any, message: str) -> None:
    record = {**make_record("lstm/layers/1", [[3, 1], [0, 2]]), **change}
    with pytest.raises(ExperimentError, match=f"here is not a valid record.*{message}"):
        validate(record, "here")


def test_every_field_is_required(make_record: Any) -> None:
    record = make_record("lstm/layers/1", [[3, 1], [0, 2]])
    for name in record:
        with pytest.raises(ExperimentError, match="required property"):
            validate({key: value for key, value in record.items() if key != name}, "here")


def test_writing_and_reading(tmp_path: Path, make_record: Any) -> None:
    record = make_record("cnn/layers/1", [[3, 1], [0, 2]])
    record["keras"]["macro_f1"] = 0.1 + 0.2  # all digits survive
    path = record_path(tmp_path, "cnn/layers/1", 42)
    assert path == tmp_path / "records" / "cnn" / "layers" / "1" / "seed-42.json"
    write_json(path, record)
    assert read_json(path) == record
    assert load_records(tmp_path / "records") == [record]
    assert '"loss": [1.0, 0.5]' in path.read_text()


def test_a_quick_pass_has_another_name(tmp_path: Path) -> None:
    paths = {record_path(tmp_path, "a/b/c", 1, quick) for quick in ("", "limit-9", "epochs-2")}
    assert len(paths) == 3


def test_strings_with_brackets_survive(tmp_path: Path) -> None:
    data = {"a": ["x [\n 1,\n 2 ]", "[ ]"], "b": [[1, 2], []], "c": [1.5, -2e-9, None, True]}
    write_json(tmp_path / "x.json", data)
    assert read_json(tmp_path / "x.json") == data


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExperimentError, match=r"cannot write .*No space left"):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_not_a_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_reading_what_is_not_there_or_broken(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none.json") is None
    (tmp_path / "cut.json").write_text('{"format": 1, "seed"')
    with pytest.raises(ExperimentError, match=r"cut\.json is not readable JSON"):
        load_records(tmp_path)
    with pytest.raises(ExperimentError, match="there are no records in"):
        load_records(tmp_path / "empty")


def test_part_files_of_a_killed_run_are_not_records(tmp_path: Path, make_record: Any) -> None:
    write_json(tmp_path / "seed-1.json", make_record("cnn/layers/1", [[3, 1], [0, 2]]))
    (tmp_path / ".seed-2.json.abc.part").write_text('{"half": ')
    assert len(load_records(tmp_path)) == 1


def test_scores_by_hand() -> None:
    """Six samples: predicted 0 0 1 1 1 2, true 0 1 1 1 2 2."""
    predicted, labels = [0, 0, 1, 1, 1, 2], np.array([0, 1, 1, 1, 2, 2])
    found = score(np.eye(4)[predicted], labels, 4)
    # F1 = 2 hits / (true + predicted): 2*1/3, 2*2/6, 2*1/3, and 0 for the class never seen
    np.testing.assert_allclose(found["f1_by_class"], [2 / 3, 2 / 3, 2 / 3, 0.0])
    assert found["macro_f1"] == pytest.approx(0.5)
    assert found["weighted_f1"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["confusion_matrix"] == [[1, 0, 0, 0], [1, 2, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert json.loads(json.dumps(found)) == found


def test_differences_by_hand() -> None:
    keras = np.array([[0.5, 0.5 - 2**-10, 0.0], [0.25, 0.75, 0.0]], np.float32)
    ours = np.array([[0.5, 0.5 + 2**-10, 0.0], [0.25, 0.75, 0.0]], np.float32)
    found = compare(keras, ours)
    assert found["classes_that_differ"] == 1
    assert found["max_absolute_difference"] == 2**-9
    assert found["max_relative_difference"] == 2**-9 / (0.5 - 2**-10)
    assert compare(ours, ours)["max_relative_difference"] == 0.0
