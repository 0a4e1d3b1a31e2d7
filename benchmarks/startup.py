"""Times whole processes, and the loading of a large model: ``python -m benchmarks.startup``.

The command line on one image of the example CNN beside a minimal script with onnxruntime that does
the same, and ResNet50 as a session of either. A process each time, the sides in turn, the model's
file in the system's cache, and Python's bytecode written before, as after an installation.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from . import results
from .models import make, path

DIGITS = Path(__file__).parents[1] / "examples" / "digits"

ONNXRUNTIME = """
import sys
import numpy as np
import onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {session.get_inputs()[0].name: np.load(sys.argv[2])})[0])
"""

LOAD = """
import sys, time
import numpy, {package}
{package}.InferenceSession  # with what it imports
start = time.perf_counter()
session = {package}.InferenceSession(sys.argv[1])
print(time.perf_counter() - start)
"""


def processes(image: Path) -> dict[str, list[str]]:
    """Name → command, of all that is timed as a whole process."""
    arguments = [str(DIGITS / "digits.onnx"), str(image)]
    ours = str(Path(sys.executable).with_name("scratch-onnx"))
    return {
        "onnxruntime: a script that runs the example": [
            sys.executable, "-c", ONNXRUNTIME, *arguments,
        ],
        "scratch-onnx run": [ours, "run", *arguments],
        "scratch-onnx --help": [ours, "--help"],
        "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
    }  # fmt: skip


def loads(model: str) -> dict[str, list[str]]:
    """Name → command, of all that print how long they took to load a model."""
    return {
        f"{side}: load {model}": [
            sys.executable,
            "-c",
            LOAD.format(package=package),
            str(path(model)),
        ]
        for side, package in (("onnxruntime", "onnxruntime"), ("ours", "scratch_onnx"))
    }


def measure(commands: dict[str, list[str]], rounds: int, *, whole: bool) -> list[dict[str, Any]]:
    """The commands in turn; the ratio is the median over turns of a time over the first's.

    ``whole``: the time of the process, and otherwise what the process prints.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, env=environment, check=True)
            took = time.perf_counter() - start
            if turn:  # the first one writes bytecode, and brings files into the cache
                times[name].append(took if whole else float(done.stdout))
    base = next(iter(times.values()))
    return [
        {
            "name": name,
            "median": statistics.median(all_),
            "fastest": min(all_),
            "ratio": statistics.median(a / b for a, b in zip(all_, base, strict=True)),
        }
        for name, all_ in times.items()
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | median | over onnxruntime |", "| --- | --- | --- |"]
    for row in rows:
        lines.append(f"| {row['name']} | {row['median'] * 1e3:.0f} ms | {row['ratio']:.2f} |")
    return "\n".join(lines)


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@click.option("--save", is_flag=True, help="Write benchmarks/results/startup.json and .md.")
def main(rounds: int, save: bool) -> None:
    """Time start-up and loading beside onnxruntime's."""
    make("resnet50")
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.npy"
        np.save(image, np.load(DIGITS / "input.npy")[:1])
        rows = measure(processes(image), rounds, whole=True)
    rows += measure(loads("resnet50"), rounds, whole=False)
    click.echo(table(rows))
    if save:
        results.save("startup", rows, ("name",), table)


if __name__ == "__main__":
    main()
