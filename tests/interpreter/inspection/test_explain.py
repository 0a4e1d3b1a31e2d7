"""Operators in words, and the list of them."""

from __future__ import annotations

import onnx
import pytest

from scratch_onnx.interpreter import op, registry
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.inspection.explain import explain


def test_conv():
    seen = explain("Conv")
    assert (seen.name, seen.domain) == ("Conv", "")
    assert seen.summary.startswith("The convolution operator consumes an input tensor")
    assert [parameter.name for parameter in seen.inputs] == ["X", "W", "B"]
    assert [parameter.default for parameter in seen.inputs] == ["required", "required", "optional"]
    attributes = {parameter.name: parameter for parameter in seen.attributes}
    assert (attributes["group"].type, attributes["group"].default) == ("int", "1")
    assert seen.versions == (1, 11, 22)
    assert "def conv(" in seen.source
    assert seen.place.endswith("ops.conv")


def test_an_opset_chooses_the_version():
    assert explain("Softmax", opset=12).version == 11
    assert explain("Softmax").version == 13
    with pytest.raises(InputError, match="Gelu is not in opset 12: it began with 20"):
        explain("Gelu", opset=12)


def test_every_operator_of_the_standard_and_of_ours_can_be_explained():
    schemas = {(s.domain, s.name) for s in onnx.defs.get_all_schemas() if not s.deprecated}
    ours = {(domain, name) for domain, name, _, _ in registry.operators()}
    for domain, name in schemas | ours:
        seen = explain(name, domain=domain)
        assert (seen.domain, seen.name) == (domain, name)
        assert seen.summary or seen.kernel


def test_a_name_that_is_none():
    with pytest.raises(InputError, match="no operator is called 'conv'; did you mean Conv"):
        explain("conv")
    with pytest.raises(InputError, match=r"no operator is called 'zzz'$"):
        explain("zzz")


def test_an_operator_of_ones_own(monkeypatch):
    monkeypatch.setattr(
        registry, "_OPERATORS", {k: dict(v) for k, v in registry._OPERATORS.items()}
    )

    @op("Twice", since=1, domain="com.example")
    def twice(x, *, times: int = 2):
        """y = times · x."""
        return x * times

    seen = explain("com.example.Twice")
    assert seen.kernel == "y = times · x."
    assert "def twice" in seen.source
    assert [(p.name, p.default) for p in seen.attributes] == [("times", "2")]
    assert (seen.versions, seen.supported) == ((), (1,))
