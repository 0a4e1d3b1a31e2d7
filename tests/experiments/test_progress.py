"""Progress: plain lines for a log, a live bar for a terminal."""

from __future__ import annotations

import io

from scratch_onnx.experiments.progress import BarProgress, LineProgress, make


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_in_a_log() -> None:
    log = io.StringIO()
    progress = make(log)
    assert isinstance(progress, LineProgress)
    with progress.training("cnn/layers/1 seed 42", 2, 3) as epochs:
        for epoch in range(2):
            for step in range(3):
                epochs.batch(epoch, step, 1.5)
            epochs.epoch(epoch, {"loss": 1.25, "val_loss": 1.5 + epoch})
    first, second, third = log.getvalue().splitlines()
    assert "\x1b" not in log.getvalue()
    assert first.endswith("cnn/layers/1 seed 42: 2 epochs of 3 batches")
    assert "epoch 1/2, loss 1.2500, val_loss 1.5000, 0 s spent, 0 s left" in second
    assert "epoch 2/2, loss 1.2500, val_loss 2.5000" in third


def test_a_bar_in_a_terminal() -> None:
    screen = Terminal()
    progress = make(screen)
    assert isinstance(progress, BarProgress)
    with progress.training("cnn/layers/1", 2, 3) as epochs:
        epochs.batch(0, 0, 1.5)
        epochs.batch(0, 2, 1.25)
        epochs.epoch(0, {"loss": 1.25, "val_loss": 1.0})
        epochs.batch(1, 0, 0.75)
    shown = screen.getvalue()
    assert "epoch 2/2 loss 0.7500 val_loss 1.0000" in shown
    assert "cnn/layers/1: epoch 1/2, loss 1.2500, val_loss 1.0000" in shown
    assert "left" in shown
    progress.line("[brackets] stay")
    assert "[brackets] stay" in screen.getvalue()
