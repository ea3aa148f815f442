"""The metrics endpoint of a live system: `/metrics` for Prometheus, `/status` for `supernode status`.

It shows the latest snapshot that was published, from threads of its own. They share the interpreter with the event loop
on which the scheduler lives, so what they may take of it is bounded, whoever asks and however often: a page is written
once for each snapshot (`shown`), answers have a pace, and connections a number, of which those that say nothing are
closed first.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import BoundedSemaphore, Lock, Thread
from typing import Any, Final

from deploy.cluster.ports import LOOPBACK, METRICS_PORT
from deploy.live.shown import Page, Shown
from scheduler.metrics.export.registry import process_registry
from scheduler.metrics.snapshot import Snapshot
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import monotonic_s, pause_s

IDLE_S: Final = 5.0
"""Seconds after which a connection on which nothing comes is closed."""

MAX_CONNECTIONS: Final = 16
"""Connections, a thread each; for one more the one that has been silent for longest is closed."""

PACE_S: Final = 0.02
"""Seconds between two answers: each takes about half a millisecond of the interpreter."""

CLOSE_S: Final = 0.5
"""Seconds that a new connection waits for another to be closed or answered."""

POLL_S: Final = 0.1
"""Seconds within which `close` is heard."""


class Exporter:
    """Serves from its construction until `close`, on the given address and no other.

    Port 0 takes any free one; `address` is "host:port" as it came out. A `ClusterError` if it cannot listen.
    """

    def __init__(self, snapshot: Snapshot, host: str = LOOPBACK, port: int = METRICS_PORT) -> None:
        self._process = process_registry()
        try:
            self._server = _Server((host, port), Shown(snapshot, {}, self._process))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ClusterError(
                f"metrics cannot be served on {host}:{port} ({reason}): give another port with --metrics-port N"
            ) from error
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(POLL_S,), name="exporter", daemon=True)
        self._thread.start()

    def publish(self, snapshot: Snapshot, more: Mapping[str, Any] | None = None) -> None:
        """Show this from now on; `more` is what `/status` tells besides, as plain values. Costs nothing."""
        self._server.shown = Shown(snapshot, more or {}, self._process)

    def page(self, path: str, accept: str) -> Page:
        """What it answers to a path, for who shows it elsewhere too; it may have to be written first."""
        return self._server.shown.page(path, accept)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Keeps what is shown for its handlers, each of which reads it once, so that it sees one state only."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], shown: Shown) -> None:
        self.shown = shown
        self._free = BoundedSemaphore(MAX_CONNECTIONS)
        self._lock = Lock()
        self._silent: dict[socket.socket, None] = {}
        self._next_s = 0.0
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The parent also asks a name server what this host is called, which may take seconds and is used for nothing.
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self._close_silent()
            if not self._free.acquire(timeout=CLOSE_S):
                self.shutdown_request(request)
                return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def note_silent(self, connection: socket.socket, *, is_silent: bool) -> None:
        """Whether a connection has said what it wants."""
        with self._lock:
            self._silent.pop(connection, None)
            if is_silent:
                self._silent[connection] = None

    def keep_pace(self) -> None:
        """Wait until it is the caller's turn to be answered."""
        with self._lock:
            now_s = monotonic_s()
            turn_s = max(now_s, self._next_s)
            self._next_s = turn_s + PACE_S
        if turn_s > now_s:
            pause_s(turn_s - now_s)

    def _close_silent(self) -> None:
        """Have the connection go that has been silent for longest, if any is: the others will have their answer."""
        with self._lock:
            silent = next(iter(self._silent), None)
            if silent is None:
                return
            del self._silent[silent]
            with suppress(OSError):  # its client may have closed it meanwhile
                silent.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away before it had its answer is nobody's fault.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def handle_one_request(self) -> None:
        """Wait for a request and answer it."""
        self._served.note_silent(self.connection, is_silent=True)
        try:
            super().handle_one_request()
        finally:
            self._served.note_silent(self.connection, is_silent=False)

    def do_GET(self) -> None:
        """Answer one request."""
        self._served.note_silent(self.connection, is_silent=False)
        self._served.keep_pace()
        page = self._served.shown.page(self.path.partition("?")[0], self.headers.get("Accept", ""))
        body = page.body
        self.send_response(page.code)
        self.send_header("Content-Type", page.content_type)
        if page.packed is not None:
            self.send_header("Vary", "Accept-Encoding")
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                body = page.packed
                self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    @property
    def _served(self) -> _Server:
        assert isinstance(self.server, _Server)
        return self.server

    def log_message(self, format: str, *args: Any) -> None:
        """A line for every scrape would tell nobody anything."""
