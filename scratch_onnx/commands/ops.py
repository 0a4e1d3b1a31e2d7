"""``scratch-onnx ops``: every operator, and what of it is supported."""

from __future__ import annotations

from fnmatch import fnmatchcase

import click

from scratch_onnx.commands import options
from scratch_onnx.interpreter.support_table import Row, Support, rows
from scratch_onnx.output import dump_json, table


@click.command()
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--domain", metavar="NAME", help="Only of this domain; ai.onnx is the standard's.")
@click.option("--missing", is_flag=True, help="Only those with a version that is not supported.")
@options.JSON
@options.examples("scratch-onnx ops 'Reduce*'", "scratch-onnx ops --missing")
def ops(patterns: tuple[str, ...], domain: str | None, missing: bool, as_json: bool) -> None:
    """List operators with their versions and support, those that match a PATTERN.

    A kernel is a NumPy function for just that version; a body is the nodes by which the standard
    defines it.
    """
    wanted = "" if domain == "ai.onnx" else domain
    found = [
        row
        for row in rows()
        if (not patterns or any(fnmatchcase(row.name, pattern) for pattern in patterns))
        and wanted in (None, row.domain)
        and not (missing and not row.of(Support.NONE))
    ]
    if as_json:
        dump_json([{"name": r.name, "domain": r.domain, **_versions(r)} for r in found])
        return
    table(
        ("operator", "domain", *(kind.value for kind in Support), "module"),
        [
            (
                row.name,
                row.domain or "ai.onnx",
                *(", ".join(map(str, versions)) for versions in _versions(row).values()),
                row.module.rpartition(".")[2],
            )
            for row in found
        ],
    )


def _versions(row: Row) -> dict[str, list[int]]:
    return {kind.value: row.of(kind) for kind in Support}
