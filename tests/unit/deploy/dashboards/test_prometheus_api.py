"""Whatever answers at the address, the caller gets series or one line."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.dashboards.prometheus_api import Prometheus, QueryError, Window
from scheduler.protocol.errors import ClusterError

WINDOW = Window(0.0, 10.0, 5.0)
SERIES = b'{"data":{"result":[{"metric":{"role":"decode"},"values":[[0,"1.5"],[5,"NaN"],[10,"+Inf"]]}]}}'

Serve = Callable[[int, bytes], str]


@pytest.fixture
def serve() -> Generator[Serve]:
    """Starts a server that answers everything with a status and a body; its URL."""
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_values_come_as_numbers_nan_and_infinity_too(serve: Serve) -> None:
    (series,) = Prometheus(serve(200, SERIES)).over_time("x", WINDOW)
    assert series.labels == {"role": "decode"}
    assert series.times_s == (0.0, 5.0, 10.0)
    assert series.values[0] == 1.5
    assert math.isnan(series.values[1])
    assert series.values[2] == math.inf


@pytest.mark.parametrize(
    ("status", "body", "error", "told"),
    [
        (400, b'{"status":"error","error":"parse error at 3"}', QueryError, "parse error at 3; fix the query"),
        (503, b"<html>", ClusterError, "status 503"),
        (200, b"<html>not Prometheus", ClusterError, "no Prometheus answers at"),
        (200, b'{"status":"success"}', ClusterError, "no Prometheus answers at"),
    ],
)
def test_a_refusal_and_a_stranger_are_one_line_each(
    serve: Serve, status: int, body: bytes, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as caught:
        Prometheus(serve(status, body)).over_time("sum by (", WINDOW)
    assert "\n" not in str(caught.value)
