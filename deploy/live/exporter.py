"""The metrics endpoint of a live system: `/metrics` for Prometheus, `/status` for `supernode status`.

It shows the latest snapshot that was published, written in a thread of its own: the event loop, on which the scheduler
lives, has nothing to do with a scrape but to share the interpreter with it.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import BoundedSemaphore, Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from deploy.cluster.ports import LOOPBACK, METRICS_PORT
from scheduler.metrics.export.exposition import OPENMETRICS_END, OPENMETRICS_TYPE, TEXT_TYPE, render
from scheduler.metrics.export.registry import process_registry
from scheduler.metrics.live.status import status
from scheduler.metrics.snapshot import Snapshot
from scheduler.protocol.errors import ClusterError

IDLE_S: Final = 30.0
"""Seconds after which a connection on which nothing comes is closed."""

MAX_CONNECTIONS: Final = 16
"""Connections, a thread each; one more is closed at once."""

POLL_S: Final = 0.1
"""Seconds within which `close` is heard."""

GZIP_BYTES: Final = 1400
"""What fits into one packet gains nothing by being shorter."""

GZIP_LEVEL: Final = 1
"""The fastest: labels repeat so much that it leaves a tenth."""

# Its openmetrics module has no types.
_OPENMETRICS: Final[Any] = openmetrics_exposition


class Exporter:
    """Serves from its construction until `close`, on the given address and no other.

    Port 0 takes any free one; `address` is "host:port" as it came out. A `ClusterError` if it cannot listen.
    """

    def __init__(self, snapshot: Snapshot, host: str = LOOPBACK, port: int = METRICS_PORT) -> None:
        try:
            self._server = _Server((host, port), snapshot)
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
        self._server.shown = (snapshot, more or {})

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """DeferredQueue what is shown for its handlers, each of which reads it once, so that it sees one state only."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], snapshot: Snapshot) -> None:
        self.shown: tuple[Snapshot, Mapping[str, Any]] = (snapshot, {})
        self.process = process_registry()
        self._free = BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The parent also asks a name server what this host is called, which may take seconds and is used for nothing.
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away before it had its answer is nobody's fault.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def do_GET(self) -> None:
        """Answer one request."""
        assert isinstance(self.server, _Server)
        snapshot, more = self.server.shown
        accept = self.headers.get("Accept", "")
        path = self.path.partition("?")[0]
        if path == "/metrics":
            openmetrics = "application/openmetrics-text" in accept
            text = metrics_text(snapshot, self.server.process, openmetrics=openmetrics)
            self._answer(HTTPStatus.OK, OPENMETRICS_TYPE if openmetrics else TEXT_TYPE, text)
        elif path == "/status":
            self._answer(HTTPStatus.OK, "application/json", json.dumps({**more, **status(snapshot)}) + "\n")
        elif path == "/":
            self._answer(HTTPStatus.OK, "text/plain; charset=utf-8", "supernode: see /metrics and /status\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", "not here: see /metrics and /status\n")

    do_HEAD = do_GET

    def _answer(self, code: HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        if len(body) > GZIP_BYTES:
            self.send_header("Vary", "Accept-Encoding")
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(body, GZIP_LEVEL)
                self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A line for every scrape would tell nobody anything."""


def metrics_text(snapshot: Snapshot, process: CollectorRegistry, *, openmetrics: bool) -> str:
    """What `/metrics` answers: CPU and memory of this process, then the snapshot."""
    if openmetrics:
        own: str = _OPENMETRICS.generate_latest(process).decode().removesuffix(OPENMETRICS_END)
    else:
        own = generate_latest(process).decode()
    return own + render(snapshot, openmetrics=openmetrics)
