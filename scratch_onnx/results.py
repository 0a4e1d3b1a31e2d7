"""What ``run`` prints: tables for people, or one JSON document for programs.

Both take the outputs batch by batch, and keep no more of a stream than they print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import numpy as np

from scratch_onnx.output import dump_json, number, plain, printable, table, values_text

if TYPE_CHECKING:
    from scratch_onnx.expected import Expected

Best: TypeAlias = list[tuple[str, list[list[tuple[int, str, float]]]]]
"""For each output with classes: for each row the best (class, name, score)."""

_SHOWN = 10
"""How many rows of a stream are shown where they are written nowhere."""

_FLUSHED = 10_000
"""How many rows of ranks are kept before they are printed, so that a stream may be endless."""


class TextResults:
    """Prints for people."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.heads: list[list[Any]] = []
        self.ranked: list[list[object]] = []
        self.streamed = False

    def best(self, start: int, outputs: Sequence[Any], best: Best, texts: Sequence[str]) -> None:  # noqa: ARG002
        for name, rows in best:
            for index, row in enumerate(rows):
                for rank, (number_, title, score) in enumerate(row, 1):
                    self.ranked.append(
                        [name, start + index, rank, number_, title, number(score, 6)]
                    )
        if len(self.ranked) >= _FLUSHED:
            self._print_ranked()

    def values(self, outputs: Sequence[Any], streamed: bool) -> None:
        self.streamed = streamed
        if not self.heads:
            self.heads = [[] for _ in outputs]
        for head, output in zip(self.heads, outputs, strict=True):
            if not streamed:
                head.append(output)
            elif (missing := _SHOWN - sum(len(part) for part in head)) > 0 or not head:
                head.append(output[:missing].copy())

    def _print_ranked(self) -> None:
        header = ["output", "row", "rank", "class", "name", "score"]
        cells = self.ranked
        if len(self.names) == 1:
            header, cells = header[1:], [line[1:] for line in cells]
        if not any(line[-2] for line in cells):
            position = header.index("name")
            header = header[:position] + header[position + 1 :]
            cells = [line[:position] + line[position + 1 :] for line in cells]
        table(header, cells, numeric=("row", "rank", "class", "score"))
        self.ranked = []

    def finish(self, output: str | None, rows: int | None) -> None:
        if self.ranked:
            self._print_ranked()
        if self.heads:
            lines = []
            for name, head in zip(self.names, self.heads, strict=True):
                value = head[0] if len(head) == 1 else np.concatenate(head)
                shape = value.shape if isinstance(value, np.ndarray) else (len(value or ()),)
                if self.streamed and rows is not None:
                    shape = (rows, *shape[1:])
                kind = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
                lines.append((name, kind, list(shape), value))
            table(("output", "dtype", "shape"), [line[:3] for line in lines])
            for name, _, shape, value in lines:
                click.echo(f"\n{printable(name)}:")
                click.echo(values_text(value))
                if self.streamed and len(value) < shape[0]:
                    click.echo(f"… and {shape[0] - len(value)} more rows (-o writes them all)")
        if output is not None:
            click.echo(f"wrote {output}")

    def expectation(self, expected: Expected) -> None:
        for sentence in expected.sentences():
            click.echo(sentence, err=not expected.equal)

    def close(self) -> None:
        pass


class JsonResults:
    """Collects one document, and prints it at the end; ``keep``: with the outputs' values."""

    def __init__(self, names: Sequence[str], keep: bool) -> None:
        self.names, self.keep = names, keep
        self.outputs: list[list[Any]] = []
        self.document: dict[str, Any] = {}

    def best(self, start: int, outputs: Sequence[Any], best: Best, texts: Sequence[str]) -> None:
        rows = self.document.setdefault("top", [])
        for name, ranked_rows in best:
            for index, row in enumerate(ranked_rows):
                entry: dict[str, Any] = {"output": name, "row": start + index}
                if texts:
                    entry["text"] = texts[start + index]
                entry["classes"] = [
                    {"class": number_, "name": title or None, "score": score}
                    for number_, title, score in row
                ]
                rows.append(entry)
        self.values(outputs, streamed=False)

    def values(self, outputs: Sequence[Any], streamed: bool) -> None:  # noqa: ARG002
        if not self.keep:
            return
        if not self.outputs:
            self.outputs = [[] for _ in outputs]
        for parts, output in zip(self.outputs, outputs, strict=True):
            parts.append(output)

    def finish(self, output: str | None, rows: int | None) -> None:  # noqa: ARG002
        if output is not None:
            self.document["file"] = output
            return
        entries = []
        for name, parts in zip(self.names, self.outputs, strict=True):
            value = parts[0] if len(parts) == 1 else np.concatenate(parts)
            entry: dict[str, Any] = {"name": name}
            if isinstance(value, np.ndarray):
                kind = "string" if value.dtype.hasobject else str(value.dtype)
                entry |= {"dtype": kind, "shape": list(value.shape)}
            entries.append(entry | {"values": plain(value)})
        self.document["outputs"] = entries

    def expectation(self, expected: Expected) -> None:
        self.document["expected"] = expected.report()

    def close(self) -> None:
        dump_json(self.document)
