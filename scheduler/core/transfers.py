"""Flows that the core has started, and what it will do when they end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.request_table import NOT_YET
from scheduler.protocol.addresses import FABRIC_ADDRESS, cache_ssd_address
from scheduler.protocol.component import Output, Outputs
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import CancelTransfer, ExtendCached, FinishTransfer, StartPrefill, StartTransfer

# Members of an enumeration are slow to reach, and each request moves thrice.
_KV_TRANSFER: Final = TransferKind.KV_TRANSFER
_CACHE_READ: Final = TransferKind.CACHE_READ
_CACHE_WRITE: Final = TransferKind.CACHE_WRITE
_CACHE_SSD_READ: Final = TransferKind.CACHE_SSD_READ
_CACHE_SSD_WRITE: Final = TransferKind.CACHE_SSD_WRITE
_RDMA: Final = Plane.RDMA
_VPC: Final = Plane.VPC


@dataclass(slots=True)
class KvTransfer:
    """KV on its way from a prefill to a decode instance, for `ids`; fewer than `all_ids` once some of them have ended.

    `num_tokens` and `dies` are by entry of `all_ids`.
    """

    ids: list[int]
    all_ids: list[int]
    source: str
    destination: str
    num_tokens: list[int]
    dies: list[int]


@dataclass(slots=True)
class CacheRead:
    """Cached KV on its way from a pool to a prefill instance, and the command that waits for it.

    `num_tokens` by request. `ssd_tokens` (of those requests that have some) come to the pool from its SSD, as a flow of
    their own beside the other. `open_flows` of them have not ended; 0 once nobody waits for any. Nobody does after
    `give_up_ns`, unless that is 0.
    """

    pool: str
    address: str
    command: StartPrefill | ExtendCached
    num_tokens: list[int]
    ssd_tokens: list[int]
    give_up_ns: int
    open_flows: int = 0


Continuation = KvTransfer | CacheRead


class Transfers:
    """Numbers flows and remembers who waits for which; nobody waits for a write to the cache.

    Each command comes with whom to say it to.
    """

    def __init__(self, cache_plane: Plane, *, has_cache_ssd: bool = False) -> None:
        self._cache_plane = cache_plane
        self._has_cache_ssd = has_cache_ssd
        self._next_id = 0
        self._waiting: dict[int, Continuation] = {}
        # Flows of KV that the pass under way still makes, by prefill instance.
        self._making: dict[str, list[int]] = {}
        # Requests whose way was cut while their pass ran, by prefill instance.
        self._held_back: dict[str, set[int]] = {}

    def kv_transfer(self, flow: KvTransfer, made_ns: int) -> Output:
        """Move KV over the RDMA plane; `flow` comes back from `finish`. All is made since then; if `NOT_YET`, `made`
        follows."""
        transfer_id, is_made = self._number(flow), made_ns != NOT_YET
        source, destination = flow.source, flow.destination
        if not is_made:
            self._making.setdefault(source, []).append(transfer_id)
            if self._held_back:
                self._held_back.get(source, set()).difference_update(flow.ids)
        return FABRIC_ADDRESS, StartTransfer(
            transfer_id, _KV_TRANSFER, _RDMA, source, destination, flow.num_tokens, flow.dies, is_made, max(0, made_ns)
        )

    def made(self, source: str, finished_ids: Collection[int]) -> Outputs:
        """The pass of this prefill instance has ended, and with it some requests, who need no KV any more."""
        flows = self._making.pop(source, ())
        if not finished_ids:
            return [(FABRIC_ADDRESS, FinishTransfer(transfer_id)) for transfer_id in flows]
        return [self._made_without(transfer_id, finished_ids) for transfer_id in flows]

    def _made_without(self, transfer_id: int, finished_ids: Collection[int]) -> Output:
        """The same of one flow some of whose requests may have ended."""
        flow = self._waiting[transfer_id]
        if isinstance(flow, KvTransfer):
            flow.ids = [i for i in flow.ids if i not in finished_ids]
            if not flow.ids:
                return self._cancel(transfer_id)
        return FABRIC_ADDRESS, FinishTransfer(transfer_id)

    def read(self, flow: CacheRead) -> Outputs:
        """Move what is cached to a prefill instance; `flow` comes back from `finish` when the last of it is there.

        All of it comes from the servers' DRAM over the cache plane, and what was on SSD reaches DRAM over VPC.
        """
        pool = flow.pool
        outputs = [self._move(flow, _CACHE_READ, self._cache_plane, pool, flow.address, flow.num_tokens)]
        if flow.ssd_tokens:
            outputs.append(self._move(flow, _CACHE_SSD_READ, _VPC, cache_ssd_address(pool), pool, flow.ssd_tokens))
        flow.open_flows = len(outputs)
        return outputs

    def write(self, source: str, pool: str, num_tokens: int) -> Outputs:
        """Move new blocks to a pool, and on to its SSD if there is one."""
        outputs = [self._move(None, _CACHE_WRITE, self._cache_plane, source, pool, [num_tokens])]
        if self._has_cache_ssd:
            outputs.append(self._move(None, _CACHE_SSD_WRITE, _VPC, pool, cache_ssd_address(pool), [num_tokens]))
        return outputs

    def fetch_from_ssd(self, pool: str, num_tokens: int) -> tuple[int, Output]:
        """Bring blocks of a pool from its SSD to its DRAM, for which no request waits; returns the number of the flow
        too."""
        output = self._move(None, _CACHE_SSD_READ, _VPC, cache_ssd_address(pool), pool, [num_tokens])
        return self._next_id - 1, output

    def write_back(self, source: str, address: str, num_tokens: int) -> Outputs:
        """Move new blocks from a decode instance to the own cache of a prefill instance, over RDMA."""
        return [self._move(None, _CACHE_WRITE, _RDMA, source, address, [num_tokens])]

    def _move(
        self,
        flow: CacheRead | None,
        kind: TransferKind,
        plane: Plane,
        source: str,
        destination: str,
        num_tokens: list[int],
    ) -> Output:
        give_up_ns = 0 if flow is None else flow.give_up_ns
        number = self._number(flow)
        return FABRIC_ADDRESS, StartTransfer(
            number, kind, plane, source, destination, num_tokens, [], True, 0, give_up_ns
        )

    def next_id(self) -> int:
        """The number of one flow more."""
        self._next_id += 1
        return self._next_id - 1

    def _number(self, flow: Continuation | None) -> int:
        transfer_id = self._next_id
        self._next_id = transfer_id + 1
        if flow is not None:
            self._waiting[transfer_id] = flow
        return transfer_id

    def finish(self, transfer_id: int) -> Continuation | None:
        """Who waited for this flow, if for no other; None if nobody did, or nobody does any more."""
        flow = self._waiting.pop(transfer_id, None)
        if flow is None or isinstance(flow, KvTransfer):
            return flow
        flow.open_flows -= 1
        return None if flow.open_flows else flow

    def is_read_to(self, address: str) -> bool:
        """Whether a read to this instance is under way."""
        return any(isinstance(flow, CacheRead) and flow.address == address for flow in self._waiting.values())

    def withdraw_reads(self, ids: Collection[int]) -> Outputs:
        """These requests wait for no read any more; flows for which nobody waits then are given up."""
        reads = {id(flow): flow for flow in self._waiting.values() if isinstance(flow, CacheRead)}
        for flow in reads.values():
            kept = [index for index, request_id in enumerate(flow.command.ids) if request_id not in ids]
            if len(kept) < len(flow.command.ids):
                flow.command = _only(flow.command, kept)
                flow.num_tokens = [flow.num_tokens[index] for index in kept]
        empty = [i for i, flow in self._waiting.items() if isinstance(flow, CacheRead) and not flow.command.ids]
        return [self._cancel(transfer_id) for transfer_id in empty]

    def fail(self, transfer_id: int) -> Continuation | None:
        """Who waited for this flow, which has no way or takes too long; None if nobody did, or nobody does any more.

        Nobody waits for another flow of the same read either: it goes on for nobody.
        """
        flow = self._waiting.pop(transfer_id, None)
        if isinstance(flow, CacheRead):
            if flow.open_flows > 1:
                self._waiting = {i: other for i, other in self._waiting.items() if other is not flow}
            flow.open_flows = 0
        if isinstance(flow, KvTransfer) and flow.source in self._making:
            self._making[flow.source] = [i for i in self._making[flow.source] if i != transfer_id]
        return flow

    def hold_back(self, source: str, ids: list[int]) -> None:
        """These move when the pass under way at their prefill instance has ended."""
        self._held_back.setdefault(source, set()).update(ids)

    def take_held_back(self, source: str) -> Collection[int]:
        """The pass has ended; returns who was held back."""
        return self._held_back.pop(source, ())

    def abandon(self, addresses: Collection[str]) -> Outputs:
        """Nobody waits for flows from or to these any more."""
        gone = [transfer_id for transfer_id, flow in self._waiting.items() if _touches(flow, addresses)]
        outputs = [self._cancel(transfer_id) for transfer_id in gone]
        making = {source: [i for i in ids if i in self._waiting] for source, ids in self._making.items()}
        self._making = {source: ids for source, ids in making.items() if ids}
        for address in addresses:
            self._held_back.pop(address, None)
        return outputs

    def _cancel(self, transfer_id: int) -> Output:
        flow = self._waiting.pop(transfer_id)
        if isinstance(flow, CacheRead):
            flow.open_flows = 0
        return FABRIC_ADDRESS, CancelTransfer(transfer_id)

    def start_again(self) -> Outputs:
        """All flows somebody waits for once more, with new ids and nothing moved yet: for a new and empty fabric."""
        # A read may wait for two flows.
        flows = list({id(flow): (transfer_id, flow) for transfer_id, flow in self._waiting.items()}.values())
        making = {transfer_id for ids in self._making.values() for transfer_id in ids}
        self._waiting = {}
        self._making = {}
        outputs: list[Output] = []
        for transfer_id, flow in flows:
            if isinstance(flow, KvTransfer):
                outputs.append(self.kv_transfer(flow, NOT_YET if transfer_id in making else 0))
            else:
                outputs += self.read(flow)
        return outputs


def _only(command: StartPrefill | ExtendCached, kept: Sequence[int]) -> StartPrefill | ExtendCached:
    if isinstance(command, ExtendCached):
        return ExtendCached([command.ids[i] for i in kept], [command.cached_tokens[i] for i in kept])
    columns = (command.ids, command.prompt_tokens, command.cached_tokens, command.resumed_tokens)
    ids, prompts, cached, resumed = ([column[index] for index in kept] for column in columns)
    return StartPrefill(ids, prompts, cached, resumed, [command.payloads[i] for i in kept], [], [])


def _touches(flow: Continuation, addresses: Collection[str]) -> bool:
    if isinstance(flow, KvTransfer):
        return flow.source in addresses or flow.destination in addresses
    return flow.address in addresses or flow.pool in addresses
