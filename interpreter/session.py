"""A loaded model that can be run: the calls that people know from onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .batching import find_split
from .errors import InputError
from .executor import Executor
from .fast.parallel import available_cores
from .graph import Model, Value
from .loading import Source, load
from .passes import optimise
from .plan import Observer, Plan, compile_graph
from .types import STRING, Array, Dtype, TensorType, describe, dtype_name

PRECISIONS = ("default", "strict", "fast")


@dataclass(frozen=True, slots=True)
class Options:
    """How a session was asked to run: see ``InferenceSession``."""

    optimize: bool
    threads: int | None
    precision: str


@dataclass(frozen=True, slots=True)
class NodeArg:
    """An input or output: ``name``, ``shape`` (None or a name for a free dimension) and ``type``
    (``tensor(float)``), as onnxruntime gives them."""

    name: str
    shape: list[int | str | None]
    type: str


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the file says about itself, under onnxruntime's names."""

    producer_name: str
    graph_name: str
    domain: str
    description: str
    graph_description: str
    version: int
    custom_metadata_map: dict[str, str]


class InferenceSession:
    """A model, loaded, checked and compiled. Immutable: threads may share it.

    Parameters
    ----------
    path_or_bytes : a path, the bytes of a file, or a ``ModelProto``.
    optimize : False runs the graph node by node as the file has it.
    threads : how many threads a run may use; by default the cores available.
    precision : which forms of a 3×3 convolution may be used. ``"strict"``: only
        the direct one. ``"default"``: Winograd's F(2×2) too, whose error is as small.
        ``"fast"``: F(4×4) too, whose error is a few times larger (some 1e-6 of
        the largest output).
    sess_options : its ``intra_op_num_threads``, where set, is ``threads``.
    providers, provider_options : accepted, and of no effect, so that code written
        for onnxruntime runs with the import swapped.

    Raises
    ------
    LoadError, ModelError, UnsupportedError : see ``scratch_onnx.interpreter.errors``.
    """

    def __init__(
        self,
        path_or_bytes: Source,
        sess_options: object = None,
        providers: Sequence[Any] | None = None,  # noqa: ARG002
        provider_options: Sequence[Any] | None = None,  # noqa: ARG002
        *,
        optimize: bool = True,
        threads: int | None = None,
        precision: str = "default",
    ) -> None:
        threads = threads or getattr(sess_options, "intra_op_num_threads", 0) or None
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be 1 or more, not {threads}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision}")
        self._setup(load(path_or_bytes), Options(optimize, threads, precision))

    def _setup(self, model: Model, options: Options) -> None:
        self.model = model
        self.options = options
        graph = model.graph
        if options.optimize:
            graph = optimise(graph, options.precision)
        self.plan: Plan = compile_graph(graph)
        self.executor = Executor(
            self.plan,
            find_split(graph) if options.optimize else None,
            options.threads or available_cores(),
        )
        self._names = frozenset(value.name for value in graph.inputs)
        self._defaults: Mapping[str, Array] = {
            value.name: graph.initializers[value.name]
            for value in graph.inputs
            if value.name in graph.initializers
        }

    def __getstate__(self) -> tuple[Model, Options]:
        return self.model, self.options

    def __setstate__(self, state: tuple[Model, Options]) -> None:
        self._setup(*state)

    def __repr__(self) -> str:
        def listed(values: Sequence[NodeArg]) -> str:
            return ", ".join(f"{value.name}: {value.type} {value.shape}" for value in values)

        return (
            f"InferenceSession({listed(self.get_inputs())} → {listed(self.get_outputs())}; "
            f"{len(self.plan.steps)} steps)"
        )

    def _repr_html_(self) -> str:
        from .inspection.html import session_table

        return session_table(self)

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that a run must be given."""
        return [_node_arg(v) for v in self.plan.inputs if v.name not in self._defaults]

    def get_overridable_initializers(self) -> list[NodeArg]:
        """The inputs that have a default in the file."""
        return [_node_arg(v) for v in self.plan.inputs if v.name in self._defaults]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, in order."""
        return [_node_arg(value) for value in self.plan.outputs]

    def get_modelmeta(self) -> ModelMetadata:
        """Producer, description and the file's own key-value pairs."""
        model = self.model
        return ModelMetadata(
            producer_name=model.producer_name,
            graph_name=model.graph.name,
            domain=model.domain,
            description=model.description,
            graph_description=model.graph_description,
            version=model.model_version,
            custom_metadata_map=dict(model.metadata),
        )

    def get_providers(self) -> list[str]:
        """What computes: NumPy, on the CPU."""
        return ["CPUExecutionProvider"]

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: object = None,  # noqa: ARG002
        *,
        observer: Observer | None = None,
    ) -> list[Any]:
        """Compute the outputs.

        Parameters
        ----------
        output_names : which outputs, in which order; None or empty for all.
        input_feed : an array for each input by name.
        run_options : accepted for onnxruntime's sake, without effect.
        observer : sees every step.

        Returns
        -------
        A list of arrays (lists for sequences, None for an empty optional), the
        caller's own: writeable, C-contiguous, sharing no memory with what was
        fed, with the model, or with each other.

        Raises
        ------
        InputError : a name, rank, dimension or dtype that the model does not take.
        RunError : a node that failed, named.
        """
        names = [value.name for value in self.plan.outputs]
        picked = range(len(names))
        if isinstance(output_names, str):
            raise InputError(f"output_names is a list of names, or None: not '{output_names}'")
        if output_names:
            unknown = [name for name in output_names if name not in names]
            if unknown:
                raise InputError(f"no output is called '{unknown[0]}'; there are: {_list(names)}")
            picked = [names.index(name) for name in output_names]  # type: ignore[assignment]
        values = self.prepare(input_feed)
        outputs = self.executor.run(values, observer)
        return _owned([outputs[index] for index in picked], _arrays(values))

    def prepare(self, feed: Mapping[str, Any]) -> list[Any]:
        """The plan's inputs in order, checked, defaults included; raises ``InputError``."""
        inputs = self.plan.inputs
        if not isinstance(feed, Mapping):
            raise InputError(
                f"what is fed is a dict from input names to arrays, not {describe(feed)}; "
                f"the model takes: {_list([v.name for v in inputs])}"
            )
        values = []
        for value in inputs:
            if value.name in feed:
                values.append(check_input(value, feed[value.name]))
            elif value.name in self._defaults:
                values.append(self._defaults[value.name])
            else:
                raise InputError(
                    f"input '{value.name}' is missing; the model takes: "
                    f"{_list([v.name for v in inputs])}"
                )
        if not feed.keys() <= self._names:
            known = [value.name for value in inputs]
            unknown = next(name for name in feed if name not in known)
            raise InputError(f"no input is called '{unknown}'; the model takes: {_list(known)}")
        return values


