"""Which batches may be split, and that splitting changes nothing."""

from __future__ import annotations

import multiprocessing
import os
import threading
from typing import Any

import numpy as np
import pytest
from graphs import model, node, onnxruntime
from oracles import assert_same

import scratch_onnx.interpreter as so
from scratch_onnx.interpreter import executor
from scratch_onnx.interpreter.fast import parallel
from scratch_onnx.interpreter.fast.parallel import blas_threads

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def cnn() -> Any:
    return model(
        [
            node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", "p", "f"),
            node("Gemm", "f d", "g"),
            node("Softmax", "g", "y", axis=-1),
        ],
        {"x": ["N", 3, 8, 8]},
        ["y", "p"],
        {"w": normal(16, 3, 3, 3), "b": normal(16), "d": normal(256, 10)},
    )


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 8, 9, 31, 300])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_give_what_the_whole_gives(batch: int, threads: int) -> None:
    proto = cnn()
    session = so.InferenceSession(proto, threads=threads)
    assert session.executor.split is not None
    x = normal(batch, 3, 8, 8)
    expected = onnxruntime(proto, {"x": x})
    assert_same(session.run(None, {"x": x}), expected, rtol=1e-4, atol=1e-5)


def bottleneck() -> Any:
    """1×1, depthwise, 1×1."""
    return model(
        [
            node("Conv", "x expand b", "c"),
            node("Clip", "c zero six", "r"),
            node("Conv", "r w", "d", pads=[1, 1, 1, 1], group=16),
            node("Conv", "d project", "y"),
        ],
        {"x": ["N", 16, 8, 8]},
        ["y"],
        {
            "expand": normal(16, 16, 1, 1),
            "project": normal(16, 16, 1, 1),
            "w": normal(16, 1, 3, 3),
            "b": normal(16),
            "zero": np.float32(0),
            "six": np.float32(6),
        },
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 9])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("large", [0, 2**20])
def test_few_samples_are_split_where_they_are_large(
    batch: int, threads: int, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "LARGE_SAMPLE", large)
    proto = bottleneck()
    session = so.InferenceSession(proto, threads=threads)
    before = blas()
    x = normal(batch, 16, 8, 8)
    parts = len(session.executor.parts([x]))
    assert parts == (0 if batch < (8 if large else 2) else min(batch, threads))
    expected = onnxruntime(proto, {"x": x})
    assert_same(session.run(None, {"x": x}), expected, rtol=1e-4, atol=1e-4)
    assert blas() == before


MIXING = {
    "softmax over samples": [node("Softmax", "x", "y", axis=0)],
    "mean over samples": [node("ReduceMean", "x axes", "y", keepdims=1)],
    "concatenated samples": [node("Concat", "x x", "y", axis=0)],
    "sum of all": [node("ReduceSum", "x", "y", keepdims=0)],
    "samples by samples": [node("Transpose", "x", "t", perm=[1, 0]), node("MatMul", "x t", "y")],
    "cumulated": [node("CumSum", "x zero", "y")],
    "the batch's size": [node("Shape", "x", "y")],
    "sliced samples": [node("Slice", "x one two axes", "y")],
    "a constant a sample": [node("Add", "x rows", "y")],
}


@pytest.mark.parametrize("name", MIXING)
def test_mixed_samples_are_not_split(name: str) -> None:
    constants = {
        "axes": np.array([0]),
        "zero": np.array(0),
        "one": np.array([1]),
        "two": np.array([3]),
        "rows": normal(16, 4),
    }
    proto = model(MIXING[name], {"x": ["N", 4]}, ["y"], constants)
    session = so.InferenceSession(proto, threads=2)
    assert session.executor.split is None
    x = normal(16, 4)
    assert_same(session.run(None, {"x": x}), onnxruntime(proto, {"x": x}), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "split"), [([-1, 2, 2], True), ([0, 2, 2], True), ([-1, 2], False), ([16, 4], False)]
)
def test_a_reshape_that_keeps_samples_is_split(shape: list[int], split: bool) -> None:
    nodes = [node("Reshape", "x shape", "r"), node("Neg", "r", "y")]
    proto = model(nodes, {"x": ["N", 4]}, ["y"], {"shape": np.array(shape)})
    session = so.InferenceSession(proto, threads=2)
    assert (session.executor.split is not None) == split
    x = normal(16, 4)
    assert_same(session.run(None, {"x": x}), onnxruntime(proto, {"x": x}))


