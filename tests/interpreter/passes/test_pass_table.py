"""The table of passes: those that are left out would have changed nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.backend.test.loader import load_model_tests

from scratch_onnx.interpreter.errors import ScratchOnnxError
from scratch_onnx.interpreter.graph import Graph
from scratch_onnx.interpreter.loading import Source, load
from scratch_onnx.interpreter.passes import PASSES

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/*.onnx"))


def check_left_out(source: Source) -> None:
    """The passes make the same graph when none is left out."""
    graph = every = load(source).graph
    with np.errstate(all="ignore"):
        for rewrite in PASSES:
            graph = rewrite(graph)
            every = rewrite._replace(operators=None)(every)
    assert shown(graph) == shown(every)


def shown(graph: Graph) -> list[Any]:
    return [(n.domain, n.op_type, n.inputs, n.outputs, str(n.attributes)) for n in graph.nodes]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    check_left_out(path)


def test_the_standards_cases() -> None:
    checked = 0
    for case in load_model_tests(kind="node"):
        assert case.model is not None
        try:
            check_left_out(case.model)
        except ScratchOnnxError:
            continue
        checked += 1
    assert checked > 1000
