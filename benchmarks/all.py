"""Runs the measurements that the docs show, and brings the docs up to date.

``python -m benchmarks.all`` runs them all, ``python -m benchmarks.all mission startup`` these two.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import click

from .bars import MISSION, VARIANTS
from .models import CASES, path


@dataclass(frozen=True)
class Suite:
    """A file of results: what is in it, and the modules and arguments that measure it."""

    about: str
    minutes: int
    """About how long it takes on two cores, its models made."""
    commands: tuple[tuple[str, ...], ...]


def _compare(
    save: str, models: tuple[str, ...], sides: tuple[str, ...], *options: str
) -> tuple[str, ...]:
    chosen = [word for side in sides for word in ("--side", side)]
    return ("benchmarks", *models, "--save", save, *chosen, *options)


BOTH = ("--threads", "1", "--threads", "2")
PAIR = ("ours", "onnxruntime")
FAST = ("ours", "ours-fast", "onnxruntime")
KERAS = ("ours", "onnxruntime", "keras-call", "keras-predict")
TEXT = (*(name for name in MISSION if name != "cnn"), "gru-bidirectional")
KERAS_TEXT = tuple(name for name in TEXT if not name.endswith("-loop"))

SUITES: dict[str, Suite] = {
    "mission": Suite(
        "the mission's models beside onnxruntime",
        5,
        (
            _compare("mission", ("cnn",), FAST, *BOTH, "--rounds", "5"),
            _compare("mission", TEXT, PAIR, *BOTH, "--rounds", "5"),
        ),
    ),
    "variants": Suite(
        "the CNN's other variants",
        2,
        (_compare("variants", VARIANTS, PAIR, *BOTH, "--rounds", "5"),),
    ),
    "networks": Suite(
        "networks at 224x224 and an encoder",
        5,
        (
            _compare("networks", ("resnet50", "vgg16"), FAST, *BOTH, "--rounds", "3"),
            _compare(
                "networks",
                ("mobilenetv2", "densenet121", "efficientnetb0", "encoder"),
                PAIR,
                *BOTH,
                "--rounds",
                "3",
            ),
        ),
    ),
    "cnn": Suite(
        "the CNN beside Keras and the reference evaluator",
        2,
        (_compare("cnn", ("cnn",), (*FAST, *KERAS[2:], "reference"), "--rounds", "5"),),
    ),
    "recurrent": Suite(
        "the text models beside Keras",
        6,
        (_compare("recurrent", KERAS_TEXT, KERAS, "--rounds", "3"),),
    ),
    "int8": Suite(
        "the CNN in 8 bits",
        1,
        (_compare("int8", ("cnn-int8", "cnn-qdq"), PAIR, *BOTH, "--rounds", "5"),),
    ),
    "startup": Suite("whole processes, and loading", 1, (("benchmarks.startup", "--save"),)),
    "growth": Suite("time and memory by batch and length", 3, (("benchmarks.growth", "--save"),)),
}


def plan(names: tuple[str, ...], resume: bool) -> list[list[str]]:
    """The commands of these suites, as lists of arguments of Python."""
    commands = []
    for name in names:
        for module, *arguments in SUITES[name].commands:
            again = ["--resume"] if resume and module == "benchmarks" else []
            commands.append(["-m", module, *arguments, *again])
    return commands


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SUITES)), metavar="[SUITE]...")
@click.option("--resume", is_flag=True, help="Leave out the cases that were saved before.")
@click.option("--dry-run", is_flag=True, help="Only say what would run, and for how long.")
def main(names: tuple[str, ...], resume: bool, dry_run: bool) -> None:
    """Measure the SUITEs (default: all), save each, and build the docs' tables from them.

    Each case is saved as soon as it is measured, and a failure stops nothing else.
    """
    chosen = names or tuple(SUITES)
    for name in chosen:
        click.echo(f"{name}: {SUITES[name].about}, about {SUITES[name].minutes} min")
    click.echo(f"About {sum(SUITES[name].minutes for name in chosen)} min on two cores, all told.")
    missing = [name for name in CASES if not path(name).exists()]
    if missing:
        click.echo(f"TensorFlow makes models as they are needed; not there yet: {len(missing)}.")
    failed = []
    for command in [*plan(chosen, resume), ["-m", "benchmarks.report"]]:
        click.echo("\n$ python " + " ".join(command))
        if not dry_run and subprocess.run([sys.executable, *command]).returncode:
            failed.append(" ".join(command))
    if failed:
        raise click.ClickException("failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