def test_threads_on_one_session_agree_to_the_bit() -> None:
    session = so.InferenceSession(cnn(), threads=2)
    inputs = [normal(batch, 3, 8, 8) for batch in (1, 5, 16, 40)] * 3
    alone = [session.run(None, {"x": x}) for x in inputs]
    together: list[Any] = [None] * len(inputs)

    def work(index: int) -> None:
        together[index] = session.run(None, {"x": inputs[index]})

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, other in zip(alone, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("last", [False, True])
def test_a_mean_over_height_and_width_is_split(last: bool) -> None:
    """The nodes that take its place have types, by which samples are followed."""
    nodes = [node("ReduceMean", "x axes" if last else "c axes", "y", keepdims=0)]
    if not last:
        nodes.insert(0, node("Conv", "x w", "c"))
    shape = ["N", 4, 5, 3] if last else ["N", 3, 4, 5]
    axes = np.array([1, 2] if last else [2, 3])
    proto = model(nodes, {"x": shape}, ["y"], {"axes": axes, "w": normal(2, 3, 1, 1)})
    assert so.InferenceSession(proto).executor.split is not None


def blas() -> list[int]:
    """The threads of the BLAS that was there first, NumPy's: others may come later, and are not
    used."""
    return [library.get_num_threads() for library in parallel._blas()]


def test_blas_is_put_back() -> None:
    with blas_threads(2):
        pass
    before = blas()
    session = so.InferenceSession(cnn(), threads=2)
    session.run(None, {"x": normal(64, 3, 8, 8)})
    assert blas() == before
    fails = model(
        [node("Reshape", "x shape", "y")], {"x": ["N", 4]}, ["y"], {"shape": np.array([5, 5])}
    )
    with pytest.raises(so.RunError):
        so.InferenceSession(fails).run(None, {"x": normal(16, 4)})
    assert blas() == before
    with blas_threads(1):
        assert set(blas()) == {1}
        with blas_threads(1):
            pass
        assert set(blas()) == {1}
    assert blas() == before


@pytest.mark.parametrize("counts", [(1, 2), (2, 1), (1, 3)])
def test_blas_is_put_back_by_the_last_of_several_runs(counts: tuple[int, int]) -> None:
    first, second = map(blas_threads, counts)
    before = blas()
    first.__enter__()
    second.__enter__()
    assert set(blas()) == {counts[0]}
    first.__exit__()
    assert set(blas()) == {counts[0]}
    second.__exit__()
    assert blas() == before


def test_parts_run_in_threads_and_their_errors_are_raised_when_all_have_ended() -> None:
    assert parallel.run_parts(lambda index, parts: (index, parts), 3) == [(0, 3), (1, 3), (2, 3)]
    names = parallel.run_parts(lambda *_: threading.current_thread().name, 3)
    assert names[0] == threading.current_thread().name
    assert names[0] not in names[1:]
    ended: list[int] = []

    def part(index: int, parts: int) -> None:
        ended.append(index)
        if index != parts - 1:
            raise ValueError(f"part {index}")

    with pytest.raises(ValueError, match="part 0"):
        parallel.run_parts(part, 3)
    assert sorted(ended) == [0, 1, 2]


def test_runs_share_their_helpers() -> None:
    """A run on more threads adds what is missing; a run on fewer adds none."""
    parallel.run_parts(lambda *_: None, 5)
    before = threading.active_count()
    for parts in (2, 3, 4, 5):
        parallel.run_parts(lambda *_: None, parts)
    assert threading.active_count() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_helpers_of_its_own() -> None:
    session = so.InferenceSession(cnn(), threads=2)
    x = normal(64, 3, 8, 8)
    expected = session.run(None, {"x": x})

    def child() -> None:
        found = session.run(None, {"x": x})
        os._exit(not all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(
    ("samples", "threads", "sizes"),
    [
        (8, 2, [2, 2, 2, 2]),  # three fit into a part, but three parts would leave a thread idle
        (8, 1, [2, 3, 3]),
        (9, 3, [3, 3, 3]),
        (40, 2, [3] * 12 + [2] * 2),
    ],
)
def test_each_thread_has_as_many_parts(
    samples: int, threads: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = so.InferenceSession(cnn(), threads=threads)
    assert session.executor.split is not None
    monkeypatch.setattr(executor, "PART_BYTES", 3 * session.executor.split.sample_bytes)
    x = np.zeros((samples, *session.get_inputs()[0].shape[1:]), np.float32)
    parts = session.executor.parts([x])
    assert sorted(stop - start for start, stop in parts) == sorted(sizes)
    assert [start for start, _ in parts[1:]] == [stop for _, stop in parts[:-1]]
