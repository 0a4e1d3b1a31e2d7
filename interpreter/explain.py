"""What an operator does: the standard's words and our source; and the list of all operators."""

from __future__ import annotations

import inspect
import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import onnx

from . import registry
from .errors import InputError

__all__ = ["Explanation", "OperatorInfo", "Parameter", "explain", "operators"]

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

    ``versions`` are all of the standard's, ``supported`` those that a kernel
    has; ``kernel`` is the kernel's docstring, ``source`` its text, and
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
    known = {(one.domain, one.name): one for one in operators()}
    if (domain, name) not in known:
        near = {o for _, o in known if name.lower() in o.lower()}
        shortest = sorted(near, key=lambda o: (len(o), o))[:5]
        hint = f"; did you mean {', '.join(shortest)}?" if near else ""
        raise InputError(f"no operator is called '{name}'{hint}")
    info = known[domain, name]
    versions = [v for v in (info.versions or info.supported) if opset is None or v <= opset]
    if not versions:
        raise InputError(f"{name} is not in opset {opset}: it began with {info.versions[0]}")
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
        versions=info.versions,
        supported=info.supported,
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


@dataclass(frozen=True, slots=True)
class OperatorInfo:
    """An operator that the standard or this package has.

    ``support`` is "kernel", "expanded" (run by the definition that the standard
    gives of it), or "" for none; ``supported`` are the versions with a kernel.
    """

    name: str
    domain: str
    versions: tuple[int, ...]
    supported: tuple[int, ...]
    support: str
    place: str


@cache
def _standard() -> dict[tuple[str, str], list[Any]]:
    """The standard's schemas, all versions of each operator."""
    standard: dict[tuple[str, str], list[Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.deprecated:
            standard.setdefault((schema.domain, schema.name), []).append(schema)
    return standard


def operators() -> list[OperatorInfo]:
    """Every operator, by domain and name; deprecated versions are left out."""
    standard = _standard()
    ours: dict[tuple[str, str], dict[int, registry.Operator]] = {}
    for domain, name, version, operator in registry.operators():
        ours.setdefault((domain, name), {})[version] = operator
    result = []
    for domain, name in sorted(standard.keys() | ours.keys()):
        schemas = standard.get((domain, name), [])
        kernels = ours.get((domain, name), {})
        support = "kernel" if kernels else ""
        if not kernels and any(s.has_function or s.has_context_dependent_function for s in schemas):
            support = "expanded"
        result.append(
            OperatorInfo(
                name=name,
                domain=domain,
                versions=tuple(sorted(schema.since_version for schema in schemas)),
                supported=tuple(sorted(kernels)),
                support=support,
                place=next(iter(kernels.values())).module if kernels else "",
            )
        )
    return result
