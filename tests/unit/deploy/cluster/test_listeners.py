"""Sockets that listen are found with their address and process, and those that do not are left out."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deploy.cluster.listeners import Listener, listeners_of, session_listeners
from deploy.cluster.processes import process_start

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(address: str, state: str, inode: int) -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine with two processes, of which one has a socket that is not listed and a file."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        HEAD + row("0100007F:24A8", "0A", 11) + row("00000000:1F90", "0A", 12) + row("0100007F:24A8", "01", 13)
    )
    (tmp_path / "net" / "tcp6").write_text(
        HEAD
        + row("00000000000000000000000001000000:0050", "0A", 21)
        + row("0000000000000000FFFF00000100007F:0051", "0A", 22)
        + row("0000000000000000FFFF00000A00000A:0052", "0A", 23)
        + row("00000000000000000000000000000000:0053", "0A", 24)
    )
    for pid, name, inodes in ((7, "raylet", (11, 13, 99, 23, 24)), (8, "gcs (server)", (12, 21, 22, 12))):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
        (tmp_path / str(pid) / "fd" / "0").symlink_to("/dev/null")
        for number, inode in enumerate(inodes, 3):
            (tmp_path / str(pid) / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
    return tmp_path


def test_every_listener_has_its_address_and_owner(proc: Path) -> None:
    assert listeners_of([8, 7, 9], proc) == [
        Listener(0x50, "::1", "gcs (server)", 8),
        Listener(0x51, "127.0.0.1", "gcs (server)", 8),
        Listener(0x52, "10.0.0.10", "raylet", 7),
        Listener(0x53, "::", "raylet", 7),
        Listener(8080, "0.0.0.0", "gcs (server)", 8),
        Listener(9384, "127.0.0.1", "raylet", 7),
    ]
    assert [one.port for one in listeners_of([8, 7], proc) if one.is_loopback] == [0x50, 0x51, 9384]


def test_a_machine_without_tables_has_no_listeners(tmp_path: Path) -> None:
    assert listeners_of([1], tmp_path) == []


def test_what_this_process_listens_on_is_found_and_gone_when_closed() -> None:
    start = process_start(os.getsid(0)) or 0
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]
        found = [one for one in listeners_of([os.getpid()]) if one.port == port]
        assert [(one.address, one.pid, one.is_loopback) for one in found] == [("127.0.0.1", os.getpid(), True)]
        if start:
            assert found[0] in session_listeners(os.getsid(0), start)
    assert port not in {one.port for one in listeners_of([os.getpid()])}
