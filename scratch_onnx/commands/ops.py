"""``scratch-onnx ops``: every operator, and what of it is supported."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from fnmatch import fnmatchcase

import click

from scratch_onnx.commands import options
from scratch_onnx.interpreter.explain import operators
from scratch_onnx.output import dump_json, table


@click.command()
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option("--domain", metavar="NAME", help="Only of this domain; ai.onnx is the standard's.")
@click.option("--missing", is_flag=True, help="Only what is not supported.")
@options.JSON
@options.examples("scratch-onnx ops 'Reduce*'", "scratch-onnx ops --missing")
def ops(patterns: tuple[str, ...], domain: str | None, missing: bool, as_json: bool) -> None:
    """List operators with their versions and support, those that match a PATTERN.

    An expanded operator is run by the definition that the standard gives of it.
    """
    wanted = "" if domain == "ai.onnx" else domain
    found = [
        one
        for one in operators()
        if (not patterns or any(fnmatchcase(one.name, pattern) for pattern in patterns))
        and wanted in (None, one.domain)
        and not (missing and one.support)
    ]
    if as_json:
        dump_json([asdict(one) for one in found])
        return
    table(
        ("operator", "domain", "versions", "with a kernel", "support"),
        [
            (
                one.name,
                one.domain or "ai.onnx",
                ", ".join(map(str, one.versions)) or "-",
                "all" if one.supported == one.versions else ", ".join(map(str, one.supported)),
                one.support or "none",
            )
            for one in found
        ],
    )
    counts = Counter(one.support or "none" for one in found)
    click.echo("\n" + ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
