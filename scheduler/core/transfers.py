"""Flows that the core has started, and what it will do when they end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from scheduler.core.config import CACHE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.messages import Plane, StartPrefill, StartTransfer, TransferKind


@dataclass(slots=True)
class HandOver:
    """KV on its way from a prefill to a decode instance."""

    ids: Final[list[int]]
    source: Final[str]
    destination: Final[str]
    num_tokens: Final[list[int]]


@dataclass(slots=True)
class CacheRead:
    """Cached KV on its way to a prefill instance, and the command that waits for it."""

    address: Final[str]
    command: Final[StartPrefill]


Continuation = HandOver | CacheRead


class Transfers:
    """Numbers flows and remembers who waits for which; nobody waits for a write to the cache.

    `open_ns` as in `StartTransfer`. Each command comes with whom to say it to.
    """

    def __init__(self, cache_plane: Plane) -> None:
        self._cache_plane = cache_plane
        self._next_id = 0
        self._waiting: dict[int, Continuation] = {}

    def hand_over(self, flow: HandOver, open_ns: int) -> tuple[str, StartTransfer]:
        """Move KV over the RDMA plane; `flow` comes back from `finish`."""
        transfer_id = self._number(flow)
        ends = flow.source, flow.destination
        return FABRIC_ADDRESS, StartTransfer(
            transfer_id, TransferKind.HAND_OVER, Plane.RDMA, *ends, flow.num_tokens, open_ns
        )

    def read(self, flow: CacheRead, open_ns: int) -> tuple[str, StartTransfer]:
        """Move what is cached to a prefill instance; `flow` comes back from `finish`."""
        transfer_id, tokens = self._number(flow), flow.command.cached_tokens
        ends = CACHE_ADDRESS, flow.address
        return FABRIC_ADDRESS, StartTransfer(
            transfer_id, TransferKind.CACHE_READ, self._cache_plane, *ends, tokens, open_ns
        )

    def write(self, source: str, num_tokens: int, open_ns: int) -> tuple[str, StartTransfer]:
        """Move new blocks to the cache."""
        transfer_id = self._number(None)
        ends = source, CACHE_ADDRESS
        return FABRIC_ADDRESS, StartTransfer(
            transfer_id, TransferKind.CACHE_WRITE, self._cache_plane, *ends, [num_tokens], open_ns
        )

    def _number(self, flow: Continuation | None) -> int:
        transfer_id = self._next_id
        self._next_id += 1
        if flow is not None:
            self._waiting[transfer_id] = flow
        return transfer_id

    def finish(self, transfer_id: int) -> Continuation | None:
        """Who waited for this flow; None if nobody did, or nobody does any more."""
        return self._waiting.pop(transfer_id, None)

    def abandon(self, addresses: Collection[str]) -> None:
        """Nobody waits for flows from or to these any more."""
        waiting = self._waiting.items()
        self._waiting = {transfer_id: flow for transfer_id, flow in waiting if not _touches(flow, addresses)}

    def start_again(self, now_ns: int) -> list[tuple[str, StartTransfer]]:
        """All flows somebody waits for once more, with new ids and nothing moved yet: for a new and empty fabric."""
        flows = list(self._waiting.values())
        self._waiting = {}
        return [
            self.hand_over(flow, now_ns) if isinstance(flow, HandOver) else self.read(flow, now_ns) for flow in flows
        ]


def _touches(flow: Continuation, addresses: Collection[str]) -> bool:
    if isinstance(flow, HandOver):
        return flow.source in addresses or flow.destination in addresses
    return flow.address in addresses or CACHE_ADDRESS in addresses
