"""The group of commands: help, errors, Ctrl-C, broken pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from small_models import COMMAND, ROWS, linear, saved, saved_array, sparse_array

import scratch_onnx.commands
from scratch_onnx.commands import COMMANDS, cli
from scratch_onnx.interpreter.errors import RunError


def test_help_lists_every_command(call):
    result = call("--help")
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in result.output
        assert line.split()[0] in result.output


OWN = [name for name in COMMANDS if COMMANDS[name][0].startswith("scratch_onnx.commands.")]


@pytest.mark.parametrize("name", OWN)
def test_help_of_every_command_has_an_example(call, name):
    result = call(name, "--help")
    assert result.exit_code == 0, result.output
    assert f"Example:\n    scratch-onnx {name} " in result.output
    assert "--debug" in result.output


@pytest.mark.parametrize("name", OWN)
def test_the_line_in_the_list_says_what_the_command_is(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_version(call):
    assert call("--version").output == "scratch-onnx, version 0.1.0\n"


def test_an_unknown_command_is_wrong_usage(call):
    result = call("rnu")
    assert result.exit_code == 2
    assert "No such command 'rnu'" in result.stderr


def test_an_unknown_option_is_wrong_usage(call):
    assert call("run", "--nope").exit_code == 2


def test_debug_brings_the_traceback_before_and_behind_the_command(process):
    for arguments in (["--debug", "run", "no.onnx"], ["run", "no.onnx", "--debug"]):
        done = process(*arguments)
        assert done.returncode == 1
        assert b"Traceback" in done.stderr
        assert b"no.onnx: no such file" in done.stderr


def raising(error):
    @click.command()
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RunError("node 3\nfailed"), "Error: node 3 failed\n"),
        (MemoryError("Unable to allocate 4 TiB"), "Error: not enough memory: Unable to allocate"),
        (FileNotFoundError(2, "No such file", "a.txt"), "Error: a.txt: No such file\n"),
        (KeyError("x"), "Error: unexpected KeyError: 'x' (--debug shows where)\n"),
    ],
)
def test_every_error_is_one_line(monkeypatch, call, error, line):
    monkeypatch.setitem(COMMANDS, "run", ("a:b", "help"))
    monkeypatch.setattr(
        scratch_onnx.commands, "import_module", lambda _: type("module", (), {"b": raising(error)})
    )
    result = call("run")
    assert result.exit_code == 1
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


def test_a_missing_extra_is_one_line(monkeypatch, call):
    def missing(_):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(scratch_onnx.commands, "import_module", missing)
    result = call("export", "model.keras")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: 'export' needs tensorflow, which is not installed: "
        "pip install 'scratch-onnx[export]'\n"
    )


def test_an_extra_that_is_missed_later_is_named_too(monkeypatch, call):
    @click.command()
    def command():
        raise ModuleNotFoundError("No module named 'netron'", name="netron")

    monkeypatch.setitem(COMMANDS, "view", ("a:b", "help"))
    monkeypatch.setattr(
        scratch_onnx.commands, "import_module", lambda _: type("m", (), {"b": command})
    )
    assert call("view").stderr == (
        "Error: 'view' needs netron, which is not installed: pip install 'scratch-onnx[view]'\n"
    )


def test_a_broken_pipe_is_silent(tmp_path):
    model, rows = saved(tmp_path, linear()), saved_array(tmp_path, np.tile(ROWS, (2000, 1)))
    with subprocess.Popen(
        [*COMMAND, "run", model, rows, "--top", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().split()[0] == b"row"
        running.stdout.close()
        errors = running.stderr.read()
    assert errors == b""


@pytest.mark.parametrize("package", ["click", "numpy", "onnx"])
def test_an_interrupt_while_packages_are_imported_is_one_line(package):
    """As when Ctrl-C is pressed in the first moments."""
    script = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == '{package}':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from scratch_onnx.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "a.onnx", "x.npy"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.strip()) == (130, "Interrupted.")


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, b"Interrupted.\n"), (signal.SIGTERM, b"")]
)
def test_an_end_from_outside_is_clean(tmp_path, number, said):
    """In the middle of a long stream: no traceback, and no unfinished file."""
    model, big = saved(tmp_path, linear()), sparse_array(tmp_path / "big.npy")
    with subprocess.Popen(
        [*COMMAND, "run", model, big, "--batch-size", "1000", "-o", str(tmp_path / "out.npy")],
        stderr=subprocess.PIPE,
    ) as running:
        for _ in range(300):
            if list(tmp_path.glob(".out.npy.*.part")):
                break
            time.sleep(0.1)
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert errors == said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.npy", "model.onnx"]
