"""What commands print: a rich table on a terminal, plain aligned text when piped, strict JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

import click
import numpy as np


def on_terminal(stream: TextIO | None = None) -> bool:
    """Whether standard output, or the stream, is a terminal."""
    stream = stream or sys.stdout
    return stream is not None and stream.isatty()  # there is none where it was closed


def printable(value: object) -> str:
    """The text with control characters spelled out: names in a file may hold any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    numeric: Iterable[str] = (),
) -> None:
    """Print a table; the columns named in ``numeric`` are aligned to the right."""
    cells = [[printable(cell) for cell in row] for row in rows]
    right = [name in set(numeric) for name in header]
    if on_terminal():
        _rich_table(header, cells, title, right)
    else:
        if title:
            click.echo(title)
        for line in plain_table(header, cells, right):
            click.echo(line)


def plain_table(
    header: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> Iterator[str]:
    """Lines of columns two blanks apart, none cut: for grep, and for files."""
    lines = [list(header), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        padded = [
            text.rjust(width) if align else text.ljust(width)
            for text, width, align in zip(line, widths, right, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _rich_table(
    header: Sequence[str], cells: Sequence[Sequence[str]], title: str, right: Sequence[bool]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left")
    for name, align in zip(header, right, strict=True):
        drawn.add_column(name, justify="right" if align else "left", overflow="fold", no_wrap=align)
    for line in cells:
        drawn.add_row(*(Text(cell) for cell in line))
    console = Console()
    if console.measure(drawn, options=console.options.update_width(10_000)).minimum > console.width:
        # rich would cut the numbers.
        lines = ([title] if title else []) + list(plain_table(header, cells, right))
        click.echo("\n".join(lines))
    else:
        console.print(drawn)


def number(value: float, digits: int = 4) -> str:
    """A number for people: integers whole, others with so many significant digits."""
    if isinstance(value, (int, np.integer)):
        return str(value)
    return f"{value:.{digits}g}"


def quantity(value: float, unit: str = "") -> str:
    """A large number with a decimal prefix: ``1.23 M``, ``4.5 GFLOP``."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def size_of(count: float) -> str:
    """A number of bytes with a binary prefix: ``1.5 MiB``."""
    for size, prefix in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= size:
            return f"{count / size:.1f} {prefix}"
    return f"{count:.0f} B"


def dump_json(document: Any) -> None:
    """Print strict JSON: NaN and the infinities are the strings that protobuf's JSON uses."""
    import json  # which only --json needs

    click.echo(json.dumps(plain(document), ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """The value in JSON's types."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _array(np.asarray(value))
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _array(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind == "c":
        return plain(np.stack([array.real, array.imag], axis=-1))
    if array.dtype.kind == "V":  # ml_dtypes: bfloat16, float8, int4
        array = array.astype(np.float64)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return plain(array.tolist())
    return array.tolist()


def values_text(value: Any) -> str:
    """An output's values as text, long ones shortened in the middle."""
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=6, threshold=200, edgeitems=3, max_line_width=100)
    if isinstance(value, list):
        return "\n".join(f"[{index}] {values_text(item)}" for index, item in enumerate(value))
    return printable(value)
