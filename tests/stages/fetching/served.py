"""A web server on this machine that behaves as badly as it is told to."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """What a server has, how it gives it, and what it was asked.

    Attributes:
        data: the file.
        etag: its name for these bytes; empty for none.
        ranges: whether it sends parts.
        says_size: whether it tells the size.
        drops: after how many bytes each of the next answers ends, by a reset of the connection.
        statuses: the next answers, in place of the file.
        asked: the `Range` of each request; empty where there was none.
    """

    data: bytes
    etag: str = '"one"'
    ranges: bool = True
    says_size: bool = True
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    shelf: Served

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        if self.path == "/moved":
            self._lead_on()
            return
        self.shelf.asked.append(asked)
        if self.shelf.statuses:
            self.send_error(self.shelf.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.shelf.ranges else 0
        if start > 0 and start >= len(self.shelf.data):
            self.send_error(416)
            return
        self._send(self.shelf.data[start:], start)

    def _lead_on(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.shelf.url)
        self.end_headers()

    def _send(self, body: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.shelf.data) - 1}/{len(self.shelf.data)}")
        if self.shelf.etag:
            self.send_header("ETag", self.shelf.etag)
        if self.shelf.says_size:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.shelf.drops:
            self.wfile.write(body[: self.shelf.drops.pop(0)])
            self.wfile.flush()
            # closed without lingering: the reader sees a reset, as of a cable that is pulled
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(data: bytes, **how: Any) -> Iterator[Served]:
    """Serve a file on this machine, in whatever way is asked for."""
    shelf = Served(data, **how)
    handler = type("Handler", (_Handler,), {"shelf": shelf})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        shelf.url = f"http://127.0.0.1:{server.server_port}/films.zip"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield shelf
        finally:
            server.shutdown()
            thread.join()


def unused_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def bytes_asked_from(served_file: Served) -> list[int]:
    """Return where each request began."""
    return [int(found[1]) if (found := re.match(r"bytes=(\d+)-", asked)) else 0 for asked in served_file.asked]
