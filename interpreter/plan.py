"""A graph compiled to a list of steps over numbered slots, and the loop that runs it.

All that can be known before a run is decided here: which kernel, with which
attributes, reading which slots, and which values die at which step. A run then
reads, computes, writes and forgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from .checking import captures
from .errors import RunError, ScratchOnnxError
from .fast import FAST, prepare
from .graph import Graph, Node, Value
from .registry import Context
from .support import IGNORED_ATTRIBUTES, operator_of
from .types import STRING, describe

ABSENT = 0
"""The slot of an optional input that is left out: always None."""
UNUSED = 1
"""The slot of an output that nobody reads."""
FIRST_INPUT = 2
"""The slot of the first input; the others are behind it."""


class Observer(Protocol):
    """Sees every step of a run, those of subgraphs included: trace, profile and compare are
    observers, and nothing more."""

    def before(self, node: Node, inputs: Sequence[Any]) -> None:
        """Called before the node's kernel, with the values that it will read."""

    def after(self, node: Node, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Called after it, with the values that it wrote, in the order of the node's outputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One node, ready to run: ``call`` has its attributes bound."""

    node: Node
    call: Callable[..., Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    frees: tuple[int, ...]
    read: Callable[[list[Any]], Sequence[Any]]
    """Takes the inputs out of the slots."""


class Plan(NamedTuple):
    """Steps, and the slots of what goes in and out. Immutable; a run has slots of its own."""

    steps: tuple[Step, ...]
    constants: tuple[Any, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    input_slots: tuple[int, ...]
    output_slots: tuple[int, ...]
    captured: tuple[str, ...] = ()

    def execute(self, values: Sequence[Any], observer: Observer | None = None) -> list[Any]:
        """Compute the outputs.

        Parameters
        ----------
        values : one for each input in order, then one for each captured name.
        observer : sees each step where given.

        Raises ``RunError``, with the node named, where a kernel fails.
        """
        if len(values) != len(self.input_slots):
            raise ValueError(f"{len(self.input_slots)} values go in, and {len(values)} came")
        slots = list(self.constants)
        slots[FIRST_INPUT : FIRST_INPUT + len(values)] = values
        step: Step | None = None
        try:
            if observer is None:
                for step in self.steps:
                    result = step.call(*step.read(slots))
                    if type(result) is np.ndarray:
                        slots[step.outputs[0]] = result
                    else:
                        _store(slots, step, result)
                    for slot in step.frees:
                        slots[slot] = None
            else:
                for step in self.steps:
                    _observed(slots, step, observer)
        except ScratchOnnxError:
            raise
        except Exception as error:
            assert step is not None
            inputs = [slots[slot] for slot in step.inputs]
            raise RunError(failure(step.node, inputs, error)) from error
        return [slots[slot] for slot in self.output_slots]


def _store(slots: list[Any], step: Step, result: Any) -> None:
    if type(result) is not tuple:
        slots[step.outputs[0]] = as_array(result)
    else:
        # A kernel may compute trailing outputs that the node does not name.
        for slot, value in zip(step.outputs, result, strict=False):
            slots[slot] = as_array(value)


def _reader(slots: Sequence[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """What takes the values of some slots, as fast as Python can: a loop's body is run often."""
    if len(slots) > 1:
        return itemgetter(*slots)
    return itemgetter(slice(slots[0], slots[0] + 1) if slots else slice(0))


def _observed(slots: list[Any], step: Step, observer: Observer) -> None:
    inputs = [slots[slot] for slot in step.inputs]
    call = step.call
    each = getattr(call, "observed_nodes", None)
    if each is not None:  # several nodes in one step: they are seen, and it is not
        outputs = each(observer, *inputs)
    else:
        observer.before(step.node, inputs)
        if isinstance(call, ControlCall):
            result = call.observed(observer, *inputs)
        else:
            result = call(*inputs)
        count = len(step.outputs)
        outputs = result[:count] if type(result) is tuple else (result,)
        outputs = tuple(as_array(value) for value in outputs)
        observer.after(step.node, inputs, outputs)
    _store(slots, step, outputs)
    for slot in step.frees:
        slots[slot] = None


def failure(node: Node, inputs: Sequence[Any], error: Exception) -> str:
    """The sentence of a node that failed: which node, what came in, which rule broke."""
    given = ", ".join(
        f"{name or '(absent)'}: {describe(value)}"
        for name, value in zip(node.inputs, inputs, strict=False)
    )
    rule = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, (ValueError, TypeError)):
        rule = f"{type(error).__name__}: {rule}"
    return f"{node} failed on {given or 'no inputs'}: {rule}"


class BoundBody(NamedTuple):
    """A subgraph with the outer values that it captured: what a control-flow kernel calls."""

    plan: Plan
    captured: tuple[Any, ...]
    observer: Observer | None = None

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The subgraph's formal inputs."""
        return self.plan.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The subgraph's outputs."""
        return self.plan.outputs

    def __call__(self, *inputs: Any) -> list[Any]:
        """Run the subgraph once."""
        if len(inputs) != len(self.plan.inputs):
            raise ValueError(
                f"the subgraph takes {len(self.plan.inputs)} inputs and was given {len(inputs)}"
            )
        return self.plan.execute((*inputs, *self.captured), self.observer)


@dataclass(frozen=True, slots=True, eq=False)
class ControlCall:
    """The call of a node with subgraphs: its last inputs are what the subgraphs capture."""

    kernel: Callable[..., Any]
    bodies: Mapping[str, Plan]
    num_inputs: int
    attributes: Mapping[str, Any]

    def __call__(self, *values: Any) -> Any:
        return self.observed(None, *values)

    def observed(self, observer: Observer | None, *values: Any) -> Any:
        """The same, with an observer that sees the subgraphs' steps too."""
        inputs, outer = values[: self.num_inputs], values[self.num_inputs :]
        bound = {}
        for name, plan in self.bodies.items():
            count = len(plan.captured)
            bound[name] = BoundBody(plan, outer[:count], observer)
            outer = outer[count:]
        return self.kernel(*inputs, **self.attributes, **bound)


def compile_graph(graph: Graph, captured: Sequence[str] = ()) -> Plan:
    """Bind kernels and attributes, number the values, and find where each dies.

    ``captured`` are the outer names that a subgraph takes; they become inputs
    behind its own. Raises ``UnsupportedError`` for a node without a kernel.
    """
    constants: list[Any] = [None, None]
    slots: dict[str, int] = {}

    def slot_of(name: str, value: Any = None) -> int:
        slots[name] = len(constants)
        constants.append(value)
        return slots[name]

    inputs = [slot_of(value.name) for value in graph.inputs]
    inputs += [slot_of(name) for name in captured]
    for name, array in graph.initializers.items():
        if name not in slots:
            slot_of(name, array)
    kept = set(slots.values()) - set(inputs) | {ABSENT, UNUSED}
    drafts: list[Step] = []
    for node in graph.nodes:
        reads = [slots[name] if name else ABSENT for name in node.inputs]
        call, outer = _bind(node)
        reads += [slots[name] for name in outer]
        writes = [slot_of(name) if name else UNUSED for name in node.outputs]
        drafts.append(Step(node, call, tuple(reads), tuple(writes), (), _reader(reads)))
    output_slots = tuple(slots[value.name] for value in graph.outputs)
    return Plan(
        steps=_with_frees(drafts, kept | set(output_slots)),
        constants=tuple(constants),
        inputs=graph.inputs,
        outputs=graph.outputs,
        input_slots=tuple(inputs),
        output_slots=output_slots,
        captured=tuple(captured),
    )


def _with_frees(steps: Sequence[Step], kept: set[int]) -> tuple[Step, ...]:
    """Each step with the slots that no later step reads."""
    seen = set(kept)
    result: list[Step] = []
    for step in reversed(steps):
        dying = tuple(dict.fromkeys(s for s in (*step.inputs, *step.outputs) if s not in seen))
        seen.update(dying)
        result.append(replace(step, frees=dying))
    return tuple(reversed(result))


def _bind(node: Node) -> tuple[Callable[..., Any], list[str]]:
    """The node's kernel with its attributes, and the outer names that its subgraphs read."""
    if node.domain == FAST:
        return prepare(node), []
    operator = operator_of(node)
    attributes: dict[str, Any] = {}
    bodies: dict[str, Plan] = {}
    outer: list[str] = []
    for name, value in node.attributes.items():
        if name in IGNORED_ATTRIBUTES:
            continue
        if isinstance(value, Graph):
            names = captures(value)
            bodies[name] = compile_graph(value, names)
            outer += names
        else:
            attributes[name] = value
    if operator.takes_context:
        count = len(node.outputs)
        while count and not node.outputs[count - 1]:
            count -= 1
        wanted = tuple(bool(name) for name in node.outputs[:count])
        attributes["context"] = Context(count, wanted, node.opset)
    if bodies:
        return ControlCall(operator.kernel, bodies, len(node.inputs), attributes), outer
    return (partial(operator.kernel, **attributes) if attributes else operator.kernel), outer


def as_array(value: Any) -> Any:
    """The value as kernels and callers expect it: an array even where NumPy made a scalar."""
    if isinstance(value, str):
        return np.array(value, STRING)
    return np.asarray(value) if isinstance(value, np.generic) else value
