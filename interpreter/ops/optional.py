"""Optional values: an empty one is None, one with an element is that element itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..registry import op
from ..types import Array, Type


@op("Optional", since=(15, 28))
def optional(input: Any = None, *, type: Type | None = None) -> tuple[Any]:
    """An optional that holds the input, or an empty one of the type ``type``."""
    if input is None and type is None:
        raise ValueError("an empty Optional needs the attribute type")
    return (input,)


@op("OptionalGetElement", since=(15, 18, 28))
def optional_get_element(input: Any) -> tuple[Any]:
    """The element; ``ValueError`` where the optional is empty. Other values pass through."""
    if input is None:
        raise ValueError("the optional is empty, it has no element to get")
    return (input,)


@op("OptionalHasElement", since=(15, 18, 28))
def optional_has_element(input: Any = None) -> Array:
    """Whether there is an element: False for an empty optional and for an absent input."""
    return np.array(input is not None)
