"""Which operator runs in which version, as a table: what docs/operators.md is made of.

``python -m scratch_onnx.interpreter.support_table > docs/operators.md``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import onnx

from . import registry
from .gradients import TRAINING
from .gradients.expand import differentiable


class Support(Enum):
    """How a version of an operator is run."""

    KERNEL = "kernel"
    BODY = "body"
    NONE = "not supported"


@dataclass(frozen=True, slots=True)
class Row:
    """One operator: how each of its versions is run, and the module of its newest kernel."""

    domain: str
    name: str
    versions: dict[int, Support] = field(default_factory=dict)
    module: str = ""

    def of(self, support: Support) -> list[int]:
        """The versions that are run in this way, ascending."""
        return sorted(version for version, how in self.versions.items() if how is support)


def support_of(schema: Any) -> Support:
    """How a version of the standard is run: by a kernel for just this version, else by the body
    that the specification gives. (Any: onnx's stubs lack half of ``OpSchema``.)"""
    found = registry.find(schema.domain, schema.name, schema.since_version)
    if found is not None and found[0] == schema.since_version:
        return Support.KERNEL
    if (schema.domain, schema.name) == (TRAINING, "Gradient"):
        return Support.BODY  # written out when a model is loaded, as far as operators allow
    if schema.has_function or schema.has_context_dependent_function:
        return Support.BODY
    return Support.NONE


def rows() -> list[Row]:
    """All operators of the standard, and those registered beside it, by domain and name.

    A version that the standard itself has deprecated is left out, unless it has a kernel.
    """
    table: dict[tuple[str, str], Row] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        support = support_of(schema)
        if schema.deprecated and support is not Support.KERNEL:
            continue
        key = schema.domain, schema.name
        row = table.setdefault(key, Row(*key))
        row.versions[schema.since_version] = support
    package = __package__ or ""
    for domain, name, version, operator in registry.operators():
        if not operator.module.startswith(package):
            continue  # one that a user registered
        row = table.setdefault((domain, name), Row(domain, name))
        row.versions.setdefault(version, Support.KERNEL)
        table[domain, name] = Row(domain, name, row.versions, operator.module)
    return [table[key] for key in sorted(table)]


def _path(module: str) -> str:
    """Where a module lies in the repository, with a link from docs/."""
    if not module:
        return ""
    path = PurePosixPath(*module.split(".")[1:]).with_suffix(".py")
    return f"[{path.name}](../{path})"


def _numbers(versions: list[int]) -> str:
    return ", ".join(map(str, versions))


def markdown() -> Iterator[str]:
    """The lines of docs/operators.md."""
    everything = rows()
    total = sum(len(row.versions) for row in everything)
    missing = sum(len(row.of(Support.NONE)) for row in everything)
    yield "# Operators"
    yield ""
    yield "<!-- written by `python -m scratch_onnx.interpreter.support_table`: do not edit -->"
    yield ""
    yield (
        f"{len(everything)} operators in {total} versions, of which {total - missing} run. "
        f"A version is the opset in which an operator, or a change of it, first appeared "
        f"(onnx {onnx.__version__}, opset {onnx.defs.onnx_opset_version()})."
    )
    yield ""
    yield "- *kernel*: a NumPy function of this project has just the semantics of that version;"
    yield "- *body*: it runs as the nodes that the specification defines it by (Gradient: as those"
    yield f"  of the derivative, which may go through {', '.join(sorted(differentiable()))});"
    yield "- *not supported*: a model that has it is refused when it is loaded."
    domain = None
    for row in everything:
        if row.domain != domain:
            domain = row.domain
            yield ""
            yield f"## {domain or 'ai.onnx'}"
            yield ""
            yield "| operator | kernel | body | not supported | where |"
            yield "| --- | --- | --- | --- | --- |"
        yield (
            f"| {row.name} | {_numbers(row.of(Support.KERNEL))} | {_numbers(row.of(Support.BODY))} "
            f"| {_numbers(row.of(Support.NONE))} | {_path(row.module)} |"
        )


if __name__ == "__main__":
    print("\n".join(markdown()))
