"""Netron's page and a trace's page in a real Chromium."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from recurrent_models import IDS, text_model
from small_models import COMMAND, linear, saved, saved_array

DIGITS = Path(__file__).parents[2] / "examples" / "digits"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the browser's pipe is POSIX's")
# Where SCREENSHOTS names a folder, the pages are photographed there, to be looked at.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def photograph(browser, name):
    if SCREENSHOTS:
        browser.screenshot(Path(SCREENSHOTS) / f"{name}.png")


@contextmanager
def viewing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running ``view``, and the address that it prints."""
    with subprocess.Popen(
        [*COMMAND, "view", "--no-browser", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        try:
            yield running, line.split(" is shown at ")[1].split()[0]
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(20)


@pytest.mark.parametrize(
    ("name", "operators", "shapes"),
    [
        ("cnn", {"Conv", "Relu", "MaxPool", "MatMul", "Softmax"}, {"16×8×8", "32×2×2"}),
        ("text", {"Gather", "LSTM", "GRU", "Gemm", "Softmax"}, {"7×2×N×6", "1×N×6", "N×3"}),
    ],
)
def test_netron_shows_the_nodes_and_the_shapes(browser, tmp_path, name, operators, shapes):
    model = saved(tmp_path, text_model(), "reviews.onnx")
    if name == "cnn":
        model = str(DIGITS / "digits.onnx")
    browser.requests.clear()
    with viewing(model) as (_, address):
        browser.resize(1000, 1200)
        browser.open(address)
        browser.wait_for("document.body?.className == 'default'")
        texts = browser.evaluate(
            "[...document.querySelectorAll('.node-item text')].map(t => t.textContent)"
        )
        labels = browser.evaluate(
            "[...document.querySelectorAll('.edge-label')].map(t => t.textContent)"
        )
        photograph(browser, f"netron-{name}")
    assert operators <= set(texts)
    assert all(any(shape in label for label in labels) for shape in shapes), labels
    assert browser.requests
    assert all(url.startswith((address, "data:", "blob:")) for url in browser.requests)


def test_ctrl_c_stops_it_and_frees_the_port(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = saved(tmp_path, linear())
    for _ in range(2):  # the port is free again at once
        with viewing(model, "--port", str(port)) as (running, address):
            assert address == f"http://127.0.0.1:{port}"
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=20)
        assert (running.returncode, errors) == (0, "")


def test_a_port_that_is_taken(fails, tmp_path):
    model = saved(tmp_path, linear())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = fails("view", model, "--no-browser", "--port", port)
    assert line == f"Error: port {port} cannot be used: Address already in use\n"


def test_without_netron(fails, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "netron", None)
    line = fails("view", saved(tmp_path, linear()), "--no-browser")
    assert "needs netron, which is not installed: pip install 'scratch-onnx[view]'" in line


def test_no_model(fails):
    assert "no such file" in fails("view", "no.onnx")


@pytest.mark.parametrize("width", [1200, 420])
@pytest.mark.parametrize("name", ["cnn", "text"])
def test_the_page_of_a_trace(browser, call, tmp_path, name, width):
    if name == "cnn":
        arguments = [DIGITS / "digits.onnx", DIGITS / "input.npy"]
    else:
        arguments = [saved(tmp_path, text_model()), saved_array(tmp_path, IDS)]
    page = tmp_path / "trace.html"
    assert call("trace", *arguments, "--html", page).exit_code == 0
    browser.open("about:blank")
    browser.requests.clear()
    browser.resize(width, 1000)
    browser.open(page.as_uri())
    browser.wait_for("document.readyState == 'complete' && document.title.startsWith('Trace of')")
    photograph(browser, f"trace-{name}-{width}")
    nodes = browser.evaluate("[...document.querySelectorAll('h3')].map(h => h.textContent)")
    rows = browser.evaluate("document.querySelectorAll('tbody tr').length")
    pictures = browser.evaluate(
        "[...document.images].map(i => [i.alt, i.complete && i.naturalWidth > 0])"
    )
    assert len(nodes) == rows
    assert pictures
    assert all(drawn for _, drawn in pictures)
    captions = " ".join(alt for alt, _ in pictures)
    for expected in {
        "cnn": ["16 of 16 channels", "32 of 32 channels"],
        "text": ["forward: forget gate", "reverse: cell state", "update gate", "hidden state"],
    }[name]:
        assert expected in captions
    assert browser.evaluate("document.querySelectorAll('svg.histogram rect').length") > 20
    # It needs no network, and no wider window: only the table scrolls sideways.
    assert all(url.startswith(("file:", "data:")) for url in browser.requests)
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_names_cannot_put_markup_into_the_page(browser, call, tmp_path):
    model = linear()
    model.graph.node[0].name = "<img src=x onerror=document.title='owned'>"
    page = tmp_path / "trace.html"
    rows = saved_array(tmp_path, np.zeros((1, 4), np.float32))
    assert call("trace", saved(tmp_path, model), rows, "--html", page).exit_code == 0
    browser.open(page.as_uri())
    browser.wait_for("document.readyState == 'complete' && document.title.startsWith('Trace of')")
    assert browser.evaluate("document.images.length") == 0
