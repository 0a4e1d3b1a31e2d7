"""Operators on strings: object arrays of Python's str."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..registry import op
from ..types import Array
from ._re2 import compile_re2

# Where upper and lower case are other than Unicode's: a dotless i, accents over a dotted one.
_OTHER_CASES = ("tr", "az", "lt")


@op("StringNormalizer", since=10)
def string_normalizer(
    X: Array,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str | None = None,
    stopwords: tuple[str, ...] | None = None,
) -> Array:
    """The strings that are no ``stopwords``, in LOWER or UPPER case or as they are.

    X (C) or (1, C). One empty string where none is left. Case is Unicode's, in any ``locale``
    whose own is no other.
    """
    change: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}
    if case_change_action not in change:
        raise ValueError(
            f"case_change_action must be NONE, LOWER or UPPER, and is {case_change_action!r}"
        )
    if locale and locale[:2].lower() in _OTHER_CASES:
        raise ValueError(f"the upper and lower case of the locale {locale} are not supported")
    if X.ndim not in (1, 2) or (X.ndim == 2 and len(X) != 1):
        raise ValueError(f"X must have the shape [C] or [1, C], and has {list(X.shape)}")
    plain: Callable[[str], str] = str if is_case_sensitive else str.lower
    stops = {plain(word) for word in stopwords or ()}
    kept = [word for word in X.reshape(-1).tolist() if plain(word) not in stops]
    result = np.array([change[case_change_action](word) for word in kept] or [""], object)
    return result if X.ndim == 1 else result[None]


@op("RegexFullMatch", since=20)
def regex_full_match(X: Array, *, pattern: str | None = None) -> Array:
    """Whether each whole string matches the RE2 pattern."""
    if pattern is None:
        raise ValueError("the attribute pattern is missing")
    regex = compile_re2(pattern)
    matches = [regex.fullmatch(text) is not None for text in X.reshape(-1).tolist()]
    return np.array(matches, np.bool_).reshape(X.shape)


@op("StringConcat", since=20)
def string_concat(X: Array, Y: Array) -> Array:
    """Each string of X with that of Y behind it, broadcast."""
    return np.asarray(X + Y, object)


@op("StringSplit", since=20)
def string_split(
    X: Array, *, delimiter: str | None = None, maxsplit: int | None = None
) -> tuple[Array, Array]:
    """The parts of each string, (..., most parts), filled up with "", and how many there are.

    Without a delimiter the parts are what stands between runs of white space. At most
    ``maxsplit`` cuts are made, from the left.
    """
    cuts = -1 if maxsplit is None else maxsplit
    texts = X.reshape(-1).tolist()
    if delimiter:
        parts = [text.split(delimiter, cuts) for text in texts]
    else:
        parts = [text.strip().split(None, cuts) for text in texts]
    counts = np.array([len(part) for part in parts], np.int64)
    longest = int(counts.max(initial=0))
    result = np.full((len(parts), longest), "", object)
    result[np.arange(longest) < counts[:, None]] = [text for part in parts for text in part]
    return result.reshape(*X.shape, longest), counts.reshape(X.shape)


@op("TfIdfVectorizer", since=9)
def tf_idf_vectorizer(
    X: Array,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: tuple[int, ...],
    ngram_indexes: tuple[int, ...],
    pool_int64s: tuple[int, ...] | None = None,
    pool_strings: tuple[str, ...] | None = None,
    weights: tuple[float, ...] | None = None,
) -> Array:
    """How often each n-gram of the pool occurs in each row: X (C) or (N, C) → ([N,] size).

    The pool holds all 1-grams, then all 2-grams, ...; ``ngram_counts`` says where each kind
    begins. The tokens of an n-gram stand 1 to ``max_skip_count`` + 1 apart. The i-th n-gram counts
    at ``ngram_indexes[i]``: its number (TF), its weight if it occurs (IDF), or the product (TFIDF).
    """
    if mode not in ("TF", "IDF", "TFIDF"):
        raise ValueError(f"mode must be TF, IDF or TFIDF, and is {mode!r}")
    if (pool_int64s is None) == (pool_strings is None):
        raise ValueError("either pool_int64s or pool_strings must be given")
    if not 1 <= min_gram_length <= max_gram_length or len(ngram_counts) < max_gram_length:
        raise ValueError(
            f"min_gram_length {min_gram_length} and max_gram_length {max_gram_length} must be in "
            f"order, and at most the number of ngram_counts {len(ngram_counts)}"
        )
    pool = np.array(pool_strings, object) if pool_strings is not None else np.array(pool_int64s)
    rows = X if X.ndim == 2 else X.reshape(1, -1)
    # Tokens as numbers; those that the pool does not have are -1.
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(pool.tolist()))}
    pool = np.array([vocabulary[token] for token in pool.tolist()], np.int64)
    tokens = np.array([vocabulary.get(token, -1) for token in rows.reshape(-1).tolist()], np.int64)
    tokens = tokens.reshape(rows.shape)

    scale = np.ones(len(ngram_indexes)) if weights is None else np.array(weights)
    targets = np.array(ngram_indexes, np.int64)
    Y = np.zeros((len(rows), int(targets.max(initial=-1)) + 1))
    ends = [*ngram_counts[1:], len(pool)]
    first = 0  # the number of the kind's first n-gram
    for n, (start, end) in enumerate(zip(ngram_counts, ends, strict=True), 1):
        grams = pool[start:end].reshape(-1, n)
        if min_gram_length <= n <= max_gram_length and len(grams):
            found = _count(grams, tokens, max_skip_count if n > 1 else 0)
            if mode == "IDF":
                found = found > 0
            own = slice(first, first + len(grams))
            values = found * (1 if mode == "TF" else scale[own])
            np.add.at(Y.T, targets[own], values.T)
        first += len(grams)
    return (Y if X.ndim == 2 else Y[0]).astype(np.float32)


def _count(grams: Array, tokens: Array, max_skip: int) -> Array:
    """How often each n-gram (G, n) occurs in each row (N, C): (N, G)."""
    length = grams.shape[1]
    counts = np.zeros((len(tokens), len(grams)), np.int64)
    known, numbers = np.unique(grams, axis=0, return_inverse=True)
    for step in range(1, max_skip + 2):
        width = tokens.shape[1] - (length - 1) * step
        if width < 1:
            break
        seen = np.stack([tokens[:, k * step : k * step + width] for k in range(length)], axis=2)
        both = np.concatenate([known, seen.reshape(-1, length)])
        _, number = np.unique(both, axis=0, return_inverse=True)
        number = number.reshape(-1)
        column = np.full(number.max() + 1, -1)
        column[number[: len(known)]] = np.arange(len(known))
        hits = column[number[len(known) :]].reshape(len(tokens), width)
        row, position = np.nonzero(hits >= 0)
        per_known = np.zeros((len(tokens), len(known)), np.int64)
        np.add.at(per_known, (row, hits[row, position]), 1)
        counts += per_known[:, numbers.reshape(-1)]
    return counts
