"""How two arrays differ: by how much, in how many elements, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..types import Array, describe

_TEXT = set("OUS")


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one value. ``where`` is the index of the largest difference ``largest``.

    ``limit`` is what the tolerance allows; ``reason`` says why the values
    cannot be compared element by element, where they cannot.
    """

    name: str
    beyond: int = 0
    total: int = 0
    largest: float = 0.0
    limit: float = 0.0
    where: tuple[int, ...] = ()
    got: Any = None
    want: Any = None
    reason: str = ""

    @property
    def equal(self) -> bool:
        """Whether all is within the tolerance."""
        return not self.reason and not self.beyond

    def __str__(self) -> str:
        if self.reason:
            return f"'{self.name}': {self.reason}"
        if self.equal:
            return f"'{self.name}': {self.largest:.3g} at most"
        return (
            f"'{self.name}' differs in {self.beyond} of {self.total} elements, by at most "
            f"{self.largest:.3g} at {list(self.where)}: {self.got}, and the other side {self.want}"
        )


def distances(got: Array, want: Array) -> Array:
    """The absolute difference of each element, for arrays of one shape.

    0 where both are NaN or the same infinity, infinite where only one is. For
    text 0 or infinite.
    """
    if {got.dtype.kind, want.dtype.kind} & _TEXT:
        return np.where(got.astype(str) == want.astype(str), 0.0, np.inf)
    if want.dtype.type is np.void and want.dtype.names is None:
        want = want.view(got.dtype)  # raw bytes, as .npy stores bfloat16 and its kin
    wide = np.complex128 if "c" in (got.dtype.kind, want.dtype.kind) else np.float64
    a, b = got.astype(wide), want.astype(wide)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        distance = np.where(same, 0.0, np.abs(a - b))
    return np.where(np.isnan(distance), np.inf, distance)


def is_exact(got: Array, want: Array) -> bool:
    """Whether the two must be equal: integers, booleans and text."""
    return got.dtype.kind in "iubOUS" and want.dtype.kind in "iubOUS"


def difference(name: str, got: Any, want: Any, rtol: float, atol: float) -> Difference:
    """How a value differs from what the other side has.

    The tolerance is ``atol + rtol · max|want|``: float32 sums err in proportion
    to what was summed, and not to what is left. Integers, booleans and text must
    be equal.
    """
    if isinstance(got, list) and isinstance(want, (list, tuple)) and len(got) == len(want):
        parts = [difference(name, a, b, rtol, atol) for a, b in zip(got, want, strict=True)]
        return max(parts, key=lambda p: (not p.equal, p.largest), default=Difference(name))
    if got is None and want is None:
        return Difference(name)
    if not isinstance(got, np.ndarray) or not isinstance(want, np.ndarray):
        return Difference(name, reason=f"is {describe(got)}, and there {describe(want)}")
    if got.shape != want.shape:
        return Difference(
            name, reason=f"has the shape {list(got.shape)}, and there {list(want.shape)}"
        )
    if not got.size:
        return Difference(name)
    distance = distances(got, want)
    limit = 0.0
    if not is_exact(got, want):
        scale = np.abs(want.astype(np.complex128 if want.dtype.kind == "c" else np.float64))
        finite = scale[np.isfinite(scale)]
        limit = atol + rtol * float(finite.max(initial=0.0))
    position = int(distance.argmax())
    return Difference(
        name=name,
        beyond=int((distance > limit).sum()),
        total=got.size,
        largest=float(distance.flat[position]),
        limit=limit,
        where=tuple(int(i) for i in np.unravel_index(position, got.shape)),
        got=got.flat[position],
        want=want.flat[position],
    )
