"""Every version of every operator of the standard has its place, and its kernel takes what the
standard says that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.defs import OpSchema

from scratch_onnx.interpreter import ops, registry, support_table
from scratch_onnx.interpreter.ops.__main__ import index
from scratch_onnx.interpreter.support import IGNORED_ATTRIBUTES
from scratch_onnx.interpreter.support_table import Support, support_of

NOT_SUPPORTED: dict[tuple[str, str, int], str] = {}
"""What is refused when a model is loaded, and why."""

# onnxruntime put it into the standard's domain, where files have it; the standard never did.
BEYOND_THE_STANDARD = {("", "SimplifiedLayerNormalization", 1)}

SCHEMAS: list[OpSchema] = sorted(
    onnx.defs.get_all_schemas_with_history(), key=lambda s: (s.domain, s.name, s.since_version)
)
CURRENT = [schema for schema in SCHEMAS if not schema.deprecated]
WITH_KERNEL = [schema for schema in SCHEMAS if support_of(schema) is Support.KERNEL]


def title(schema: OpSchema) -> str:
    return f"{schema.domain or 'ai.onnx'}.{schema.name}-{schema.since_version}"


@pytest.mark.parametrize("schema", CURRENT, ids=title)
def test_every_version_is_placed(schema: OpSchema) -> None:
    key = schema.domain, schema.name, schema.since_version
    if key in NOT_SUPPORTED:
        assert support_of(schema) is Support.NONE, "it is supported now: take it off the list"
    else:
        assert support_of(schema) is not Support.NONE


def test_no_kernel_claims_a_version_that_does_not_exist() -> None:
    known = {(schema.domain, schema.name, schema.since_version) for schema in SCHEMAS}
    domains = {schema.domain for schema in SCHEMAS}
    claimed = {
        (domain, name, version)
        for domain, name, version, _ in registry.operators()
        if domain in domains
    }
    assert claimed - known == BEYOND_THE_STANDARD


@pytest.mark.parametrize("schema", WITH_KERNEL, ids=title)
def test_a_kernel_takes_what_the_schema_says(schema: OpSchema) -> None:
    found = registry.find(schema.domain, schema.name, schema.since_version)
    assert found is not None
    operator = found[1]
    attributes = {
        name: attribute
        for name, attribute in schema.attributes.items()
        if name not in IGNORED_ATTRIBUTES
    }
    assert sorted(attributes.keys() - operator.attributes.keys()) == []
    required = {name for name, attribute in attributes.items() if attribute.required}
    assert sorted(operator.required_attributes - required) == []
    for name, attribute in attributes.items():
        if attribute.default_value.name:
            expected = onnx.helper.get_attribute_value(attribute.default_value)
            assert same(operator.attributes[name], expected), f"the default of {name}"
    assert operator.min_inputs <= schema.min_input
    assert operator.max_inputs is None or operator.max_inputs >= min(schema.max_input, 1000)


def same(ours: Any, standard: Any) -> bool:
    """Whether a default is the standard's, whose floats are float32."""
    if isinstance(standard, bytes):
        return bool(ours == standard.decode().replace("foward", "forward"))  # GRU-1 misspells it
    if isinstance(standard, float):
        return bool(np.float32(ours) == np.float32(standard))
    if isinstance(standard, list):
        return len(ours) == len(standard) and all(map(same, ours, standard))
    return bool(ours == standard)


def test_what_a_body_is_made_of_is_supported() -> None:
    for schema in CURRENT:
        # A body that depends on its inputs is left to the backend suite, which runs it.
        if support_of(schema) is Support.BODY and schema.has_function:
            for inner in parts_of(schema):
                assert support_of(inner) is not Support.NONE, f"{title(inner)} of {title(schema)}"


def parts_of(schema: Any) -> Iterator[OpSchema]:
    """The operators of the standard's body of an operator."""
    body = schema.get_function_with_opset_version(schema.since_version) or (
        schema.function_body.SerializeToString()
    )
    function = onnx.FunctionProto.FromString(body)
    opsets = {entry.domain: entry.version for entry in function.opset_import}
    for node in function.node:
        yield onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain)


def test_the_committed_table_is_the_registrys() -> None:
    committed = Path(__file__).parents[2] / "docs" / "operators.md"
    assert committed.read_text() == "\n".join(support_table.markdown()) + "\n", (
        "write it anew: python -m scratch_onnx.interpreter.support_table > docs/operators.md"
    )


def test_the_index_of_operators_is_up_to_date() -> None:
    from scratch_onnx.interpreter.ops.__main__ import index
    from scratch_onnx.interpreter.ops._index import MODULES

    made: dict[str, object] = {}
    exec(index(), made)
    assert made["MODULES"] == MODULES, "run: python -m scratch_onnx.interpreter.ops"


def test_the_committed_index_is_the_registrys() -> None:
    committed = Path(ops.__file__).with_name("_index.py")
    assert committed.read_text() == index(), "write it anew: python -m scratch_onnx.interpreter.ops"
