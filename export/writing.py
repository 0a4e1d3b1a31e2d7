"""Files written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .errors import ExportError

__all__ = ["write_files"]


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write every file beside its place first, and rename them when all are complete.

    Raises:
        ExportError: a file cannot be written; nothing is left behind then.
    """
    beside = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            beside[path].write_bytes(content)
        for path, temporary in beside.items():
            temporary.replace(path)
    except OSError as error:
        raise ExportError(f"cannot write {str(path)!r}: {error.strerror}") from error
    finally:
        for temporary in beside.values():
            temporary.unlink(missing_ok=True)
