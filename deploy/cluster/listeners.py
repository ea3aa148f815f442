"""Which sockets are open, and whose they are: as `ss -ltnp` tells, by psutil, so that macOS tells it too.

psutil is imported where it is used: 50 ms that no other command pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any

from msgspec import Struct

from deploy.cluster.processes import is_ours, session_members


class Listener(Struct, frozen=True, order=True):
    """One listening socket of one process. A socket shared by several processes is one listener of each."""

    port: int
    address: str
    process: str
    """Name of the process."""
    pid: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine (this network namespace) reaches it."""
        return ip_address(self.address).is_loopback


def session_listeners(leader: int, start: int) -> list[Listener]:
    """What the processes of a session listen on, by port (see `deploy.cluster.processes.session_members`)."""
    return listeners_of(session_members(leader, start))


def is_held(leader: int, start: int, port: int) -> bool:
    """Whether a process of that session listens on a port."""
    return any(listener.port == port for listener in session_listeners(leader, start))


def listeners_of(pids: Iterable[int]) -> list[Listener]:
    """TCP sockets on which these processes listen, by port; none of those that are gone or another user's."""
    import psutil

    return sorted(
        {
            Listener(socket.laddr.port, _address(socket.laddr.ip), name, pid)
            for pid in pids
            for name, socket in _sockets(pid, "tcp")
            if socket.status == psutil.CONN_LISTEN
        }
    )


def own_listeners() -> list[Listener]:
    """What all processes of this user listen on."""
    return listeners_of(_own_processes())


def own_unix_sockets() -> set[str]:
    """The paths of sockets in the file system that processes of this user hold open."""
    return {socket.laddr for pid in _own_processes() for _, socket in _sockets(pid, "unix") if socket.laddr}


def _own_processes() -> Iterator[int]:
    import psutil

    return filter(is_ours, psutil.pids())


def _sockets(pid: int, kind: str) -> list[tuple[str, Any]]:
    """The name of a process with each of its sockets; the address of one in the file system is its path."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [(process.name(), socket) for socket in process.net_connections(kind)]
    except psutil.Error:
        return []


def _address(text: str) -> str:
    """An IPv6 socket that takes IPv4 only is told by its IPv4 address."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
