"""From the arguments of a command to what a session is fed, whole or batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from scratch_onnx.files import Array, read_npy, read_npz
from scratch_onnx.interpreter import InferenceSession
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.graph import Value
from scratch_onnx.interpreter.session import check_input
from scratch_onnx.interpreter.types import TensorType, dtype_name
from scratch_onnx.texts import encode_texts


def read_inputs(session: InferenceSession, arguments: Sequence[str]) -> dict[str, Array]:
    """The arrays by input name.

    An argument is ``x.npy``, ``-`` (a .npy on standard input), ``name=x.npy``,
    or an ``.npz`` whose keys are input names. Unnamed ones go to the inputs
    that are left, in the model's order.
    """
    names = [value.name for value in session.plan.inputs]
    required = [value.name for value in session.get_inputs()]
    feed: dict[str, Array] = {}
    unnamed = []
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if equals and name not in names and not Path(argument).exists():
            raise InputError(f"no input is called '{name}'; the model takes: {_listed(names)}")
        if equals and name in names:
            _add(feed, name, read_npy(path), names)
        elif argument.endswith(".npz"):
            for key, array in read_npz(argument).items():
                _add(feed, key, array, names)
        else:
            unnamed.append(argument)
    if unnamed.count("-") > 1:
        raise InputError("standard input can be read once only: '-' was given twice")
    left = [name for name in required if name not in feed]
    if len(unnamed) > len(left):
        raise InputError(
            f"{len(unnamed)} unnamed inputs were given, and {len(left)} are left to fill; "
            f"the model takes: {_listed(names)}"
        )
    for name, argument in zip(left, unnamed, strict=False):
        feed[name] = read_npy(argument)
    missing = [name for name in required if name not in feed]
    if missing:
        raise InputError(
            f"input {_listed(missing)} is missing; the model takes: {_described(session)}"
        )
    return feed


def _add(feed: dict[str, Array], name: str, array: Array, names: Sequence[str]) -> None:
    if name not in names:
        raise InputError(f"no input is called '{name}'; the model takes: {_listed(names)}")
    if name in feed:
        raise InputError(f"input '{name}' is given twice")
    feed[name] = array


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def _described(session: InferenceSession) -> str:
    return ", ".join(f"{v.name}: {v.type} {v.shape}" for v in session.get_inputs()) or "none"


def check_types(session: InferenceSession, feed: Mapping[str, Array], cast: bool) -> None:
    """Raise ``InputError`` for a wrong dtype (and say that ``--cast`` converts it), and for an
    input that is no tensor, before anything is computed."""
    for value in session.plan.inputs:
        if value.name not in feed:
            continue
        if not isinstance(value.type, TensorType) or value.type.dtype is None:
            raise InputError(f"input '{value.name}' is a {value.type}, which no file can hold")
        given, wanted = feed[value.name].dtype, value.type.dtype
        text = given.kind in "US"
        if _stored_as(given, wanted) or (text and wanted.hasobject):
            continue
        hint = "" if text or wanted.hasobject else "; add --cast to convert it"
        if hint and cast:
            continue
        raise InputError(f"input '{value.name}' wants {_title(wanted)} and was given {given}{hint}")


def _title(dtype: np.dtype[Any]) -> str:
    return "strings" if dtype.hasobject else f"{dtype.name} ({dtype_name(dtype)})"


def _stored_as(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether a .npy of dtype ``given`` is how NumPy stores ``wanted``: .npy has no name for
    bfloat16 and its kin and stores them as raw bytes, and it keeps the writer's byte order."""
    if given.newbyteorder("=") == wanted:
        return True
    return given.kind == "V" == wanted.kind and given.itemsize == wanted.itemsize


