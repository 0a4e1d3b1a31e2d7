"""Labels looked up, and maps (Python dicts) made and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...registry import op
from ...types import STRING, Array
from ._scores import DOMAIN

Ints = tuple[int, ...]
Strings = tuple[str, ...]
Floats = tuple[float, ...]


def _look_up(X: Array, keys: Array, values: Array, default: Any) -> Array:
    """The value of each element's key; of equal keys the last counts, and NaN is a key."""
    table = dict(zip((_key(key) for key in keys.tolist()), range(len(keys)), strict=True))
    unique, inverse = _unique(X)
    index = np.array([table.get(_key(key), -1) for key in unique], np.intp)
    found = np.append(values, np.array([default], values.dtype))[index]
    return found[inverse].reshape(X.shape)


def _key(value: Any) -> Any:
    return "NaN of any kind" if isinstance(value, float) and value != value else value


def _unique(X: Array) -> tuple[list[Any], Array]:
    """The different elements, and the number of each element's own among them."""
    if X.dtype != STRING:
        unique, inverse = np.unique(X, return_inverse=True)
        return unique.tolist(), inverse.reshape(-1)
    numbers: dict[str, int] = {}
    places = [numbers.setdefault(text, len(numbers)) for text in X.reshape(-1).tolist()]
    return list(numbers), np.array(places, np.intp)


def _strings(values: Sequence[str]) -> Array:
    return np.array(values, object)


