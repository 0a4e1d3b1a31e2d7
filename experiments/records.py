"""The record of one variant and seed: one JSON file, whole or absent, that fits the schema.

The report is built from records alone, so that they hold everything it says: configuration,
history, scores and confusion matrices of both sides, and what they ran on.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from scratch_onnx.experiments.errors import ExperimentError

FORMAT = 1
Record = dict[str, Any]


def record_path(out: Path, variant: str, seed: int, quick: str = "") -> Path:
    """Where a record stands: ``records/cnn/layers/3/seed-42.json``.

    A quick pass (fewer samples or other epochs) has its own name: it never takes the place of
    the real record.
    """
    return out / "records" / variant / f"seed-{seed}{'.' + quick if quick else ''}.json"


def write_json(path: Path, data: Any) -> None:
    """Write beside ``path`` and rename: at any moment the file is whole or not there."""
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(_numbers_on_one_line(text) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ExperimentError(f"cannot write {path}: {error}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is no such file.

    Raises:
        ExperimentError: the file cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path} is not readable JSON: {error}") from error


def _numbers_on_one_line(text: str) -> str:
    """Indented JSON with each list of numbers on one line: it reads well and diffs well."""
    return re.sub(
        r"\[\n[^\[\]{}\"]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text
    )


def schema() -> Any:
    """The JSON schema of a record (draft 2020-12)."""
    file = resources.files("scratch_onnx.experiments") / "record.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


def validate(record: Any, name: str) -> Record:
    """Return the record if it fits the schema; without jsonschema, only its format is checked.

    Raises:
        ExperimentError: it does not fit; the message names the place in it.
    """
    try:
        import jsonschema
    except ImportError:
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ExperimentError(f"{name} is not a record of format {FORMAT}") from None
        return record
    try:
        jsonschema.validate(record, schema())
    except jsonschema.ValidationError as error:
        place = "/".join(map(str, error.absolute_path)) or "the whole"
        raise ExperimentError(f"{name} is not a valid record: {place}: {error.message}") from error
    valid: Record = record
    return valid


def load_records(folder: Path) -> list[Record]:
    """Every record below a folder, in the order of the paths.

    Raises:
        ExperimentError: no records there, or one that does not fit the schema.
    """
    records = [validate(read_json(path), str(path)) for path in _record_files(folder)]
    if not records:
        raise ExperimentError(
            f"there are no records in {folder}; `scratch-onnx experiments run` writes them"
        )
    return records


def _record_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*.json")) if not path.name.startswith("."))
