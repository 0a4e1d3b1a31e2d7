"""Strings, against onnxruntime.

Where onnxruntime 1.32 and the specification part ways:

- StringSplit without a delimiter: white space is only the space there, here all of Unicode's; an
  empty string split by a delimiter has no part there, and one empty part here, as the rule
  "delimiters and one" has it.
- StringNormalizer: upper and lower case letter by letter there (ß stays), full Unicode here (SS);
  its default locale must be installed, so the tests name one that always is.
- StringNormalizer of no strings is refused there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_same, check_node, run_ours

import scratch_onnx.interpreter as so

WORDS = st.sampled_from(["monday", "Monday", "TUESDAY", "ab", "", "Über", "λέξη", "a b"])


def strings(*values: Any) -> Any:
    return np.array(values, object)


@given(
    st.lists(WORDS, min_size=1, max_size=6),
    st.sampled_from(["NONE", "LOWER", "UPPER"]),
    st.integers(0, 1),
    st.lists(WORDS, min_size=1, max_size=3),
    st.booleans(),
)
def test_normalizer(
    words: list[str], action: str, sensitive: int, stopwords: list[str], row: bool
) -> None:
    X = strings(*words)
    check_node(
        "StringNormalizer",
        [X[None] if row else X],
        opset=10,
        case_change_action=action,
        is_case_sensitive=sensitive,
        stopwords=stopwords,
        locale="C.UTF-8",
    )


def test_normalizer_full_unicode() -> None:
    (Y,) = run_ours("StringNormalizer", [strings("straße")], opset=10, case_change_action="UPPER")
    assert Y.tolist() == ["STRASSE"]


def test_normalizer_refuses_a_locale_with_other_cases() -> None:
    with pytest.raises(so.RunError, match="locale tr_TR"):
        run_ours("StringNormalizer", [strings("i")], opset=10, locale="tr_TR")


TEXTS = strings(
    *("a", "abc", "ABC", "a\n", "a b", "ü", "٣", "a1_", "", "a]b", "x.y", "\x0b", "ÜBER", "über"),
    *("aa", "[", "]", "^", "a-b", "QQ.", "1", "a{,2}", "&", "a|b"),
)
PATTERNS = [
    *("a", r"\w+", r"\d", r"[\w\s]+", r"[\D]", r"[\S]+", r"[^\W]+", "(?i)abc", r"\s", "a$", "^a$"),
    *(".", "(?s).*", "[[:alpha:]]+", "[]a]", "a[]]b", "[^]]", r"\Qx.y\E", "(?P<n>a)b*c", "[[]"),
    *("(?<n>a)bc", r"\x{fc}", r"a\z", "(?i)über", r".*\b", "[]^]", r"[a\]]*b*", "(?i:AB)c"),
    *("[[:digit:]a]+", "a{2}", "a{,2}", r"\Aa", "(?m)^a$", "[^a]", r"\Q]\E", "a|b|[x.]*y", "a?"),
    *("[a&&b]", r"\_", "[[:alpha:][:digit:]]+", r"\pN|", "", "[a|b]+", r"\B", "a{1,2}?", "(?:a)+"),
]


@pytest.mark.parametrize("pattern", [pattern for pattern in PATTERNS if r"\p" not in pattern])
def test_regex(pattern: str) -> None:
    check_node("RegexFullMatch", [TEXTS], opset=20, pattern=pattern)


@pytest.mark.parametrize(
    "pattern",
    ["a(?=b)", "(?<!a)b", r"(a)\1", "a++", "a**", "(?x)a b", "(?U)a", r"\pL", "a(?i)b", "("],
)
def test_regex_refused(pattern: str) -> None:
    """What RE2 does not have, and what is not translated."""
    with pytest.raises(so.RunError, match="the pattern"):
        run_ours("RegexFullMatch", [TEXTS], opset=20, pattern=pattern)


@given(
    st.lists(st.text("ab -", min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from([None, "", "-", "--", " ", "ab"]),
    st.none() | st.integers(0, 3),
)
def test_split(texts: list[str], delimiter: str | None, maxsplit: int | None) -> None:
    options: dict[str, Any] = {} if delimiter is None else {"delimiter": delimiter}
    if maxsplit is not None:
        options["maxsplit"] = maxsplit
    check_node("StringSplit", [strings(*texts)], opset=20, outputs=2, **options)


def test_split_white_space_and_nothing() -> None:
    parts, counts = run_ours(
        "StringSplit", [strings(" a\tb\u2003c\n", " ")], opset=20, outputs=2, maxsplit=1
    )
    assert parts.tolist() == [["a", "b\u2003c"], ["", ""]]
    assert counts.tolist() == [2, 0]
    parts, counts = run_ours("StringSplit", [strings("")], opset=20, outputs=2, delimiter="-")
    assert (parts.tolist(), counts.tolist()) == ([[""]], [1])
    parts, counts = run_ours("StringSplit", [np.empty((2, 0), object)], opset=20, outputs=2)
    assert (parts.shape, counts.shape) == ((2, 0, 0), (2, 0))


@pytest.mark.parametrize(
    ("X", "Y"),
    [
        (strings("a", "b"), strings(["x"], ["ü"])),
        (np.array("a", object), np.array("b", object)),
        (np.empty((0, 1), object), strings("b", "c")),
    ],
)
def test_concat(X: Any, Y: Any) -> None:
    check_node("StringConcat", [X, Y], opset=20)


POOL = {"ngram_counts": [0, 4, 10], "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 3, 3, 3]}


@given(
    st.data(),
    st.sampled_from(["TF", "IDF", "TFIDF"]),
    st.integers(1, 3),
    st.integers(0, 4),
    st.permutations(range(8)),
    st.sampled_from([np.int32, np.int64, object]),
)
def test_tf_idf(
    data: Any, mode: str, shortest: int, skip: int, indexes: list[int], dtype: Any
) -> None:
    shape = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 8)))
    X = np.random.default_rng(data.draw(st.integers(0, 99))).integers(1, 9, shape)
    pool: dict[str, Any] = dict(POOL)
    if dtype is object:
        X = X.astype(str)
        pool["pool_strings"] = [str(token) for token in pool.pop("pool_int64s")]
    if data.draw(st.booleans()):
        pool["weights"] = data.draw(st.lists(st.floats(0.125, 4, width=32), min_size=8, max_size=8))
    check_node(
        "TfIdfVectorizer",
        [X.astype(dtype) if data.draw(st.booleans()) else X[0].astype(dtype)],
        opset=9,
        mode=mode,
        min_gram_length=shortest,
        max_gram_length=data.draw(st.integers(shortest, 3)),
        max_skip_count=skip,
        ngram_indexes=indexes,
        **pool,
    )


def test_tf_idf_by_hand() -> None:
    """Of the 2-grams [94, 17] and [17, 36] of the specification's example each occurs once."""
    options = {
        "mode": "TF",
        "min_gram_length": 2,
        "max_gram_length": 2,
        "max_skip_count": 0,
        "ngram_counts": [0, 0],
        "ngram_indexes": [1, 0],
        "pool_int64s": [94, 17, 17, 36],
    }
    X = np.array([94, 17, 36, 94, 17, 12])
    assert_same(
        run_ours("TfIdfVectorizer", [X], opset=9, **options), [np.array([1, 2], np.float32)]
    )
    empty = run_ours("TfIdfVectorizer", [np.zeros((2, 0), np.int64)], opset=9, **options)
    assert_same(empty, [np.zeros((2, 2), np.float32)])
