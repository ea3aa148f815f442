"""Which sockets listen for TCP connections, and whose they are: read from /proc, as `ss -ltnp` does."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from deploy.cluster.processes import session_members

_LISTEN: Final = "0A"
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """One listening socket of one process. A socket shared by several processes is one listener of each."""

    port: int
    address: str
    process: str
    """Name of the process, as the kernel keeps it (15 bytes)."""
    pid: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine (this network namespace) reaches it."""
        return ip_address(self.address).is_loopback


def session_listeners(leader: int, start: int) -> list[Listener]:
    """What the processes of a session listen on, by port (see `deploy.cluster.processes.session_members`)."""
    return listeners_of(session_members(leader, start))


def listeners_of(pids: Iterable[int], proc: Path = _PROC) -> list[Listener]:
    """What these processes listen on, by port; empty for those that are gone or another user's."""
    listening = _listening(proc)
    return sorted(
        Listener(port, address, _name(proc / str(pid)), pid)
        for pid in pids
        for address, port in {listening[inode] for inode in _socket_inodes(proc / str(pid)) if inode in listening}
    )


def _listening(proc: Path) -> dict[str, tuple[str, int]]:
    """Inode of each listening socket -> (address, port). The tables are those of this network namespace."""
    found: dict[str, tuple[str, int]] = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:  # a kernel without IPv6 has no such table
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                address, _, port = fields[1].partition(":")
                found[fields[9]] = (_address(address), int(port, 16))
    return found


def _address(text: str) -> str:
    """The kernel prints an address as 32-bit words in the machine's order of bytes; all we run on is little-endian.

    An IPv6 socket that takes IPv4 only is told by its IPv4 address.
    """
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    if len(words) == 1:
        return str(IPv4Address(words[0]))
    address = IPv6Address(b"".join(words))
    return str(address.ipv4_mapped or address)


def _socket_inodes(process: Path) -> set[str]:
    inodes: set[str] = set()
    try:
        for entry in os.scandir(process / "fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:  # closed just now
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return inodes
    return inodes


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "?"