def check_input(value: Value, given: Any) -> Any:
    """The value as kernels take it, or ``InputError`` where it does not fit the input's type."""
    expected = value.type
    if not isinstance(expected, TensorType) or expected.sparse:
        return given
    if type(given) is not np.ndarray:
        given = _as_plain_array(value.name, given, expected.dtype)
    if given.dtype.kind in "USO" and expected.dtype == STRING:
        given = _strings(value.name, given)
    elif expected.dtype is not None and given.dtype != expected.dtype:
        if expected.dtype == STRING:
            raise InputError(f"input '{value.name}' wants strings and was given {given.dtype}")
        if given.dtype.newbyteorder("=") != expected.dtype:
            wanted = expected.dtype.name
            raise InputError(
                f"input '{value.name}' wants {wanted} ({dtype_name(expected.dtype)}) and was "
                f"given {given.dtype}: convert it with .astype('{wanted}') if that is meant"
            )
        given = given.astype(expected.dtype)
    shape = expected.shape
    if shape is not None:
        fits = len(shape) == given.ndim and all(
            not isinstance(dim, int) or dim == actual
            for dim, actual in zip(shape, given.shape, strict=True)
        )
        if not fits:
            wanted = _shape(shape)
            raise InputError(
                f"input '{value.name}' wants the shape {wanted} and was given {list(given.shape)}"
                + (": the rank differs" if len(shape) != given.ndim else "")
            )
    return given


