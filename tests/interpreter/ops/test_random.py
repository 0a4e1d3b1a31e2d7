"""No two implementations give the same numbers: these are held by moments, range and repetition."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto
from oracles import assert_same, node_model, run_ours

import scratch_onnx.interpreter as so

COUNT = 20_000
LIKE = np.zeros((100, 200), np.float32)


def draw(op_type: str, inputs: list[Any], opset: int, **attributes: Any) -> Any:
    model = node_model(op_type, inputs, opset=opset, **attributes)
    session = so.InferenceSession(model)
    feed = {f"x{index}": value for index, value in enumerate(inputs)}
    return session.run(None, feed)[0]


@pytest.mark.parametrize("opset", [1, 22])
@pytest.mark.parametrize("like", [False, True])
def test_normal(opset: int, like: bool) -> None:
    wanted: dict[str, Any] = {"mean": 3.0, "scale": 0.5}
    x = (
        draw("RandomNormalLike", [LIKE], opset, **wanted)
        if like
        else draw("RandomNormal", [], opset, shape=[100, 200], **wanted)
    )
    assert x.shape == (100, 200)
    assert x.dtype == np.float32
    # Five standard errors of the mean, of the deviation, and of the share within one deviation.
    assert abs(x.mean() - 3) < 5 * 0.5 / COUNT**0.5
    assert abs(x.std() - 0.5) < 5 * 0.5 / (2 * COUNT) ** 0.5
    assert abs((np.abs(x - 3) < 0.5).mean() - 0.6827) < 5 * (0.6827 * 0.3173 / COUNT) ** 0.5


@pytest.mark.parametrize("opset", [1, 22])
@pytest.mark.parametrize("like", [False, True])
def test_uniform(opset: int, like: bool) -> None:
    wanted: dict[str, Any] = {"low": -1.0, "high": 3.0}
    x = (
        draw("RandomUniformLike", [LIKE], opset, **wanted)
        if like
        else draw("RandomUniform", [], opset, shape=[100, 200], **wanted)
    )
    assert x.shape == (100, 200)
    assert x.min() >= -1
    assert x.max() < 3
    deviation = 4 / 12**0.5
    assert abs(x.mean() - 1) < 5 * deviation / COUNT**0.5
    counts = np.histogram(x, 10, (-1, 3))[0]
    assert np.abs(counts - COUNT / 10).max() < 5 * (COUNT * 0.1 * 0.9) ** 0.5


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (TensorProto.DOUBLE, np.float64),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    ],
)
def test_dtypes(number: int, dtype: Any) -> None:
    for op_type in ("RandomNormal", "RandomUniform"):
        x = draw(op_type, [], 22, shape=[3, 100], dtype=number)
        assert x.dtype == dtype
        assert x.shape == (3, 100)
    # The upper bound stays out even where numbers are few.
    low = draw("RandomUniform", [], 22, shape=[20_000], dtype=number, low=0.0, high=1.0)
    assert low.max() < 1
    if number != TensorProto.BFLOAT16:
        assert draw("RandomUniformLike", [LIKE], 1, dtype=number).dtype == dtype


@pytest.mark.parametrize("opset", [15, 22])
def test_bernoulli(opset: int) -> None:
    p = np.broadcast_to(np.float32([0, 0.2, 0.5, 1]), (5000, 4))
    x = draw("Bernoulli", [p], opset)
    assert x.dtype == np.float32
    assert set(np.unique(x)) == {0, 1}
    share = x.mean(0)
    assert (share[0], share[3]) == (0, 1)
    np.testing.assert_allclose(share[1:3], [0.2, 0.5], atol=5 * 0.5 / 5000**0.5)
    assert draw("Bernoulli", [p], opset, dtype=TensorProto.BOOL).dtype == np.bool_
    assert draw("Bernoulli", [p], opset, dtype=TensorProto.INT64).dtype == np.int64


@pytest.mark.parametrize("opset", [7, 22])
def test_multinomial(opset: int) -> None:
    logits = np.log(np.float32([[0.1, 0.2, 0.7], [8, 0, 8]])) + np.float32(100)
    x = draw("Multinomial", [logits], opset, sample_size=5000)
    assert x.dtype == np.int32
    assert x.shape == (2, 5000)
    shares = [(x == label).mean(1) for label in range(3)]
    expected = np.array([[0.1, 0.5], [0.2, 0], [0.7, 0.5]])
    np.testing.assert_allclose(shares, expected, atol=5 * 0.5 / 5000**0.5)
    assert not (x[1] == 1).any()
    many = draw("Multinomial", [logits], opset, dtype=TensorProto.INT64)
    assert many.dtype == np.int64
    assert many.shape == (2, 1)
    assert draw("Multinomial", [logits[:0]], opset).shape == (0, 1)


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("RandomNormal", [], {"shape": [50]}),
    ("RandomUniform", [], {"shape": [50]}),
    ("RandomNormalLike", [LIKE], {}),
    ("RandomUniformLike", [LIKE], {}),
    ("Bernoulli", [LIKE + 0.5], {}),
    ("Multinomial", [LIKE], {"sample_size": 3}),
]


@pytest.mark.parametrize(("op_type", "inputs", "attributes"), CASES)
def test_a_seed_repeats(op_type: str, inputs: list[Any], attributes: dict[str, Any]) -> None:
    model = node_model(op_type, inputs, opset=22, seed=1.5, **attributes)
    session = so.InferenceSession(model)
    feed = {f"x{index}": value for index, value in enumerate(inputs)}
    first = session.run(None, feed)
    assert_same(session.run(None, feed), first)
    assert_same(run_ours(op_type, inputs, opset=22, seed=1.5, **attributes), first)
    other = run_ours(op_type, inputs, opset=22, seed=1.25, **attributes)
    assert (other[0] != first[0]).any()


@pytest.mark.parametrize(("op_type", "inputs", "attributes"), CASES)
def test_without_a_seed_runs_differ(
    op_type: str, inputs: list[Any], attributes: dict[str, Any]
) -> None:
    # A node that draws is never folded into a constant.
    session = so.InferenceSession(node_model(op_type, inputs, opset=22, **attributes))
    feed = {f"x{index}": value for index, value in enumerate(inputs)}
    assert (session.run(None, feed)[0] != session.run(None, feed)[0]).any()
