"""The endpoint, asked over HTTP."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.live.exporter import IDLE_S, LOOPBACK, MAX_CONNECTIONS, PACE_S, Exporter
from scheduler.metrics.export.exposition import OPENMETRICS_TYPE, TEXT_TYPE, render
from scheduler.metrics.live.status import status
from scheduler.metrics.snapshot import Snapshot
from scheduler.protocol.errors import ClusterError
from tests.unit.scheduler.metrics.lived import made_up_snapshot, whole_supernode

LAYOUT = whole_supernode()
SNAPSHOT = made_up_snapshot(LAYOUT)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    """One on a free port."""
    exporter = Exporter(SNAPSHOT, port=0)
    yield exporter
    exporter.close()


def ask(exporter: Exporter, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    """One request on a connection of its own."""
    connection = HTTPConnection(exporter.address, timeout=5)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_metrics_are_text_by_default(exporter: Exporter) -> None:
    response, body = ask(exporter, "/metrics")
    assert (response.status, response.getheader("Content-Type")) == (200, TEXT_TYPE)
    assert body.decode().endswith(render(SNAPSHOT))
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert names >= {"supernode_requests_arrived", "process_cpu_seconds"}


def test_openmetrics_if_that_is_accepted(exporter: Exporter) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    response, body = ask(exporter, "/metrics", Accept=accept)
    assert response.getheader("Content-Type") == OPENMETRICS_TYPE
    assert body.decode().endswith(render(SNAPSHOT, openmetrics=True))
    assert body.count(b"# EOF") == 1


def test_what_is_long_is_packed_for_those_who_can_unpack(exporter: Exporter) -> None:
    response, body = ask(exporter, "/metrics", Accept_Encoding="gzip")
    assert response.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body).decode().endswith(render(SNAPSHOT))
    assert ask(exporter, "/", Accept_Encoding="gzip")[0].getheader("Content-Encoding") is None


def test_the_latest_snapshot_is_shown(exporter: Exporter) -> None:
    later = made_up_snapshot(LAYOUT, 9)
    exporter.publish(later, {"phase": "replaying"})
    assert ask(exporter, "/metrics")[1].decode().endswith(render(later))
    response, body = ask(exporter, "/status")
    assert response.getheader("Content-Type") == "application/json"
    assert json.loads(body) == {"phase": "replaying", **status(later)}


def test_the_root_names_the_rest_and_everything_else_is_absent(exporter: Exporter) -> None:
    root, absent = ask(exporter, "/"), ask(exporter, "/metric")
    assert (root[0].status, absent[0].status) == (200, 404)
    assert b"/metrics" in root[1]
    assert b"/status" in root[1]
    assert ask(exporter, "/metrics", "POST")[0].status == 501
    assert ask(exporter, "/metrics", "HEAD")[1] == b""


def test_it_listens_on_loopback_only(exporter: Exporter) -> None:
    assert exporter.address.startswith(f"{LOOPBACK}:")


def test_a_port_that_is_taken_is_one_line_with_the_mend(exporter: Exporter) -> None:
    port = int(exporter.address.rpartition(":")[2])
    with pytest.raises(ClusterError, match=rf"{LOOPBACK}:{port} .*in use.*--metrics-port N") as refused:
        Exporter(SNAPSHOT, port=port)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("host", "port"), [(LOOPBACK, 70_000), ("no.such.host.invalid", 0), ("192.0.2.1", 0)])
def test_what_cannot_be_listened_on_is_one_line(host: str, port: int) -> None:
    with pytest.raises(ClusterError, match=rf"{host}:{port}"):
        Exporter(SNAPSHOT, host, port)


def test_after_close_nobody_listens() -> None:
    exporter = Exporter(SNAPSHOT, port=0)
    exporter.close()
    with pytest.raises(ConnectionRefusedError):
        ask(exporter, "/")


def connect(exporter: Exporter) -> socket.socket:
    host, _, port = exporter.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


@pytest.mark.parametrize("said", [b"", b"GET /metr"])
def test_those_who_say_nothing_lock_nobody_out(exporter: Exporter, said: bytes) -> None:
    held: list[socket.socket] = []
    try:
        for _ in range(3 * MAX_CONNECTIONS):
            held.append(connect(exporter))
            held[-1].sendall(said)
            assert len(held) % 8 or ask(exporter, "/metrics")[0].status == 200
        assert held[0].recv(1) == b""
        held[-1].sendall(b"GET / HTTP/1.1\r\n\r\n" if not said else b"ics HTTP/1.1\r\n\r\n")
        assert held[-1].recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in held:
            connection.close()


def test_a_connection_that_says_nothing_is_closed_soon(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert IDLE_S <= 5.0
    monkeypatch.setattr("deploy.live.exporter._Handler.timeout", 0.05)
    with connect(exporter) as idle:
        assert idle.recv(1) == b""


def test_a_page_is_written_once_for_each_snapshot(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bool] = []

    def count(snapshot: Snapshot, *, openmetrics: bool = False) -> str:
        written.append(openmetrics)
        return render(snapshot, openmetrics=openmetrics)

    monkeypatch.setattr("deploy.live.shown.render", count)
    first = ask(exporter, "/metrics")[1]
    threads = [Thread(target=ask, args=(exporter, "/metrics")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(exporter, "/metrics")[1] == first
    assert written == [False]
    exporter.publish(SNAPSHOT)
    assert ask(exporter, "/metrics")[0].status == 200
    assert written == [False, False]


def test_answers_have_a_pace(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("deploy.live.exporter.monotonic_s", lambda: 100.0)
    monkeypatch.setattr("deploy.live.exporter.pause_s", pauses.append)
    for _ in range(4):
        ask(exporter, "/")
    assert pauses == pytest.approx([PACE_S, 2 * PACE_S, 3 * PACE_S])


def test_many_at_once_are_answered(exporter: Exporter) -> None:
    codes: list[int] = []
    threads = [Thread(target=lambda: codes.append(ask(exporter, "/metrics")[0].status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 8


def test_a_client_that_goes_away_leaves_no_trace(exporter: Exporter, capfd: pytest.CaptureFixture[str]) -> None:
    host, _, port = exporter.address.rpartition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    assert ask(exporter, "/")[0].status == 200
    assert capfd.readouterr() == ("", "")
