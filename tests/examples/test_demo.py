"""The examples run, and give what Keras gave when they were made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scratch_onnx.interpreter as so

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_demo_runs_without_a_framework() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "frameworks imported: none" in done.stdout


@pytest.mark.parametrize("name", ["digits", "sentiment"])
def test_example_gives_what_keras_gave(name: str) -> None:
    folder = EXAMPLES / name
    session = so.InferenceSession(folder / f"{name}.onnx")
    (ours,) = session.run(None, {session.get_inputs()[0].name: np.load(folder / "input.npy")})
    keras = np.load(folder / "keras.npy")
    assert (ours.argmax(1) == keras.argmax(1)).all()
    np.testing.assert_allclose(ours, keras, rtol=0, atol=1e-6)


def test_own_operator() -> None:
    """2 x sigmoid(2 x), twice: by arithmetic."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "own_operator.py"], capture_output=True, text=True, check=True
    )
    numbers = [float(word) for word in done.stdout.strip("[]\n ").split()]
    np.testing.assert_allclose(numbers, [-0.23840584, 0, 1.7615942], rtol=1e-6)


@pytest.mark.slow
def test_notebook_runs() -> None:
    """Its cells hold their own assertions."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(EXAMPLES / "walkthrough.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLES)}}
    ).execute()
    pages = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    assert len(pages) >= 3
