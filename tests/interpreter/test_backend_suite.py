"""Every case of onnx's own backend suite, against an explicit list of those that do not pass.

A listed case that passes, and an unlisted one that fails, both fail here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto
from onnx.backend.test.runner import Runner

from scratch_onnx.interpreter.backend import ScratchOnnxBackend

# The runner writes the models of its "real" cases there.
os.environ.setdefault("ONNX_HOME", str(Path(tempfile.gettempdir()) / "scratch_onnx_backend_suite"))

LIST = Path(__file__).with_name("backend_failures.txt")


def read_list() -> dict[str, str]:
    """Case by case, the reason why it does not pass."""
    lines = [line.split("#", 1) for line in LIST.read_text().splitlines() if line.strip()]
    return {line[0].strip(): line[1].strip() for line in lines if line[0].strip()}


class StrictBackend(ScratchOnnxBackend):
    """The runner lets a case pass where the backend says that it cannot run it: ours never does."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        del model, device, kwargs
        return True


class StrictRunner(Runner):
    """The runner's comparison lets a sequence pass that is too short: ours does not."""

    @classmethod
    def assert_similar_outputs(
        cls,
        ref_outputs: Sequence[Any],
        outputs: Sequence[Any],
        rtol: float,
        atol: float,
        model_dir: str | None = None,
    ) -> None:
        assert len(outputs) == len(ref_outputs)
        for output, expected in zip(outputs, ref_outputs, strict=True):
            if isinstance(output, (list, tuple)):
                assert len(output) == len(expected)
        super().assert_similar_outputs(ref_outputs, outputs, rtol, atol, model_dir)


EXPECTED = read_list()
CASES: dict[str, Callable[..., None]] = {
    name: item.func
    for items in StrictRunner(StrictBackend, __name__)._test_items.values()
    for name, item in items.items()
    if name.endswith("_cpu")
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name: str) -> None:
    reason = EXPECTED.get(name)
    try:
        CASES[name](None)
    except Exception:
        if reason is None:
            raise
        return
    assert reason is None, f"{name} passes now: take it off the list"


def test_list_names_real_cases() -> None:
    assert sorted(EXPECTED.keys() - CASES.keys()) == []
    assert all(EXPECTED.values()), "every listed case says why"
