"""Flows that the core has started, and what it will do when they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scheduler.core.config import FABRIC_ADDRESS
from scheduler.protocol.messages import Plane, StartPrefill, StartTransfer, TransferKind


@dataclass(slots=True)
class HandOver:
    """KV on its way from a prefill to a decode instance, both by index."""

    ids: Final[list[int]]
    prefill: Final[int]
    decode: Final[int]


@dataclass(slots=True)
class CacheRead:
    """Cached KV on its way to a prefill instance, and the command that waits for it."""

    address: Final[str]
    command: Final[StartPrefill]


Continuation = HandOver | CacheRead


class Transfers:
    """Numbers flows and remembers who waits for which."""

    def __init__(self) -> None:
        self._next_id = 0
        self._waiting: dict[int, Continuation] = {}

    def start(
        self,
        kind: TransferKind,
        plane: Plane,
        source: str,
        destination: str,
        num_tokens: list[int],
        open_ns: int,
        continuation: Continuation | None = None,
    ) -> tuple[str, StartTransfer]:
        """The command for a new flow; `continuation` comes back from `finish`."""
        transfer_id = self._next_id
        self._next_id += 1
        if continuation is not None:
            self._waiting[transfer_id] = continuation
        return FABRIC_ADDRESS, StartTransfer(transfer_id, kind, plane, source, destination, num_tokens, open_ns)

    def finish(self, transfer_id: int) -> Continuation | None:
        """Who waited for this flow; None if nobody did."""
        return self._waiting.pop(transfer_id, None)
