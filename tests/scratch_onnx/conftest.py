"""Settings and fixtures of the tests of the front door."""

from __future__ import annotations

import os
import subprocess

import pytest
from click.testing import CliRunner
from small_models import COMMAND


@pytest.fixture
def call():
    """Run the command line in this process; gives click's result."""
    from scratch_onnx.commands import cli

    def run(*arguments, **options):
        return CliRunner().invoke(cli, [str(a) for a in arguments], **options)

    return run


@pytest.fixture
def fails(call):
    """Run the command line, expect one line of error and exit code 1, and return the line."""

    def run(*arguments, **options):
        result = call(*arguments, **options)
        assert result.exit_code == 1, result.output
        assert result.stderr.count("\n") == 1, result.stderr
        assert "Traceback" not in result.output
        return result.stderr

    return run


@pytest.fixture
def process():
    """Run the command line as a process of its own."""

    def run(*arguments, **options):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            env={**os.environ, "NO_COLOR": "1"},
            timeout=60,
            **options,
        )

    return run
