"""The registry: which function computes which operator in which opset version.

An operator is a plain function under the specification's own names::

    @op("LeakyRelu", since=(1, 6, 16))
    def leaky_relu(x: Array, *, alpha: float = 0.01) -> Array: ...

Positional parameters are the inputs (``= None`` for an optional one, ``*xs``
for variadic ones), keyword-only parameters are the attributes with their
defaults (no default: required). ``since`` lists the schema versions that the
function honours; other semantics are a second function with other versions.
A parameter ``context`` is no attribute: the plan passes a ``Context`` in it.
Attributes that are graphs arrive as ``Body``, which is called like a function.
The function returns an array, or a tuple where there are several outputs.
"""

from __future__ import annotations

import inspect
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from .graph import Value

Kernel = Callable[..., Any]
F = TypeVar("F", bound=Kernel)


class Context(NamedTuple):
    """What a kernel may know of its node beside inputs and attributes."""

    num_outputs: int = 1
    """How many outputs the node names; trailing absent ones are not counted."""
    wanted: tuple[bool, ...] = (True,)
    """For each of them, whether it has a name, and so may be read."""
    opset: int = 0


class Body(Protocol):
    """A subgraph as a control-flow kernel sees it: outer values are already captured."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    def __call__(self, *inputs: Any) -> list[Any]:
        """Run the subgraph and return its outputs in order."""
        ...


class Operator(NamedTuple):
    """A registered kernel, with its signature read once."""

    name: str
    domain: str
    since: tuple[int, ...]
    kernel: Kernel
    min_inputs: int
    max_inputs: int | None
    optional_inputs: frozenset[int]
    required_attributes: frozenset[str]
    attributes: Mapping[str, Any]
    takes_context: bool
    pure: bool

    @property
    def module(self) -> str:
        """The module that holds the kernel, for the table of operators."""
        return self.kernel.__module__


# (domain, name) → (first versions ascending, the operator that each begins)
_OPERATORS: dict[tuple[str, str], dict[int, Operator]] = {}

_OPS = f"{__package__}.ops."

DOMAIN_ALIASES = {"ai.onnx": ""}


def op(
    name: str, *, since: int | tuple[int, ...], domain: str = "", pure: bool = True
) -> Callable[[F], F]:
    """Register a function as the kernel of an operator.

    Parameters
    ----------
    name : the operator's name, as in the file.
    since : the opset version, or all versions, whose semantics the function has.
    domain : "" is the standard's own domain (``ai.onnx``).
    pure : False where equal inputs need not give equal outputs (random numbers),
        so that the node is never folded into a constant.
    """
    versions = (since,) if isinstance(since, int) else tuple(since)
    if not versions or any(version < 1 for version in versions):
        raise ValueError(f"{name}: since must name one version or more, each 1 or above")

    def register(kernel: F) -> F:
        if not kernel.__module__.startswith(_OPS):  # a user's own: ours are there before it
            _load(DOMAIN_ALIASES.get(domain, domain), name)
        operator = _read(kernel, name, DOMAIN_ALIASES.get(domain, domain), versions, pure)
        table = _OPERATORS.setdefault((operator.domain, name), {})
        for version in versions:
            if version in table:
                raise ValueError(f"{domain or 'ai.onnx'}.{name} of opset {version} is registered")
            table[version] = operator
        return kernel

    return register


def _read(
    kernel: Kernel, name: str, domain: str, versions: tuple[int, ...], pure: bool
) -> Operator:
    """Read the kernel's signature as the module's docstring describes."""
    minimum, maximum = 0, 0
    variadic, takes_context = False, False
    attributes: dict[str, Any] = {}
    required, optional = set(), set()
    for parameter in inspect.signature(kernel).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            variadic = True
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.name == "context":
                takes_context = True
            elif parameter.default is parameter.empty:
                required.add(parameter.name)
                attributes[parameter.name] = None
            else:
                attributes[parameter.name] = parameter.default
        elif parameter.kind is parameter.VAR_KEYWORD:
            raise ValueError(f"{name}: a kernel names its attributes, one keyword each")
        else:
            # Only "Array | None" can tell an optional input before a required one.
            if parameter.default is not parameter.empty or "None" in str(parameter.annotation):
                optional.add(maximum)
            maximum += 1
            if parameter.default is parameter.empty:
                minimum = maximum
    return Operator(
        name=name,
        domain=domain,
        since=versions,
        kernel=kernel,
        min_inputs=minimum,
        max_inputs=None if variadic else maximum,
        optional_inputs=frozenset(optional),
        required_attributes=frozenset(required),
        attributes=attributes,
        takes_context=takes_context,
        pure=pure,
    )


def find(domain: str, name: str, opset: int) -> tuple[int, Operator] | None:
    """The newest registered version not above ``opset`` and its operator, or None."""
    table = _load(domain, name)
    if not table:
        return None
    versions = sorted(table)
    position = bisect_right(versions, opset)
    if position == 0:
        return None
    version = versions[position - 1]
    return version, table[version]


def _load(domain: str, name: str) -> Mapping[int, Operator]:
    """The operator's versions; the module that holds it is imported when it is first asked for."""
    from . import ops

    ops.load(domain, name)
    return _OPERATORS.get((domain, name), {})


def operators() -> Iterator[tuple[str, str, int, Operator]]:
    """Every (domain, name, version, operator), sorted."""
    from . import ops

    ops.load_all()
    for (domain, name), table in sorted(_OPERATORS.items()):
        for version in sorted(table):
            yield domain, name, version, table[version]
