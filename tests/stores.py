"""A store that speaks S3, in a process of its own, and a gateway before it that counts requests and lets some fail."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from manifests.objects import ObjectPath

BUCKET = "films"
SECRETS = {"AWS_ACCESS_KEY_ID": "for-tests", "AWS_SECRET_ACCESS_KEY": "for-tests", "AWS_DEFAULT_REGION": "us-east-1"}
Fault = Literal["", "400", "403", "500", "503", "reset", "cut"]
SAID = {
    "400": b"<Error><Code>InvalidPart</Code></Error>",
    "403": b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
    "503": b"<Error><Code>SlowDown</Code></Error>",
}


@contextmanager
def moto() -> Iterator[str]:
    """Yield the address of moto's server, which has one bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _await(port)
            _asked(port, "PUT", f"/{BUCKET}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


def _await(port: int) -> None:
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError("moto's server does not listen")


def _asked(port: int, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x/20250101/us-east-1/s3/"})
    connection.getresponse().read()
    connection.close()


@dataclass(slots=True)
class Gateway:
    """What stands between the tool and the store.

    Attributes:
        address: of the gateway.
        requests: method and path of each request so far.
        fault: names what goes wrong with a request, by its number, method and path; empty where nothing does.
        loses: whether the store does what it is asked and the answer is lost.
        stalls: whether a request is held for ever, which no store answers then.
        stalled: set when one is.
    """

    address: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[int, str, str], Fault] = lambda _number, _method, _path: ""
    loses: Callable[[int, str, str], bool] = lambda _number, _method, _path: False
    stalls: Callable[[str, str], bool] = lambda _method, _path: False
    stalled: threading.Event = field(default_factory=threading.Event)

    def counted(self, start: str = "") -> Mapping[str, int]:
        """Return how many requests of each kind there were so far for keys that start so."""
        found: dict[str, int] = {}
        for method, path in self.requests:
            kind = "LIST" if method == "GET" and "list-type" in path else method
            if path.startswith(f"/{BUCKET}/{start}") or (kind == "LIST" and f"prefix={start}" in path):
                found[kind] = found.get(kind, 0) + 1
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: str, told: Gateway) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store.removeprefix("http://")
        self.told = told
        told.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        assert isinstance(self.server, _Server)
        told = self.server.told
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told.requests.append((self.command, unquote(self.path)))
        fault = told.fault(len(told.requests), self.command, self.path)
        if told.stalls(self.command, self.path):
            told.stalled.set()
            threading.Event().wait(60)
        if fault == "reset":
            self.close_connection = True
        elif fault and fault != "cut":
            self._answer(int(fault), {}, SAID.get(fault, b""))
        else:
            lost = told.loses(len(told.requests), self.command, self.path)
            self._forward(self.server.store, body, cut=fault == "cut", lost=lost)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle  # noqa: N815 - the names that http.server asks for

    def _forward(self, store: str, body: bytes, *, cut: bool, lost: bool) -> None:
        connection = http.client.HTTPConnection(store)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        data, headers = response.read(), dict(response.getheaders())
        connection.close()
        if lost:
            self.close_connection = True
        else:
            self._answer(response.status, headers, data, cut=cut)

    def _answer(self, status: int, headers: Mapping[str, str], data: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        size = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_arguments: object) -> None:
        return

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()


@contextmanager
def gateway(store: str) -> Iterator[Gateway]:
    """Yield a gateway to a store."""
    told = Gateway()
    with _Server(store, told) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def contents(root: ObjectPath | Path) -> dict[str, str]:
    """Return the sha256 of every file under a root, by its path; the lock's file left out."""
    if isinstance(root, ObjectPath):
        files = {name: (root / name).read_bytes() for name, _ in root.under()}
    else:
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if "lock" not in name}


def environment(address: str) -> dict[str, str]:
    """Return the variables by which a command finds a store."""
    return {**os.environ, **SECRETS, "AWS_ENDPOINT_URL": address}