def prepare(value: Value, array: Array, cast: bool) -> Any:
    """The array, or a slice of it, as the session takes it; ``--cast`` never makes a wrong number:
    what does not survive the conversion is refused."""
    assert isinstance(value.type, TensorType)
    wanted = value.type.dtype
    if wanted is None or array.dtype == wanted:
        return array
    if array.dtype.kind == "V" and _stored_as(array.dtype, wanted):
        return array.view(wanted)
    if not cast or array.dtype.kind in "US" or wanted.hasobject:
        return array
    with np.errstate(all="ignore"):
        converted = array.astype(wanted)
        if wanted.kind in "iub":
            kept = np.array_equal(converted.astype(array.dtype), array)
        elif array.dtype.kind == "c" and wanted.kind != "c":
            kept = not array.imag.any()
        else:
            kept = bool((np.isfinite(converted) | ~np.isfinite(array)).all())
    if not kept:
        raise InputError(
            f"input '{value.name}': some of its {array.dtype} values do not fit into {wanted.name}"
        )
    return converted


@dataclass(frozen=True, eq=False)
class Batches:
    """The feeds of a run: one with all rows, or one for every ``size`` rows.

    ``rows`` is the number of rows of all batches together, None for one feed
    that is not cut.
    """

    session: InferenceSession
    feed: Mapping[str, Array]
    cast: bool
    size: int | None = None
    streamed: frozenset[str] = frozenset()
    rows: int | None = None

    @staticmethod
    def of(
        session: InferenceSession, feed: Mapping[str, Array], cast: bool, size: int | None
    ) -> Batches:
        """Check the feed, and find which inputs are cut into batches."""
        check_types(session, feed, cast)
        if size is None:
            return Batches(session, feed, cast)
        counts: dict[str, int] = {}
        fixed: list[Value] = []
        for value in session.plan.inputs:
            if value.name not in feed:
                continue
            assert isinstance(value.type, TensorType)
            shape, array = value.type.shape, feed[value.name]
            if shape:  # of the whole file, where the sentence is clearer than of a batch
                first = None if isinstance(shape[0], int) else shape[0]
                check_input(Value(value.name, TensorType(None, (first, *shape[1:]))), array)
            if array.ndim and (shape is None or (shape and not isinstance(shape[0], int))):
                counts[value.name] = array.shape[0]
            elif array.ndim and shape and shape[0] == size:
                counts[value.name] = array.shape[0]
                fixed.append(value)
        if not counts:
            raise InputError(
                "--batch-size: no input's first dimension is free, so there is nothing to cut"
            )
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
            raise InputError(f"the inputs have different numbers of rows: {listed}")
        rows = next(iter(counts.values()))
        if fixed and rows % size:
            raise InputError(
                f"input '{fixed[0].name}' takes {size} rows at a time by its shape, and {rows} "
                f"rows are no multiple of it"
            )
        return Batches(session, feed, cast, size, frozenset(counts), rows)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Pairs of (how many rows, the feed)."""
        if self.size is None or self.rows is None:
            yield 0, self._cut(slice(None))
            return
        for start in range(0, max(self.rows, 1), self.size):
            count = min(self.size, self.rows - start)
            yield count, self._cut(slice(start, start + count))

    def _cut(self, rows: slice) -> dict[str, Any]:
        cut = {}
        for value in self.session.plan.inputs:
            if value.name in self.feed:
                array = self.feed[value.name]
                part = array[rows] if value.name in self.streamed else array
                cut[value.name] = check_input(value, prepare(value, part, self.cast))
        return cut

    def check_rows(self, names: Sequence[str], outputs: Sequence[Any], count: int) -> None:
        """Raise ``InputError`` where an output of a batch does not have the batch's rows."""
        if self.rows is None:
            return
        for name, output in zip(names, outputs, strict=True):
            if not isinstance(output, np.ndarray) or not output.ndim or output.shape[0] != count:
                form = list(output.shape) if isinstance(output, np.ndarray) else "no tensor"
                raise InputError(
                    f"output '{name}' has the shape {form} for a batch of {count} rows: it does "
                    f"not grow with the batch; run without --batch-size"
                )


def one_feed(
    session: InferenceSession,
    model: str,
    arguments: Sequence[str],
    texts: Sequence[str],
    cast: bool,
) -> dict[str, Any]:
    """The feed of a command that runs once: of files, or of sentences."""
    if texts and arguments:
        raise click.UsageError("give INPUT or --text, not both")
    feed = encode_texts(session, model, texts) if texts else read_inputs(session, arguments)
    ((_, fed),) = Batches.of(session, feed, cast, None)
    return fed
