"""A report as a list of blocks, each of which can be written as Markdown and as HTML."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 3."""

    text: str
    level: int = 2

    def markdown(self) -> str:
        return f"{'#' * self.level} {self.text}"

    def html(self) -> str:
        return f'<h{self.level} id="{anchor(self.text)}">{_inline(self.text)}</h{self.level}>'


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``notice`` sets it apart, as a warning."""

    text: str
    notice: bool = False

    def markdown(self) -> str:
        return f"> **{self.text}**" if self.notice else self.text

    def html(self) -> str:
        return f"<p{' class=notice' if self.notice else ''}>{_inline(self.text)}</p>"


@dataclass(frozen=True)
class Grid:
    """A table; columns are aligned to the right unless ``text_columns`` says otherwise."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    """How many columns from the left hold text."""

    def markdown(self) -> str:
        rules = [
            "---" if column < self.text_columns else "---:" for column in range(len(self.header))
        ]
        escaped = ([cell.replace("|", "\\|") for cell in row] for row in self.rows)
        lines = (self.header, rules, *escaped)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def html(self) -> str:
        head = "".join(
            f"<th scope=col{self._side(i)}>{_inline(cell)}</th>"
            for i, cell in enumerate(self.header)
        )
        body = "\n".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows)
        return (
            "<div class=scroll tabindex=0><table>"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )

    def _cells(self, row: Sequence[str]) -> str:
        first, *rest = row
        cells = [f"<th scope=row>{_inline(first)}</th>"]
        cells += [f"<td{self._side(i)}>{_inline(cell)}</td>" for i, cell in enumerate(rest, 1)]
        return "".join(cells)

    def _side(self, column: int) -> str:
        return "" if column < self.text_columns else " class=number"


@dataclass(frozen=True)
class Figure:
    """A chart in SVG, with what it shows in words for those who do not see it."""

    name: str
    svg: str
    description: str
    shape: str = "wide"
    """``wide`` shrinks with the window down to a readable size, ``natural`` keeps its own."""

    def markdown(self) -> str:
        return f"![{self.description}](figures/{self.name}.svg)"

    def html(self) -> str:
        data = base64.b64encode(self.svg.encode()).decode()
        return (
            f'<figure class={self.shape}><img alt="{html.escape(self.description)}" '
            f'src="data:image/svg+xml;base64,{data}"></figure>'
        )


Block = Heading | Paragraph | Grid | Figure


def anchor(text: str) -> str:
    """The id of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def to_markdown(blocks: Sequence[Block]) -> str:
    """The whole report as Markdown; figures are files below ``figures/``."""
    return "\n\n".join(block.markdown() for block in blocks) + "\n"


def to_html(blocks: Sequence[Block], title: str) -> str:
    """The whole report as one page that needs nothing from elsewhere."""
    links = " ".join(
        f'<a href="#{anchor(block.text)}">{_inline(block.text)}</a>'
        for block in blocks
        if isinstance(block, Heading) and block.level == 2
    )
    first, *rest = (block.html() for block in blocks)
    body = "\n".join([first, f"<nav>{links}</nav>", *rest])
    return _PAGE.replace("TITLE", html.escape(title)).replace("BODY", body)


def _inline(text: str) -> str:
    """Escape, then the two marks that texts of the report use: `code` and **bold**."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>
:root { color-scheme: light; --ink: #1d2328; --soft: #5a646d; --line: #d5dade; --tint: #f4f6f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 66rem; background: #fff;
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.4rem; margin: 3rem 0 .8rem; padding-top: .8rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p { max-width: 46rem; margin: .7rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1rem 0; }
a { color: #0b5a9c; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; white-space: nowrap; }
.notice { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .6rem .9rem;
  font-weight: 600; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; white-space: nowrap; }
thead th { border-bottom: 2px solid var(--soft); background: var(--tint);
  vertical-align: bottom; white-space: normal; }
tbody th { font-weight: 500; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; overflow-x: auto; }
figure img { display: block; width: 100%; height: auto; }
figure.wide img { min-width: 36rem; max-width: 54rem; }
figure.natural img { width: auto; }
@media (max-width: 40rem) {
  body { padding: 1rem .8rem 3rem; font-size: 15px; }
  th, td { padding: .3rem .5rem; }
}
@media print { nav { display: none; } .scroll { overflow: visible; } }
</style>
</head>
<body>
BODY
</body>
</html>
"""
