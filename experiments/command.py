"""``scratch-onnx experiments list | run | report``.

Heavy packages are imported inside the commands: ``--help`` and ``list`` need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scratch_onnx.experiments.variants import Family

_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file with variants of your own, beside the built-in ones.",
)
_OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder for models and records.",
)


@click.group()
def experiments() -> None:
    """Train the report's models, run them on both sides, and report."""


@experiments.command("list")
@_CONFIG
@_OUT
@click.argument("names", nargs=-1)
def list_command(names: Sequence[str], config: Path | None, out: Path) -> None:
    """Show the variants: name, model, reported F1, and whether a record is there.

    NAMES are kinds (cnn), families (cnn/layers), variants (cnn/layers/3), or all, faithful,
    improved; without any, all are shown.
    """
    from scratch_onnx.experiments.listing import table
    from scratch_onnx.experiments.variants import select

    for line in table(select(_families(config), names or ["all"]), out):
        click.echo(line)


@experiments.command("run")
@click.argument("names", nargs=-1, required=True)
@_CONFIG
@_OUT
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="Where the data is: CIFAR-10 in any form, a folder with NusaX's csv files, or a folder "
    "that holds them as cifar10.zip and nusax/. May be given more than once. Default: "
    "$SCRATCH_ONNX_DATA, else a download.",
)
@click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many seeds, counted up from --seed.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Other than specified: a quick pass.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="At most N samples of each split: a quick pass, marked as such.",
)
@click.option("--force", is_flag=True, help="Train again what is finished.")
def run_command(
    names: Sequence[str],
    config: Path | None,
    out: Path,
    data: tuple[Path, ...],
    seed: int,
    seeds: int,
    epochs: int | None,
    limit: int | None,
    force: bool,
) -> None:
    """Train, export, run on both sides and record the variants that NAMES stand for.

    NAMES are kinds (cnn), families (cnn/layers), variants (cnn/layers/3), or all, faithful,
    improved. Variants with a record are skipped; an interrupted run goes on where it stopped.
    """
    _require("tensorflow", "tf2onnx", "sklearn", "PIL")
    from scratch_onnx.experiments import progress, runner
    from scratch_onnx.experiments.errors import ExperimentError
    from scratch_onnx.experiments.variants import select

    variants = select(_families(config), names)
    numbers = tuple(range(seed, seed + seeds))
    options = runner.Options(out, data, numbers, epochs, limit, force)
    failures = runner.run(variants, options, progress.make())
    if failures:
        raise ExperimentError("; ".join([f"{len(failures)} failed", *failures]))


@experiments.command("report")
@click.option(
    "--records",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with the records.  [default: OUT/records]",
)
@_CONFIG
@_OUT
def report_command(records: Path | None, config: Path | None, out: Path) -> None:
    """Build report.md, report.html and figures/ in OUT from the records alone."""
    _require("matplotlib")
    from scratch_onnx.experiments.report import write_report

    for path in write_report(records or out / "records", out, _families(config)):
        click.echo(path)


def _require(*modules: str) -> None:
    """Say how to install what is missing, before any work is done."""
    from scratch_onnx.experiments.errors import ExperimentError

    if missing := [name for name in modules if find_spec(name) is None]:
        raise ExperimentError(
            f"this needs {', '.join(missing)}: pip install 'scratch-onnx[experiments]'"
        )


def _families(config: Path | None) -> list[Family]:
    from scratch_onnx.experiments.catalogue import FAMILIES

    if config is None:
        return list(FAMILIES)
    from scratch_onnx.experiments.config import load_config

    return load_config(config, FAMILIES)