@op("CategoryMapper", since=1, domain=DOMAIN)
def category_mapper(
    X: Array,
    *,
    cats_int64s: Ints | None = None,
    cats_strings: Strings | None = None,
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Array:
    """Strings to the integers of the same place, and integers to strings."""
    if len(cats_int64s or ()) != len(cats_strings or ()):
        raise ValueError(
            f"cats_int64s and cats_strings must have one length, and have "
            f"{len(cats_int64s or ())} and {len(cats_strings or ())}"
        )
    numbers, names = np.array(cats_int64s or (), np.int64), _strings(cats_strings or ())
    if X.dtype == STRING:
        return _look_up(X, names, numbers, default_int64)
    return _look_up(X, numbers, names, default_string)


@op("LabelEncoder", since=1, domain=DOMAIN)
def label_encoder_1(
    X: Array,
    *,
    classes_strings: Strings = (),
    default_int64: int = -1,
    default_string: str = "_Unused",
) -> Array:
    """Opset 1: strings to their index in ``classes_strings``, and back."""
    numbers = np.arange(len(classes_strings), dtype=np.int64)
    if X.dtype == STRING:
        return _look_up(X, _strings(classes_strings), numbers, default_int64)
    return _look_up(X, numbers, _strings(classes_strings), default_string)


@op("LabelEncoder", since=(2, 4), domain=DOMAIN)
def label_encoder(
    X: Array,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: Array | None = None,
    keys_floats: Floats | None = None,
    keys_int64s: Ints | None = None,
    keys_strings: Strings | None = None,
    keys_tensor: Array | None = None,
    values_floats: Floats | None = None,
    values_int64s: Ints | None = None,
    values_strings: Strings | None = None,
    values_tensor: Array | None = None,
) -> Array:
    """Each element's value, by the parallel lists ``keys_*`` and ``values_*``; the default of the
    values' type where it is no key."""
    keys = _one_of("keys", keys_floats, keys_int64s, keys_strings, keys_tensor)
    values = _one_of("values", values_floats, values_int64s, values_strings, values_tensor)
    if keys.shape != values.shape:
        raise ValueError(f"there are {len(keys)} keys and {len(values)} values")
    if X.dtype != keys.dtype:
        raise TypeError(f"the keys are {keys.dtype}, and X is {X.dtype}")
    if default_tensor is not None:
        default = default_tensor.reshape(-1)[0]
    elif values.dtype == STRING:
        default = default_string
    else:
        default = default_float if values.dtype.kind == "f" else default_int64
    return _look_up(X, keys, values, default)


def _one_of(
    what: str,
    floats: Floats | None,
    ints: Ints | None,
    strings: Strings | None,
    tensor: Array | None,
) -> Array:
    given = [x for x in (floats, ints, strings, tensor) if x is not None]
    if len(given) != 1:
        raise ValueError(f"one attribute {what}_* must be given, and {len(given)} are")
    if tensor is not None:
        return tensor.reshape(-1)
    if strings is not None:
        return _strings(strings)
    return np.array(given[0], np.int64 if ints is not None else np.float32)


@op("DictVectorizer", since=1, domain=DOMAIN)
def dict_vectorizer(
    X: Mapping[Any, Any],
    *,
    int64_vocabulary: Ints | None = None,
    string_vocabulary: Strings | None = None,
) -> Array:
    """The map's values in the order of the vocabulary, (1, vocabulary); 0 or "" for a key that the
    map lacks.

    The dtype is that of the values: Python's float is float32, its int int64; NumPy's scalars have
    their own.
    """
    vocabulary = int64_vocabulary or string_vocabulary
    if not vocabulary or (int64_vocabulary and string_vocabulary):
        raise ValueError("either int64_vocabulary or string_vocabulary must be given")
    unknown = X.keys() - set(vocabulary)
    if unknown:
        raise ValueError(f"the map has the key {min(unknown)!r}, which is not in the vocabulary")
    sample = next(iter(X.values()), 0.0)
    if isinstance(sample, str):
        return np.array([[X.get(key, "") for key in vocabulary]], object)
    dtype = getattr(sample, "dtype", np.dtype(np.int64 if isinstance(sample, int) else np.float32))
    return np.array([[X.get(key, 0) for key in vocabulary]], dtype)


@op("CastMap", since=1, domain=DOMAIN)
def cast_map(
    X: Mapping[int, Any],
    *,
    cast_to: str = "TO_FLOAT",
    map_form: str = "DENSE",
    max_map: int = 1,
) -> Array:
    """The map's values in the order of their keys, (1, values), cast; SPARSE puts each at its key
    in a row of ``max_map``, with 0 or "" between."""
    casts: dict[str, tuple[Any, Any]] = {
        "TO_FLOAT": (np.float32, 0.0),
        "TO_INT64": (np.int64, 0),
        "TO_STRING": (object, ""),
    }
    if cast_to not in casts or map_form not in ("DENSE", "SPARSE"):
        raise ValueError(
            f"cast_to must be one of {', '.join(casts)} and map_form DENSE or SPARSE; they are "
            f"{cast_to!r} and {map_form!r}"
        )
    dtype, nothing = casts[cast_to]
    if map_form == "SPARSE":
        if X and not 0 <= min(X) <= max(X) < max_map:
            raise ValueError(f"the keys must lie in 0 to max_map - 1 = {max_map - 1}")
        values = [X.get(key, nothing) for key in range(max_map)]
    else:
        values = [X[key] for key in sorted(X)]
    if dtype is object:
        values = [value if isinstance(value, str) else str(value) for value in values]
    else:
        values = [float(value) if isinstance(value, str) else value for value in values]
    return np.array([values], dtype)


@op("ZipMap", since=1, domain=DOMAIN)
def zip_map(
    X: Array,
    *,
    classlabels_int64s: Ints | None = None,
    classlabels_strings: Strings | None = None,
) -> tuple[list[dict[Any, float]]]:
    """A map from label to value for each row (N, labels); [labels] is one row."""
    labels = classlabels_int64s or classlabels_strings
    if not labels or (classlabels_int64s and classlabels_strings):
        raise ValueError("either classlabels_int64s or classlabels_strings must be given")
    rows = np.atleast_2d(X)
    if rows.shape[1] != len(labels):
        raise ValueError(f"X has {rows.shape[1]} columns for {len(labels)} labels")
    return ([dict(zip(labels, row, strict=True)) for row in rows.tolist()],)
