"""What an operator does: the standard's words, and our formula and source."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import onnx

from .. import registry
from ..errors import InputError

__all__ = ["Explanation", "Parameter", "explain"]

_SUMMARY = 700
"""How many characters of the standard's text are given."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input, output or attribute; ``default`` is "required", "optional", or a value."""

    name: str
    type: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """An operator in one of its versions.

    ``versions`` are all of the standard's, ``supported`` those that have a
    kernel; ``kernel`` is the kernel's docstring, ``source`` its text, and
    ``place`` its module. They are empty where there is no kernel.
    """

    name: str
    domain: str
    version: int
    summary: str
    url: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    attributes: tuple[Parameter, ...]
    versions: tuple[int, ...]
    supported: tuple[int, ...]
    kernel: str
    source: str
    place: str

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON's types."""
        return asdict(self)


def explain(name: str, *, domain: str | None = None, opset: int | None = None) -> Explanation:
    """Explain an operator.

    Parameters
    ----------
    name : ``Conv``, or with its domain ``com.microsoft.FusedConv``.
    domain : "" is the standard's own; by default what the name says.
    opset : the version that this opset has; by default the newest.

    Raises
    ------
    InputError : there is no such operator.
    """
    if domain is None:
        domain, _, name = name.rpartition(".")
    domain = registry.DOMAIN_ALIASES.get(domain, domain)
    standard, kernels = _standard().get((domain, name), []), _kernels().get((domain, name), [])
    if not standard and not kernels:
        raise InputError(_unknown(name))
    versions = [v for v in (standard or kernels) if opset is None or v <= opset]
    if not versions:
        began = (standard or kernels)[0]
        raise InputError(f"{name} is not in opset {opset}: it began with {began}")
    version = versions[-1]
    found = registry.find(domain, name, version)
    kernel = found[1].kernel if found is not None else None
    schema = _schema(domain, name, version)
    home = "onnx.ai/onnx/operators"
    page = f"onnx_{domain.replace('.', '')}_{name}" if domain else f"onnx__{name}"
    return Explanation(
        name=name,
        domain=domain,
        version=version,
        summary="" if schema is None else _shortened(schema.doc or ""),
        url="" if schema is None else f"https://{home}/{page}.html",
        inputs=() if schema is None else tuple(_formal(p) for p in schema.inputs),
        outputs=() if schema is None else tuple(_formal(p) for p in schema.outputs),
        attributes=_attributes(schema, found[1] if found else None),
        versions=tuple(standard),
        supported=tuple(kernels),
        kernel=inspect.cleandoc(kernel.__doc__ or "") if kernel else "",
        source=_source(kernel) if kernel else "",
        place=kernel.__module__ if kernel else "",
    )


def _schema(domain: str, name: str, version: int) -> Any:
    try:
        return onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None


def _source(kernel: Any) -> str:
    try:
        return inspect.getsource(inspect.unwrap(kernel)).rstrip()
    except (OSError, TypeError):
        return ""


def _shortened(text: str) -> str:
    """The first paragraphs of a description, without its HTML."""
    text = re.sub(r"<[^>]+>", "", inspect.cleandoc(text))
    kept: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if kept and sum(map(len, kept)) + len(paragraph) > _SUMMARY:
            kept.append("…")
            break
        kept.append(paragraph.rstrip())
    return "\n\n".join(kept)


def _sentence(text: str) -> str:
    """The first sentence of a description."""
    line = " ".join(re.sub(r"<[^>]+>", "", text).split())
    return re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0]


def _formal(parameter: Any) -> Parameter:
    option = str(parameter.option).rpartition(".")[2].lower()
    default = {"single": "required"}.get(option, option)
    return Parameter(
        parameter.name, parameter.type_str, default, _sentence(parameter.description or "")
    )


def _attributes(schema: Any, operator: registry.Operator | None) -> tuple[Parameter, ...]:
    if schema is not None:
        return tuple(_attribute(a) for _, a in sorted(schema.attributes.items()))
    if operator is None:
        return ()
    return tuple(
        Parameter(
            name, "", "required" if name in operator.required_attributes else repr(default), ""
        )
        for name, default in operator.attributes.items()
    )


def _attribute(attribute: Any) -> Parameter:
    default = "required" if attribute.required else "optional"
    if attribute.default_value.name:
        value = onnx.helper.get_attribute_value(attribute.default_value)
        default = value.decode() if isinstance(value, bytes) else f"{value}"
        if isinstance(value, float):
            default = f"{value:.6g}"
    kind = str(attribute.type).rpartition(".")[2].lower()
    return Parameter(attribute.name, kind, default, _sentence(attribute.description or ""))


@cache
def _standard() -> dict[tuple[str, str], list[int]]:
    """The versions of the standard's operators, ascending, but for deprecated ones."""
    found: dict[tuple[str, str], list[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.deprecated:
            found.setdefault((schema.domain, schema.name), []).append(schema.since_version)
    return {key: sorted(versions) for key, versions in found.items()}


def _kernels() -> dict[tuple[str, str], list[int]]:
    """The versions that have a kernel, ascending."""
    found: dict[tuple[str, str], list[int]] = {}
    for domain, name, version, _ in registry.operators():
        found.setdefault((domain, name), []).append(version)
    return found


def _unknown(name: str) -> str:
    names = {known for _, known in _standard().keys() | _kernels().keys()}
    near = sorted((n for n in names if name.lower() in n.lower()), key=lambda n: (len(n), n))[:5]
    return f"no operator is called '{name}'" + (
        f"; did you mean {', '.join(near)}?" if near else ""
    )
