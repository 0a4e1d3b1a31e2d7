"""Training progress: a live bar with the time left in a terminal, one plain line an epoch else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO


class Progress(Protocol):
    """What the runner and the training tell while they work."""

    def line(self, text: str) -> None:
        """Say one thing that stays on the screen or in the log."""

    def training(self, title: str, epochs: int, steps: int) -> Any:
        """A context in which :class:`Epochs` is told about batches and epochs."""


class Epochs(Protocol):
    """The inside of one training."""

    def batch(self, epoch: int, step: int, loss: float) -> None:
        """Batch ``step`` (from 0) of ``epoch`` (from 0) is done."""

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Epoch ``epoch`` (from 0) is done, with Keras's logs."""


def make(stream: TextIO | None = None) -> Progress:
    """The bar if ``stream`` (standard error by default) is a terminal, plain lines otherwise."""
    stream = stream or sys.stderr
    return BarProgress(stream) if stream.isatty() else LineProgress(stream)


def _summary(logs: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in logs.items())


class LineProgress:
    """Plain lines, for a log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str) -> None:
        """Write one line with the time of day."""
        print(time.strftime("%H:%M:%S"), text, file=self._stream, flush=True)

    @contextmanager
    def training(self, title: str, epochs: int, steps: int) -> Iterator[_LineEpochs]:
        """Announce the training, then one line an epoch."""
        self.line(f"{title}: {epochs} epochs of {steps} batches")
        yield _LineEpochs(self, title, epochs)


class _LineEpochs:
    def __init__(self, lines: LineProgress, title: str, epochs: int) -> None:
        self._lines, self._title, self._epochs = lines, title, epochs
        self._start = time.perf_counter()

    def batch(self, epoch: int, step: int, loss: float) -> None:
        """A log has no line for a batch."""

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        done = epoch + 1
        spent = time.perf_counter() - self._start
        left = spent / done * (self._epochs - done)
        self._lines.line(
            f"{self._title}: epoch {done}/{self._epochs}, {_summary(logs)}, "
            f"{spent:.0f} s spent, {left:.0f} s left"
        )


class BarProgress:
    """A live bar over all batches of a training, with epoch, losses and time left."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream)

    def line(self, text: str) -> None:
        """Print one line above the bar, if there is one."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def training(self, title: str, epochs: int, steps: int) -> Iterator[_BarEpochs]:
        """Show the bar while the training lasts."""
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=24),
            bars.TextColumn("{task.fields[state]}", markup=False),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(title, total=epochs * steps, state="")
            yield _BarEpochs(self, bar, task, title, epochs, steps)


class _BarEpochs:
    def __init__(
        self, owner: BarProgress, bar: Any, task: Any, title: str, epochs: int, steps: int
    ) -> None:
        self._owner, self._bar, self._task, self._title = owner, bar, task, title
        self._epochs, self._steps = epochs, steps
        self._validation = ""

    def batch(self, epoch: int, step: int, loss: float) -> None:
        state = f"epoch {epoch + 1}/{self._epochs} loss {loss:.4f}{self._validation}"
        self._bar.update(self._task, completed=epoch * self._steps + step + 1, state=state)

    def epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        if "val_loss" in logs:
            self._validation = f" val_loss {logs['val_loss']:.4f}"
        self._owner.line(f"{self._title}: epoch {epoch + 1}/{self._epochs}, {_summary(logs)}")
