"""The packages that are installed are the folders that there are."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("scratch_onnx", "interpreter", "export", "experiments")


def test_every_package_is_listed() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    found = set()
    for folder in FOLDERS:
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(parts if parts[0] == "scratch_onnx" else ("scratch_onnx", *parts)))
    assert sorted(listed) == sorted(found)


def test_python_started_in_the_checkout_needs_no_import_hook() -> None:
    """However pip installed it (links, an import hook, or not at all), as far as the front door."""
    script = (
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in f.__module__]\n"
        "import scratch_onnx as so\n"
        "print(so.InferenceSession.__module__, so.export.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["scratch_onnx.interpreter.session", "scratch_onnx.export"]


def test_pytest_finds_the_package_wherever_it_is_started_from() -> None:
    """As the command ``pytest``, which unlike ``python -m pytest`` does not look in the current
    folder: ``tests/scratch_onnx`` was taken for the package once."""
    subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "--collect-only", "tests/scratch_onnx"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
