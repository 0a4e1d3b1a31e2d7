"""Outputs against the ones that a file has: how many differ, by how much, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratch_onnx.files import Array, read_npy, read_npz
from scratch_onnx.interpreter.errors import InputError
from scratch_onnx.interpreter.inspection.difference import distances, is_exact


@dataclass
class Difference:
    """How one output differs so far. ``where`` is the index of the largest difference."""

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    beyond: int = 0
    total: int = 0
    largest: float = 0.0
    where: tuple[int, ...] = ()
    got: Any = None
    want: Any = None

    @property
    def equal(self) -> bool:
        """Whether shape and all values are within the tolerance."""
        return self.shapes is None and self.beyond == 0

    def sentence(self) -> str:
        """One line for people."""
        if self.shapes is not None:
            got, want = self.shapes
            return f"output '{self.name}' has the shape {list(got)}, expected {list(want)}"
        if self.equal:
            return (
                f"output '{self.name}': all {self.total} values as expected, the largest "
                f"difference is {self.largest:.3g}"
            )
        return (
            f"output '{self.name}' differs in {self.beyond} of {self.total} values, by at most "
            f"{self.largest:.3g} at {list(self.where)}: {self.got}, expected {self.want}"
        )


class Expected:
    """Compares outputs with those of a .npy or .npz, all at once or rows as they come.

    A value is as expected where ``|got - want| <= atol + rtol * |want|``, NaN
    where NaN is expected; integers, booleans and strings must be equal.
    """

    def __init__(
        self, path: str, names: Sequence[str], rows: int | None, rtol: float, atol: float
    ) -> None:
        self.rtol, self.atol, self.rows, self.start = rtol, atol, rows, 0
        wanted: Mapping[str, Array]
        if path.endswith(".npz"):
            wanted = read_npz(path)
            missing = [name for name in names if name not in wanted]
            unknown = [name for name in wanted if name not in names]
            if unknown:
                raise InputError(f"{path} has '{unknown[0]}', which is no output of the model")
            if missing:
                raise InputError(f"{path} has nothing for the output '{missing[0]}'")
        elif len(names) == 1:
            wanted = {names[0]: read_npy(path)}
        else:
            raise InputError(
                f"{path} holds one array and the model has {len(names)} outputs: give an .npz"
            )
        self.wanted = wanted
        self.differences = {name: Difference(name) for name in names}

    def add(self, outputs: Sequence[Any]) -> None:
        """Compare whole outputs, or the next rows of each."""
        count = 0
        for (name, difference), got in zip(self.differences.items(), outputs, strict=True):
            want = self.wanted[name]
            if not isinstance(got, np.ndarray):
                raise InputError(f"output '{name}' is no tensor, and cannot be compared")
            shape = got.shape
            if self.rows is not None:
                count = len(got)
                shape = (self.rows, *got.shape[1:])
            if shape != want.shape:
                difference.shapes = (shape, want.shape)
                continue
            if self.rows is not None:
                want = want[self.start : self.start + count]
            self._compare(difference, got, want)
        self.start += count

    def _compare(self, difference: Difference, got: Array, want: Array) -> None:
        distance = distances(got, want)
        beyond = distance > (0.0 if is_exact(got, want) else self._limits(got, want))
        difference.total += got.size
        difference.beyond += int(beyond.sum())
        if not got.size:
            return
        position = int(distance.argmax())
        if distance.flat[position] > difference.largest:
            where = [int(i) for i in np.unravel_index(position, got.shape)]
            difference.got, difference.want = got.flat[position], want.flat[position]
            difference.largest = float(distance.flat[position])
            if self.rows is not None:
                where[0] += self.start
            difference.where = tuple(where)

    def _limits(self, got: Array, want: Array) -> Array:
        if want.dtype.type is np.void:
            want = want.view(got.dtype)
        size = np.abs(want.astype(np.complex128 if want.dtype.kind == "c" else np.float64))
        return self.atol + self.rtol * np.where(np.isfinite(size), size, 0.0)

    @property
    def equal(self) -> bool:
        """Whether all is as expected."""
        return all(difference.equal for difference in self.differences.values())

    def sentences(self) -> list[str]:
        """A line for each output."""
        return [difference.sentence() for difference in self.differences.values()]

    def report(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "equal": self.equal,
            "rtol": self.rtol,
            "atol": self.atol,
            "outputs": [
                {
                    "name": one.name,
                    "equal": one.equal,
                    "beyond": one.beyond,
                    "largest": one.largest,
                    "where": list(one.where),
                    "message": one.sentence(),
                }
                for one in self.differences.values()
            ],
        }
