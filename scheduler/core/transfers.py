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
    """Cached KV on its way to a prefill instance, and the command that waits for it.

    `ssd_tokens` (of those requests that have some) come from SSD first, as a flow of their own beside the other.
    """

    address: Final[str]
    command: StartPrefill
    ssd_tokens: Final[list[int]]
    open_flows: int = 0


Continuation = HandOver | CacheRead


class Transfers:
    """Numbers flows and remembers who waits for which; nobody waits for a write to the cache.

    `open_ns` as in `StartTransfer`. Each command comes with whom to say it to.
    """

    def __init__(self, cache_plane: Plane, *, has_cache_ssd: bool = False) -> None:
        self._cache_plane = cache_plane
        self._has_cache_ssd = has_cache_ssd
        self._next_id = 0
        self._waiting: dict[int, Continuation] = {}

    def hand_over(self, flow: HandOver, open_ns: int) -> tuple[str, StartTransfer]:
        """Move KV over the RDMA plane; `flow` comes back from `finish`."""
        transfer_id = self._number(flow)
        ends = flow.source, flow.destination
        return FABRIC_ADDRESS, StartTransfer(
            transfer_id, TransferKind.HAND_OVER, Plane.RDMA, *ends, flow.num_tokens, open_ns
        )

    def read(self, flow: CacheRead, open_ns: int) -> list[tuple[str, StartTransfer]]:
        """Move what is cached to a prefill instance; `flow` comes back from `finish` when the last of it is there.

        All of it comes from the servers' DRAM over the cache plane, and what was on SSD reaches DRAM over VPC.
        """
        ends = CACHE_ADDRESS, flow.address
        parts = [(self._cache_plane, flow.command.cached_tokens)]
        if flow.ssd_tokens:
            parts.append((Plane.VPC, flow.ssd_tokens))
        flow.open_flows = len(parts)
        return [
            (FABRIC_ADDRESS, StartTransfer(self._number(flow), TransferKind.CACHE_READ, plane, *ends, tokens, open_ns))
            for plane, tokens in parts
        ]

    def write(self, source: str, num_tokens: int, open_ns: int) -> list[tuple[str, StartTransfer]]:
        """Move new blocks to the cache, and on to its SSD if there is one."""
        ends = source, CACHE_ADDRESS
        planes = (self._cache_plane, Plane.VPC) if self._has_cache_ssd else (self._cache_plane,)
        return [
            (
                FABRIC_ADDRESS,
                StartTransfer(self._number(None), TransferKind.CACHE_WRITE, plane, *ends, [num_tokens], open_ns),
            )
            for plane in planes
        ]

    def _number(self, flow: Continuation | None) -> int:
        transfer_id = self._next_id
        self._next_id += 1
        if flow is not None:
            self._waiting[transfer_id] = flow
        return transfer_id

    def finish(self, transfer_id: int) -> Continuation | None:
        """Who waited for this flow, if for no other; None if nobody did, or nobody does any more."""
        flow = self._waiting.pop(transfer_id, None)
        if isinstance(flow, CacheRead):
            flow.open_flows -= 1
            return None if flow.open_flows else flow
        return flow

    def withdraw_reads(self, ids: Collection[int]) -> None:
        """These requests wait for no read any more; the flows go on, for others or for nobody."""
        reads = {id(flow): flow for flow in self._waiting.values() if isinstance(flow, CacheRead)}
        for flow in reads.values():
            flow.command = _without(flow.command, ids)
        self._waiting = {
            transfer_id: flow
            for transfer_id, flow in self._waiting.items()
            if isinstance(flow, HandOver) or flow.command.ids
        }

    def abandon(self, addresses: Collection[str]) -> None:
        """Nobody waits for flows from or to these any more."""
        waiting = self._waiting.items()
        self._waiting = {transfer_id: flow for transfer_id, flow in waiting if not _touches(flow, addresses)}

    def start_again(self, now_ns: int) -> list[tuple[str, StartTransfer]]:
        """All flows somebody waits for once more, with new ids and nothing moved yet: for a new and empty fabric."""
        flows = list({id(flow): flow for flow in self._waiting.values()}.values())
        self._waiting = {}
        said: list[tuple[str, StartTransfer]] = []
        for flow in flows:
            said += [self.hand_over(flow, now_ns)] if isinstance(flow, HandOver) else self.read(flow, now_ns)
        return said


def _without(command: StartPrefill, ids: Collection[int]) -> StartPrefill:
    kept = [index for index, request_id in enumerate(command.ids) if request_id not in ids]
    if len(kept) == len(command.ids):
        return command
    columns = (command.ids, command.prompt_tokens, command.cached_tokens, command.resumed_tokens)
    ids_left, prompts, cached, resumed = ([column[index] for index in kept] for column in columns)
    return StartPrefill(ids_left, prompts, cached, resumed, [command.payloads[i] for i in kept], [], [], command.reason)


def _touches(flow: Continuation, addresses: Collection[str]) -> bool:
    if isinstance(flow, HandOver):
        return flow.source in addresses or flow.destination in addresses
    return flow.address in addresses or CACHE_ADDRESS in addresses
