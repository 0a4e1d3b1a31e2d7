"""Features made ready for a model: scaled, normalised, imputed, selected, joined."""

from __future__ import annotations

import numpy as np

from ...registry import op
from ...types import STRING, Array
from ._scores import DOMAIN

Floats = tuple[float, ...]
Ints = tuple[int, ...]


@op("Scaler", since=1, domain=DOMAIN)
def scaler(X: Array, *, offset: Floats | None = None, scale: Floats | None = None) -> Array:
    """(X - offset)·scale as float32; each attribute has one number, or one a feature."""
    features = X.shape[-1] if X.ndim else 1
    for name, values in (("offset", offset), ("scale", scale)):
        if values and len(values) not in (1, features):
            raise ValueError(f"{name} must have 1 or {features} numbers, and has {len(values)}")
    shifted = X.astype(np.float64) - np.array(offset or (0.0,))
    return (shifted * np.array(scale or (1.0,))).astype(np.float32).reshape(X.shape)


@op("Normalizer", since=1, domain=DOMAIN)
def normalizer(X: Array, *, norm: str = "MAX") -> Array:
    """Each row (of [N, C]; [C] is one) over its MAX, its L1 norm or its L2 norm, as float32; a row
    whose divisor is 0 stays."""
    if X.ndim not in (1, 2):
        raise ValueError(f"X must have the shape [N, C] or [C], and has {list(X.shape)}")
    x = X.astype(np.float64)
    if norm == "MAX":
        divisor = x.max(axis=-1, keepdims=True, initial=-np.inf)
    elif norm == "L1":
        divisor = np.abs(x).sum(axis=-1, keepdims=True)
    elif norm == "L2":
        divisor = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    else:
        raise ValueError(f"norm must be MAX, L1 or L2, and is {norm!r}")
    return (x / np.where(divisor == 0, 1, divisor)).astype(np.float32)


@op("Imputer", since=1, domain=DOMAIN)
def imputer(
    X: Array,
    *,
    imputed_value_floats: Floats | None = None,
    imputed_value_int64s: Ints | None = None,
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Array:
    """X with the imputed value (one, or one a feature) in place of the replaced one, NaN included.

    The attributes for floats serve floating-point X, the others integers.
    """
    floating = X.dtype.kind == "f"
    imputed = imputed_value_floats if floating else imputed_value_int64s
    if not imputed:
        kind = "imputed_value_floats" if floating else "imputed_value_int64s"
        raise ValueError(f"X is {X.dtype}, which needs the attribute {kind}")
    features = X.shape[-1] if X.ndim else 1
    if len(imputed) not in (1, features):
        raise ValueError(f"there must be 1 or {features} imputed values, and are {len(imputed)}")
    value = np.float64(replaced_value_float) if floating else np.int64(replaced_value_int64)
    replaced = np.isnan(X) if np.isnan(value) else np.equal(X, value)
    return np.where(replaced, np.array(imputed).astype(X.dtype), X)


@op("Binarizer", since=1, domain=DOMAIN)
def binarizer(X: Array, *, threshold: float = 0.0) -> Array:
    """1 where X is above the threshold, else 0, in X's dtype."""
    return (np.float64(threshold) < X).astype(X.dtype)


@op("ArrayFeatureExtractor", since=1, domain=DOMAIN)
def array_feature_extractor(X: Array, Y: Array) -> Array:
    """The elements at the indices Y of the last axis: (..., C) → (..., number of indices).

    From a vector the result is (1, number of indices), as the standard's case has it.
    """
    indices = Y.reshape(-1)
    size = X.shape[-1] if X.ndim else 0
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise ValueError(
            f"the indices must lie in 0 to {size - 1}, and reach from {indices.min()} to "
            f"{indices.max()}"
        )
    selected = X[..., indices]
    return selected[None] if X.ndim == 1 else selected


@op("FeatureVectorizer", since=1, domain=DOMAIN)
def feature_vectorizer(*X: Array, inputdimensions: Ints | None = None) -> Array:
    """All inputs (N, Cᵢ), [C] being (1, C), side by side as float32."""
    rows = [x.reshape(1, -1) if x.ndim == 1 else x.reshape(len(x), -1) for x in X]
    widths = inputdimensions or [row.shape[1] for row in rows]
    if [row.shape[1] for row in rows] != list(widths):
        raise ValueError(
            f"inputdimensions are {list(widths)}, and the inputs have "
            f"{[row.shape[1] for row in rows]} features"
        )
    return np.concatenate(rows, axis=1).astype(np.float32)


@op("OneHotEncoder", since=1, domain=DOMAIN)
def one_hot_encoder(
    X: Array,
    *,
    cats_int64s: Ints | None = None,
    cats_strings: tuple[str, ...] | None = None,
    zeros: int = 1,
) -> Array:
    """1 at the index of the category, else 0: (...) → (..., categories) float32.

    Numbers are cast to integers. What is no category gives zeros, or without ``zeros`` an error.
    """
    categories = cats_strings if X.dtype == STRING else cats_int64s
    if not categories:
        raise ValueError(f"X is {X.dtype}, and the node has no categories of that kind")
    if X.dtype == STRING:
        names = np.array(categories, object)
        hot = X[..., None] == names
    else:
        hot = X.astype(np.int64)[..., None] == np.array(categories, np.int64)
    if not zeros and not hot.any(axis=-1).all():
        raise ValueError("X holds a value that is no category, and the attribute zeros is 0")
    return hot.astype(np.float32)
