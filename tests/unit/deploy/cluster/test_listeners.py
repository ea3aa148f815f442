"""Sockets that listen are found with their address and process, and those that do not are left out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deploy.cluster.listeners import Listener, listeners_of, own_listeners, own_unix_sockets, session_listeners
from deploy.cluster.processes import process_start


def own_on(port: int) -> list[Listener]:
    return [one for one in own_listeners() if one.port == port]


@pytest.mark.parametrize(
    ("bound", "told", "is_loopback"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "0.0.0.0", False),
        ("::1", "::1", True),
        ("::", "::", False),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
    ],
)
def test_every_listener_has_its_address_and_owner(bound: str, told: str, is_loopback: bool) -> None:
    with socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET) as server:
        if ":" in bound:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            server.bind((bound, 0))
        except OSError:
            pytest.skip("a system without IPv6")
        port = server.getsockname()[1]
        assert own_on(port) == []
        server.listen()
        with socket.fromfd(server.fileno(), server.family, server.type):  # two descriptors are one listener
            (found,) = own_on(port)
        assert (found.address, found.pid, found.is_loopback) == (told, os.getpid(), is_loopback)
        assert found.process
    assert own_on(port) == []


def test_a_process_that_is_gone_has_no_listeners() -> None:
    assert listeners_of([2**22 + 1]) == []


def test_sockets_in_the_file_system_are_told_by_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the whole path may be too long to bind
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("own")
        assert "own" in own_unix_sockets()
    assert "own" not in own_unix_sockets()


def test_what_this_process_listens_on_is_found_and_gone_when_closed() -> None:
    start = process_start(os.getsid(0)) or 0
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]
        found = [one for one in listeners_of([os.getpid()]) if one.port == port]
        assert [(one.address, one.pid, one.is_loopback) for one in found] == [("127.0.0.1", os.getpid(), True)]
        if start:
            assert found[0] in session_listeners(os.getsid(0), start)
    assert port not in {one.port for one in listeners_of([os.getpid()])}
