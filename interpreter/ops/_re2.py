"""RE2's regular expressions for Python's ``re``: what both write alike passes, what they write
differently is translated, and what only one of them has is refused."""

from __future__ import annotations

import re
from functools import lru_cache

# RE2's classes are ASCII: (inside brackets, the complement inside brackets).
_CLASSES = {
    "d": (r"0-9", r"\x00-/:-\U0010ffff"),
    "w": (r"0-9A-Za-z_", r"\x00-/:-@\[-\^`{-\U0010ffff"),
    "s": (r"\t\n\f\r\x20", r"\x00-\x08\x0b\x0e-\x1f!-\U0010ffff"),
}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": r"\x20-~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r\x20",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_TOKEN = re.compile(
    r"""
    \\Q(?P<quoted>.*?)(?:\\E|\Z)
  | \\x\{(?P<code>[0-9A-Fa-f]+)\}
  | \\(?P<escape>.)
  | \[:(?P<posix>\^?\w+):\]
  | \(\?(?P<group>P?<\w+>|[a-zA-Z-]*[:)]|.)
  | (?P<open>\[\^?\]?)
  | (?P<close>\])
  | (?P<brace>\{(?=,))
  | (?P<possessive>[*+?}]\+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=256)
def compile_re2(pattern: str) -> re.Pattern[str]:
    """The pattern of Python's that matches what RE2's ``pattern`` does.

    Raises ``ValueError`` for what is no RE2, and for RE2 that is not translated
    (Unicode classes, ungreedy flags, bytes).
    """
    parts: list[str] = []
    in_class = False
    for token in _TOKEN.finditer(pattern):
        kind, text = token.lastgroup, token.group(0)
        if kind == "quoted":
            text = re.escape(token["quoted"])
        elif kind == "code":
            text = re.escape(chr(int(token["code"], 16)))
        elif kind == "escape":
            text = _escape(token["escape"], in_class, pattern)
        elif kind == "posix" and in_class:
            text = _posix(token["posix"], pattern)
        elif kind == "posix":  # outside of brackets it is a class of its letters
            text = "[" + re.escape(text[1:-1]) + "]"
        elif kind == "group" and not in_class:
            text = _group(token["group"], pattern)
        elif kind == "group":
            text = re.escape(text)
        elif kind == "open":
            text = text.replace("[", r"\[") if in_class else text.replace("]", r"\]")
            in_class = not (in_class and text.endswith("]"))
        elif kind == "close":
            in_class = False
        elif kind == "brace" or (in_class and text in "&~|"):
            text = "\\" + text  # RE2 takes it as it is
        elif kind == "possessive" and not in_class:
            raise ValueError(f"the pattern {pattern!r} is no RE2: {text} repeats a repetition")
        parts.append(text)
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} cannot be used: {error}") from None


def _escape(letter: str, in_class: bool, pattern: str) -> str:
    if letter.lower() in _CLASSES:
        inside, complement = _CLASSES[letter.lower()]
        if in_class:
            return inside if letter.islower() else complement
        return f"[{inside}]" if letter.islower() else f"[^{inside}]"
    if in_class and letter in "bBzA":
        raise ValueError(f"the pattern {pattern!r} is no RE2: \\{letter} inside brackets")
    if letter == "b":
        return r"(?a:\b)"
    if letter == "B":
        return r"(?!(?a:\b))"  # Python's \B does not match the empty string
    if letter == "z":
        return r"\Z"
    if letter in "123456789":
        raise ValueError(f"the pattern {pattern!r} is no RE2, which has no back-references")
    if letter in "pPCZ":
        raise ValueError(f"the pattern {pattern!r} has \\{letter}, which is not supported")
    return "\\" + letter


def _posix(name: str, pattern: str) -> str:
    if name.startswith("^") or name not in _POSIX:
        raise ValueError(
            f"the pattern {pattern!r} has the class [:{name}:], which is not supported"
        )
    return _POSIX[name]


def _group(text: str, pattern: str) -> str:
    if text in ("=", "!", "<", ">", "#", "("):
        raise ValueError(f"the pattern {pattern!r} is no RE2, which has no (?{text}")
    if text.endswith(">"):
        return "(?P<" + text.lstrip("P<")
    if not set(text) <= set("ims-:)"):
        raise ValueError(f"the pattern {pattern!r} has (?{text}, which is not supported")
    return "(?" + text
