"""Is the head of an existing Ray cluster there? Ray's own library waits for it for minutes before it says so."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Final

from scheduler.runtime.clock import pause_s

CONNECT_S: Final = 2.0
"""Wall seconds for a connection."""

TRIES: Final = 4
"""In a row that must fail: a head that is started anew where it keeps its state elsewhere is away for a moment."""

RETRY_S: Final = 1.0


class HeadWatch:
    """`trouble` tries to connect to the address of a cluster's control store, HOST:PORT."""

    def __init__(self, address: str, retry_s: float = RETRY_S) -> None:
        host, _, port = address.rpartition(":")
        self._address = address
        self._peer = (host.strip("[]"), int(port))
        self._retry_s = retry_s

    def trouble(self, _now_s: float) -> str:
        """One line; empty if it is there."""
        for tried in range(TRIES):
            if tried:
                pause_s(self._retry_s)
            if self._answers():
                return ""
        return f"the Ray cluster at {self._address} is gone, and what was on it"

    def _answers(self) -> bool:
        try:
            with closing(socket.create_connection(self._peer, CONNECT_S)):
                return True
        except OSError:
            return False
