from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from drawing import arrays, fill
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, run_ours
from rounded import check_rounded
from typed import dtypes

from scratch_onnx.interpreter.ops import loss as kernels

VERSIONS = {"NegativeLogLikelihoodLoss": [12, 13, 22], "SoftmaxCrossEntropyLoss": [12, 13]}


@given(st.data())
@pytest.mark.parametrize("op_type", list(VERSIONS))
def test_against_onnxruntime(op_type: str, data: Any) -> None:
    opset = data.draw(st.sampled_from(VERSIONS[op_type]))
    dtype = data.draw(st.sampled_from(dtypes(op_type, opset)))
    classes = data.draw(st.integers(1, 4))
    lead, *rest = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    scores = data.draw(arrays((lead, classes, *rest), (dtype,)))
    ignored = data.draw(st.sampled_from([None, 0, -1]))
    values = st.integers(-1 if ignored == -1 else 0, classes - 1)
    target = data.draw(st.lists(values, min_size=lead, max_size=lead))
    index = np.array(target, data.draw(st.sampled_from([np.int32, np.int64])))
    index = np.broadcast_to(index.reshape(-1, *[1] * len(rest)), (lead, *rest)).copy()
    weight = None
    if data.draw(st.booleans()):
        weight = np.abs(data.draw(arrays((classes,), (dtype,)))) + dtype.type(0.5)
    reduction = data.draw(st.sampled_from(["none", "sum", "mean"]))
    attributes = {"reduction": reduction}
    if ignored is not None:
        attributes["ignore_index"] = ignored
        if (index == ignored).all() and reduction == "mean":
            return  # 0 / 0, worked by hand below
    outputs = data.draw(st.integers(1, 2)) if op_type == "SoftmaxCrossEntropyLoss" else 1
    check_rounded(op_type, [scores, index, weight], opset=opset, outputs=outputs, **attributes)


LOG_PROB = np.array([[-1, -2, -3], [-4, -5, -6]], np.float32)
TARGET, WEIGHT = np.array([2, 0]), np.array([0.5, 7, 2], np.float32)


@pytest.mark.parametrize(
    ("weight", "attributes", "expected"),
    [
        (None, {"reduction": "none"}, [3, 4]),
        (None, {"reduction": "sum"}, 7),
        (None, {}, 3.5),
        (WEIGHT, {"reduction": "none"}, [6, 2]),
        (WEIGHT, {}, 8 / 2.5),
        (WEIGHT, {"ignore_index": 2, "reduction": "none"}, [0, 2]),
        (WEIGHT, {"ignore_index": 2}, 4),
    ],
)
def test_by_hand(weight: Any, attributes: dict[str, Any], expected: Any) -> None:
    inputs = [LOG_PROB, TARGET, weight]
    (y,) = run_ours("NegativeLogLikelihoodLoss", inputs, opset=22, **attributes)
    assert_same([y], [np.array(expected, np.float32)])


def test_cross_entropy_by_hand() -> None:
    scores = np.log(np.array([[1, 3], [4, 1]]))
    loss, log_prob = run_ours(
        "SoftmaxCrossEntropyLoss", [scores, np.array([1, 0])], opset=13, outputs=2, reduction="sum"
    )
    np.testing.assert_allclose(loss, -math.log(3 / 4) - math.log(4 / 5), rtol=1e-14)
    np.testing.assert_allclose(np.exp(log_prob), [[1 / 4, 3 / 4], [4 / 5, 1 / 5]], rtol=1e-14)


def test_all_ignored_is_nan_in_the_mean_and_0_in_the_sum() -> None:
    def run(reduction: str) -> Any:
        return run_ours(
            "NegativeLogLikelihoodLoss",
            [LOG_PROB, np.array([-1, -1])],
            opset=13,
            ignore_index=-1,
            reduction=reduction,
        )[0]

    assert math.isnan(run("mean"))
    assert run("sum") == 0


def test_what_is_ignored_may_be_infinite() -> None:
    scores = np.array([[-np.inf, 0], [-1, -2]], np.float32)
    (y,) = run_ours(
        "NegativeLogLikelihoodLoss", [scores, np.array([0, 1])], opset=13, ignore_index=0
    )
    assert y == 2


def test_refusals() -> None:
    loss = kernels.negative_log_likelihood_loss
    with pytest.raises(ValueError, match=r"a target is outside \[0, 3\)"):
        loss(LOG_PROB, np.array([3, 0]))
    with pytest.raises(ValueError, match=r"targets \[3\] must have the shape"):
        loss(LOG_PROB, np.array([0, 0, 0]))
    with pytest.raises(ValueError, match="reduction must be none, sum or mean"):
        loss(fill((2, 3)), TARGET, reduction="max")