def _as_plain_array(name: str, given: Any, dtype: Dtype | None) -> Array:
    """The array of a list or a number, of another library's tensor, or of a subclass, whose
    operators may mean something else (a matrix's ``*``)."""
    if given is None or isinstance(given, dict):
        raise InputError(f"input '{name}' wants a tensor and was given {describe(given)}")
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise InputError(f"input '{name}' was given a masked array: fill it with .filled(…) first")
    try:
        array = np.asarray(given)
        if dtype is None or array.dtype == dtype or hasattr(given, "dtype"):
            return array
        # Python's numbers have no dtype of their own: they become the model's.
        if array.dtype.kind in "US" and dtype != STRING:
            raise InputError(f"input '{name}' wants {dtype.name} and was given text")
        converted = np.asarray(given, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"input '{name}' cannot be made an array: {error}") from None
    if array.dtype.kind == "f" and _is_integral(dtype) and (converted != array).any():
        raise InputError(f"input '{name}' wants {dtype.name} and was given fractions")
    return converted


def _strings(name: str, given: Array) -> Array:
    """The array with its elements as str; bytes are UTF-8, as in a file."""
    if given.dtype.kind == "S":
        given = np.char.decode(given, "utf-8", "surrogateescape")
    given = given.astype(object)
    for item in given.flat:
        if not isinstance(item, str):
            raise InputError(f"input '{name}' wants strings and was given {type(item).__name__}")
    return given


def _is_integral(dtype: Dtype) -> bool:
    return dtype.kind in "iub" or dtype.name.lstrip("u").startswith("int")


def _arrays(values: Sequence[Any]) -> list[Array]:
    """The arrays among the values, those of sequences included."""
    found: list[Array] = []
    for value in values:
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, list):
            found += _arrays(value)
    return found


def _owned(outputs: Sequence[Any], taken: list[Array]) -> list[Any]:
    """The outputs, copied where they are read-only (constants), views with holes, or may share
    memory with what is ``taken``: the inputs, and the outputs before."""
    result = []
    for output in outputs:
        if isinstance(output, np.ndarray):
            flags = output.flags
            if not (flags.writeable and flags.c_contiguous) or any(
                np.may_share_memory(output, other) for other in taken
            ):
                output = output.copy(order="C")
            taken.append(output)
        elif isinstance(output, list):
            output = _owned(output, taken)
        result.append(output)
    return result


def _shape(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _node_arg(value: Value) -> NodeArg:
    shape = value.type.shape if isinstance(value.type, TensorType) else None
    return NodeArg(value.name, list(shape or ()), str(value.type))


def run(model: Source | InferenceSession, *inputs: Any, **named: Any) -> Any:
    """Load and run in one line: ``so.run("model.onnx", x)``.

    Inputs are given in the model's order, or by name. Returns the output, or
    the list of outputs where there are several.
    """
    session = model if isinstance(model, InferenceSession) else InferenceSession(model)
    if len(inputs) == 1 and isinstance(inputs[0], Mapping):
        if twice := inputs[0].keys() & named.keys():
            raise InputError(f"input '{min(twice)}' is given twice")
        named = {**inputs[0], **named}
        inputs = ()
    names = [value.name for value in session.get_inputs()]
    if len(inputs) > len(names):
        raise InputError(f"the model takes {len(names)} inputs and was given {len(inputs)}")
    feed = dict(zip(names, inputs, strict=False))
    if twice := feed.keys() & named.keys():
        raise InputError(f"input '{min(twice)}' is given twice, by its place and by its name")
    outputs = session.run(None, {**feed, **named})
    return outputs[0] if len(outputs) == 1 else outputs
