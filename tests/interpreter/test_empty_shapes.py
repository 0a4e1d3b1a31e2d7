"""Every operator of the standard's cases with dimensions of 0 and of 1 in place of the case's own:
the shapes, and where there are any the values, are onnxruntime's, or a sentence says why not.

onnxruntime runs in a process of its own: a dimension of 0 aborts some of its kernels.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto
from onnx.backend.test.loader import load_model_tests

import scratch_onnx.interpreter as so

# The three cases of an operator that differ most stand first, last and in the middle.
CASES_PER_OPERATOR = 3

# What onnxruntime lets pass and the specification does not: our sentence.
REFUSED = {
    "Attention": "attn_mask .* does not broadcast",
    "Compress": "condition must be a vector of at most",
    "Concat": "differ in more than axis",
    "GatherND": "the last dimension of indices is 0",
    "MaxUnpool": "indices must be in",
    "NonMaxSuppression": "must be one number",
    "PRelu": "the slope .* does not broadcast",
}
# Where its numbers or shapes are not the specification's, or are drawn at random.
DIFFERENT = {
    "Bernoulli": "random",
    "Dropout": "random",
    "MaxUnpool": "output_shape says what the indices count in",
    "ReduceMean": "the mean of nothing is 0",
    "Squeeze": "no axes at all are all axes",
}

# Sums of 128 terms in float32, in another order; DFT by a table of sines there.
TOLERANCE: dict[str, Any] = {"rtol": 2e-4, "atol": 2e-4}


@dataclass
class Variant:
    """A case's inputs with other dimensions."""

    title: str
    feed: dict[str, Any]


def floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64)


def free_dimensions(model: ModelProto) -> ModelProto:
    """The model for inputs of other dimensions."""
    free = ModelProto()
    free.CopyFrom(model)
    for value in free.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.Clear()
    for value in free.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    del free.graph.value_info[:]
    return free


def variants(names: list[str], inputs: list[Any]) -> Iterator[Variant]:
    """0 and 1 along each axis of the first floating input: in it alone, and in all inputs that
    have the same number there."""
    first = next(i for i, x in enumerate(inputs) if floating(x) and x.ndim)
    for size in (0, 1):
        for axis, length in enumerate(inputs[first].shape):
            alike = [
                i
                for i, x in enumerate(inputs)
                if isinstance(x, np.ndarray) and x.ndim > axis and x.shape[axis] == length
            ]
            floats = [i for i in alike if floating(inputs[i])]
            for chosen in {(first,), tuple(floats), tuple(alike)}:
                cut = [
                    np.take(x, range(min(size, length)), axis) if i in chosen else x
                    for i, x in enumerate(inputs)
                ]
                title = f"{size} along axis {axis} of {', '.join(names[i] for i in chosen)}"
                yield Variant(title, dict(zip(names, cut, strict=True)))


def given(case: Any) -> list[Any]:
    """The inputs of a case of the standard."""
    return list(case.data_sets[0][0])


@cache
def cases() -> dict[str, list[tuple[str, ModelProto, list[Variant]]]]:
    """By operator: cases, their models with free dimensions, and the variants."""
    found: dict[str, list[Any]] = defaultdict(list)
    for case in load_model_tests(kind="node"):
        assert case.model is not None
        nodes, inputs = case.model.graph.node, given(case)
        plain = all(isinstance(x, (np.ndarray, np.generic)) for x in inputs)
        if len(nodes) == 1 and plain and any(floating(x) and x.ndim for x in inputs):
            found[nodes[0].op_type].append(case)
    chosen: dict[str, list[tuple[str, ModelProto, list[Variant]]]] = {}
    for op_type, of_operator in sorted(found.items()):
        count = min(CASES_PER_OPERATOR, len(of_operator))
        places = np.linspace(0, len(of_operator) - 1, count).astype(int)
        chosen[op_type] = [
            (
                of_operator[i].name,
                free_dimensions(of_operator[i].model),
                list(
                    variants(
                        [value.name for value in of_operator[i].model.graph.input],
                        [np.asarray(x) for x in given(of_operator[i])],
                    )
                ),
            )
            for i in places
        ]
    return chosen


# Goes through the jobs from one on; where a kernel ends the process, what it wrote before is kept,
# and another process goes on behind that job. (Not a fork for each: a forked child of onnxruntime
# may wait for ever for a thread that it does not have.)
WORKER = """
import pickle, sys
import onnxruntime as ort

ort.set_default_logger_severity(4)
folder, first = sys.argv[1], int(sys.argv[2])
with open(f"{folder}/jobs", "rb") as file:
    jobs = pickle.load(file)
options = ort.SessionOptions()
options.intra_op_num_threads = 1
for name, model, feeds in jobs[first:]:
    with open(f"{folder}/{name}", "wb") as out:
        try:
            session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception:
            continue
        for feed in feeds:
            try:
                outputs = session.run(None, feed)
            except Exception:
                outputs = None
            pickle.dump(outputs, out)
            out.flush()
"""


@cache
def answers() -> dict[str, list[Any]]:
    """By case, what onnxruntime gives for the variants in order: None where it refuses, nothing
    from the one on that ends its process."""
    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [
            (name, model.SerializeToString(), [variant.feed for variant in changed])
            for of_operator in cases().values()
            for name, model, changed in of_operator
        ]
        (folder / "jobs").write_bytes(pickle.dumps(jobs))
        done = 0
        while done < len(jobs):
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    [sys.executable, "-c", WORKER, name, str(done)],
                    check=False,
                    stderr=subprocess.DEVNULL,
                    timeout=120,
                )
            before, done = done, sum((folder / case).exists() for case, _, _ in jobs)
            assert done > before, "onnxruntime does not start"
        for case, _, _ in jobs:
            found[case] = []
            with (folder / case).open("rb") as file, suppress(EOFError):
                while True:
                    found[case].append(pickle.load(file))
    return found


FOREIGN = re.compile(r": [A-Za-z]*(Error|Exception|Iteration): |reshape array|zero-size array")


def outcome(session: so.InferenceSession, variant: Variant) -> list[Any] | str:
    """The outputs, or the sentence that says why there are none."""
    try:
        return session.run(None, variant.feed)
    except so.RunError as error:
        return str(error)


def arrays(outputs: list[Any]) -> list[Any]:
    """The arrays among the outputs, those in sequences too."""
    return [x for y in outputs for x in (y if isinstance(y, list) else [y]) if x is not None]


@pytest.mark.parametrize("op_type", sorted(cases()))
def test_operator(op_type: str) -> None:
    for name, model, changed in cases()[op_type]:
        session = so.InferenceSession(model)
        for variant, expected in zip_longest(changed, answers()[name]):
            title = f"{name} with {variant.title}"
            outputs = outcome(session, variant)
            if isinstance(outputs, str):
                assert not FOREIGN.search(outputs), f"{title}: {outputs}"
                refused = op_type in REFUSED and re.search(REFUSED[op_type], outputs)
                assert expected is None or refused, f"{title}: {outputs}"
            elif expected is not None and op_type not in DIFFERENT:
                for ours, theirs in zip(arrays(outputs), arrays(expected), strict=True):
                    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), title
                    if ours.dtype.kind == "f":
                        np.testing.assert_allclose(ours, theirs, **TOLERANCE, err_msg=title)


def test_onnxruntime_answers() -> None:
    """Most of what is asked: else the comparison would be empty."""
    given = [output is not None for outputs in answers().values() for output in outputs]
    assert sum(given) > 1000
    assert REFUSED.keys() | DIFFERENT.keys() <= cases().keys()
