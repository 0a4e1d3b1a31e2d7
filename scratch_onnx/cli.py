"""The entry point of ``scratch-onnx``: what holds from the process's first line to its last."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import suppress

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells give it."""


def main() -> None:
    """Run the command that the process was called with, and end the process."""
    # A process that is ended leaves no half-written file behind either.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _end)
    if sys.argv[1:2] == ["run"]:
        # A run has threads of its own, and limits BLAS to one: OpenBLAS need not start any.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        gc.disable()  # imports make many objects and no garbage; on again when a command starts
        from scratch_onnx.commands import cli
        from scratch_onnx.light_onnx import use_light_onnx

        use_light_onnx()
        cli(prog_name="scratch-onnx")
    except SystemExit as end:
        if sys.argv[1:2] == ["run"] and isinstance(end.code, int):
            _leave(end.code)
        raise
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _leave(code: int) -> None:
    """End the process as it stands: taking Python and NumPy apart first would take 25 ms.

    Returns only where the output cannot be flushed, which Python then reports in its own way.
    """
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)
