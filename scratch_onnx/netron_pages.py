"""Netron's pages for one model, on a local address, with nothing that leaves the machine.

Netron's own server would do, but its page asks ipinfo.io where the reader is and
reports use and errors, with the model's name, to its makers. The pages are served
here as they are, but for the switch that Netron itself has for this (version 0.0.0
is a developer's copy, which reports nothing), and with a content security policy
that lets the page reach this address only.
"""

from __future__ import annotations

import re
import sys
from functools import partial
from html import escape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "worker-src 'self' blob:; connect-src 'self'; frame-src 'none'"
)
# The page asks for leave to report, which it cannot do here: it need not ask. The cookie is gone
# before a page of another server on this machine could take it for an answer.
_COOKIE = "consent=1; Path=/; Max-Age=20; SameSite=Strict"


class _Handler(SimpleHTTPRequestHandler):
    """Serves Netron's folder, the model beside it, and an index page that opens the model."""

    def __init__(self, *args: Any, name: str, model: bytes, **options: Any) -> None:
        self.name, self.model = name, model
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        """Answer a request."""
        path = urlsplit(self.path).path
        if path in ("/", "/index.html"):
            self._send(self._index(), "text/html; charset=utf-8")
        elif path == f"/data/{quote(self.name)}":
            self._send(self.model, "application/octet-stream")
        else:
            super().do_GET()

    def _index(self) -> bytes:
        page = (Path(self.directory) / "index.html").read_text(encoding="utf-8")
        meta = (
            '<meta name="version" content="0.0.0"><meta name="type" content="Python">'
            f'<meta name="file" content="/data/{escape(quote(self.name))}">'
            f'<meta name="identifier" content="{escape(self.name)}">'
        )
        page = re.sub(r'<meta name="date" content="[^"]*">', "", page)
        page = re.sub(r'<meta name="version" content="[^"]*">', lambda _: meta, page)
        return page.encode()

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        """Every answer: nothing is kept, and nothing else is reached."""
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Set-Cookie", _COOKIE)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """No log: the terminal is the reader's."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle of an answer is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def server_of(name: str, model: bytes, port: int) -> ThreadingHTTPServer:
    """A server of the model on 127.0.0.1; port 0 is a free one.

    Raises ``ModuleNotFoundError`` where Netron is not installed, and ``OSError``
    for a port that cannot be had.
    """
    import netron

    folder = Path(netron.__file__).parent
    handler = partial(_Handler, directory=str(folder), name=name, model=model)
    return _Server(("127.0.0.1", port), handler)
