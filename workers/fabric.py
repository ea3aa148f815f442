"""The fabric: transfers share the links between instances, max-min fair, from the time at which their data is there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heappop, heappush
from typing import Any

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import (
    UNAWAITED,
    CancelTransfer,
    FailParts,
    FinishTransfer,
    Message,
    PartsChanged,
    Plane,
    PoolServersChanged,
    RepairParts,
    RunEnded,
    StandingLoad,
    StartTransfer,
    TransferDone,
    TransferFailed,
)
from workers.fabric_ways import FabricConfig, Way, Ways
from workers.shared_links import SharedLinks

Part = tuple[int, Way, int, int]
"""What one request, or all of a transfer, has on the links: its flow, its way, its weight, and the `rest` that each of
its streams cannot move before all of the data is there."""


class _Transfer:
    """A transfer under way. `made_ns`: since when all of its data is there, None as long as it is not.

    `num_moving` of its parts are still on the links; `end_ns`: when the last of those that are off them had left.
    """

    __slots__ = ("end_ns", "hidden_ns", "links", "made_ns", "message", "num_moving", "parts", "started_ns")

    def __init__(self, message: StartTransfer, links: SharedLinks, now_ns: int) -> None:
        self.message = message
        self.links = links
        self.started_ns = now_ns
        self.made_ns = now_ns if message.is_made else None
        self.parts: list[Part] = []
        self.num_moving = 0
        self.end_ns = now_ns
        self.hidden_ns = 0


class Fabric:
    """A `Component` that turns `StartTransfer` into `TransferDone` at the time the last byte arrives.

    Nobody waits for writes to the cache, nor yet for what flows while a pass still runs: as long as no link binds they
    wake nobody. The ends of writes are reported with the next end that somebody waits for, or when the run ends, each
    with the time at which it fell due.

    A part that fails takes what it carried from the links at once; a transfer that has no way left is given up.
    """

    address = "fabric"
    priority = Priority.FABRIC

    def __init__(self, config: FabricConfig, reports_to: str = "core") -> None:
        self.deadline_ns = NEVER_NS
        self._config = config
        self._bytes_per_token = config.kv_bytes_per_token
        self._num_layers = config.num_layers
        self._reports_to = reports_to
        self._ways = Ways(config)
        self._standing_loads = self._ways.standing_loads
        self._background = self._ways.background
        self._next_flow = 0
        self._transfers: dict[int, _Transfer] = {}
        self._by_flow: dict[int, _Transfer] = {}
        self._waited: list[tuple[int, int, TransferDone]] = []
        self._unwaited: list[tuple[int, int, TransferDone]] = []
        self._failed_parts: set[str] = set()
        # No part has failed and all servers of the pools are up.
        self._is_whole = True
        self._planes = list(self._ways.planes.values())
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            StartTransfer: self._on_start,
            FinishTransfer: self._on_finish,
            CancelTransfer: self._on_cancel,
            FailParts: self._on_fail_parts,
            RepairParts: self._on_repair_parts,
            PoolServersChanged: self._on_pool_servers,
            RunEnded: self._on_run_ended,
            StandingLoad: self._on_standing_load,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """A transfer begins, has all its data, or is given up; parts fail or are mended; or an exchange takes more."""
        if self._background.next_ns <= now_ns:
            self._change_background(now_ns)
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """Report every transfer that is done by now, and shares that are others than was told."""
        if self._background.next_ns <= now_ns:
            self._change_background(now_ns)
        for links in self._planes:
            if links.again_ns <= now_ns:
                links.share()
                self._settle(links, now_ns)
                links.look_again()
        outputs = self._ended(self._waited, now_ns)
        if outputs and self._unwaited:
            outputs += self._ended(self._unwaited, now_ns)
        if self._standing_loads.watched:
            outputs += self._standing_loads.look(now_ns)
        self._await_next()
        return tuple(outputs)

    def _on_start(self, now_ns: int, message: StartTransfer) -> Outputs:
        ways = self._ways.of(message)
        if not self._is_whole and any(way.is_cut for way in ways):
            return ((self._reports_to, _failed(message, now_ns)),)
        links = self._ways.planes[message.plane]
        self._settle(links, now_ns)
        transfer = self._transfers[message.transfer_id] = _Transfer(message, links, now_ns)
        tokens = message.num_tokens if len(ways) == len(message.num_tokens) else [sum(message.num_tokens)]
        for way, num_tokens in zip(ways, tokens, strict=True):
            weight, amount = way.load(num_tokens)
            if way.standing is not None:
                way.standing.begin(now_ns, way.direction, self._ways.capacities)
            if message.is_made:
                self._put(now_ns, transfer, way.lanes[0], amount, (way, weight, 0))
            else:
                rest = -(-amount // self._num_layers)
                self._put(now_ns, transfer, way.lanes[1], amount - rest, (way, weight, rest))
        return self._looked_again(links)

    def _on_finish(self, now_ns: int, message: FinishTransfer) -> Outputs:
        transfer = self._transfers.get(message.transfer_id)
        if transfer is None:  # its way was cut meanwhile
            return NOTHING
        links = transfer.links
        self._settle(links, now_ns)
        transfer.made_ns = now_ns
        transfer.hidden_ns = (now_ns if transfer.num_moving else transfer.end_ns) - transfer.started_ns
        hidden = transfer.parts
        lefts = self._take_off(now_ns, transfer)
        for (_, way, weight, rest), left in zip(hidden, lefts, strict=True):
            self._put(now_ns, transfer, way.lanes[0], left + rest, (way, weight, 0))
        return self._looked_again(links)

    def _on_cancel(self, now_ns: int, message: CancelTransfer) -> Outputs:
        transfer = self._transfers.get(message.transfer_id)
        if transfer is None:  # its last byte had left, or its way was cut
            return NOTHING
        self._settle(transfer.links, now_ns)
        if self._transfers.pop(message.transfer_id, None) is not None:
            self._take_off(now_ns, transfer)
        return self._looked_again(transfer.links)

    def _on_standing_load(self, now_ns: int, message: StandingLoad) -> Outputs:
        loads = self._standing_loads
        standing, links = loads.of(message.instance), self._ways.planes[Plane.UB]
        loads.busy_until_ns = max(loads.busy_until_ns, message.until_ns)
        is_alone = not standing.is_shared
        if not is_alone:
            self._settle(links, now_ns)
        told = standing.state(now_ns, message, self._ways.capacities)
        if not is_alone:
            links.look_again()
        if not is_alone or loads.watched or self._background.next_ns != NEVER_NS:
            self._await_next()
        return tuple([(message.instance, share) for share in told]) if told else NOTHING

    def _change_background(self, now_ns: int) -> None:
        for links in self._planes:
            self._settle(links, now_ns)
        self._background.change(now_ns)
        for links in self._planes:
            links.look_again()
        self._await_next()

    def _on_fail_parts(self, now_ns: int, message: FailParts) -> Outputs:
        return self._set_failed(now_ns, self._failed_parts.union(message.parts))

    def _on_repair_parts(self, now_ns: int, message: RepairParts) -> Outputs:
        return self._set_failed(now_ns, self._failed_parts.difference(message.parts))

    def _on_pool_servers(self, now_ns: int, message: PoolServersChanged) -> Outputs:
        self._ways.set_pool_servers(message.pool, message.up)
        cut = self._set_links(now_ns, self._failed_parts)
        return tuple((self._reports_to, _failed(transfer.message, now_ns)) for transfer in cut)

    def _set_failed(self, now_ns: int, failed: Collection[str]) -> Outputs:
        """Parts broke or were mended."""
        cut = self._set_links(now_ns, failed)
        changed: list[Message] = [self._parts_changed(now_ns)]
        changed += [_failed(transfer.message, now_ns) for transfer in cut]
        return tuple((self._reports_to, said) for said in changed)

    def _set_links(self, now_ns: int, failed: Collection[str]) -> list[_Transfer]:
        """What the links carry changes, for those under way too; who has no way left is given up, and answered."""
        for links in self._planes:
            self._settle(links, now_ns)
        self._ways.set_failed(now_ns, sorted(failed))
        self._failed_parts = set(failed)
        self._is_whole = not self._failed_parts and self._ways.has_all_servers
        self._standing_loads.apply(now_ns, self._ways.capacities)
        cut = [transfer for transfer in self._transfers.values() if any(part[1].is_cut for part in transfer.parts)]
        for transfer in cut:
            self._take_off(now_ns, transfer)
            del self._transfers[transfer.message.transfer_id]
        for links in self._planes:
            links.look_again()
        self._await_next()
        return cut

    def _parts_changed(self, now_ns: int) -> PartsChanged:
        ways = self._ways
        partly_cut = ways.partly_cut()
        return PartsChanged(
            now_ns,
            sorted(self._failed_parts),
            ways.lost_bytes_per_s(sorted(self._failed_parts)),
            ways.whole_bytes_per_s(),
            ways.cut_instances(),
            list(partly_cut),
            list(partly_cut.values()),
        )

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        # A run that was not cut short has seen all it waited for; writes under way will end unhindered.
        horizon_ns = now_ns if message.interrupted else NEVER_NS
        for links in self._planes:
            self._settle(links, horizon_ns)
        self.deadline_ns = NEVER_NS
        return tuple(self._ended(self._waited, horizon_ns) + self._ended(self._unwaited, horizon_ns))

    def _put(self, now_ns: int, transfer: _Transfer, lane: int, amount: int, of: tuple[Way, int, int]) -> None:
        flow = self._next_flow
        self._next_flow = flow + 1
        self._by_flow[flow] = transfer
        transfer.parts.append((flow, *of))
        transfer.num_moving += 1
        transfer.links.put(now_ns, flow, lane, of[1], amount)

    def _take_off(self, now_ns: int, transfer: _Transfer) -> list[int]:
        """All of it leaves the links; answers what the streams of each part have not moved."""
        way = transfer.parts[0][1]
        if way.standing is not None and transfer.num_moving:
            way.standing.end(now_ns, way.direction)
        by_flow, links = self._by_flow, transfer.links
        left = [
            links.take_off(now_ns, part[0]) if by_flow.pop(part[0], None) is not None else 0 for part in transfer.parts
        ]
        transfer.parts = []
        transfer.num_moving = 0
        return left

    def _settle(self, links: SharedLinks, now_ns: int) -> None:
        """Whose last byte has left is off the links, and arrives when its latency has passed."""
        by_flow = self._by_flow
        for end_ns, flow in links.ended(now_ns):
            transfer = by_flow.pop(flow)
            transfer.num_moving -= 1
            transfer.end_ns = end_ns
            way = transfer.parts[0][1]
            if way.standing is not None:
                way.standing.end(end_ns, way.direction)
            if not transfer.num_moving and transfer.made_ns is not None:
                self._report(transfer, transfer.made_ns)

    def _report(self, transfer: _Transfer, made_ns: int) -> None:
        message = transfer.message
        del self._transfers[message.transfer_id]
        done_ns = transfer.end_ns + transfer.parts[0][1].latency_ns
        num_bytes = sum(message.num_tokens) * self._bytes_per_token
        duration_ns = done_ns - made_ns
        done = TransferDone(
            message.transfer_id, message.kind, message.plane, done_ns, num_bytes, duration_ns, transfer.hidden_ns
        )
        reports = self._unwaited if message.kind in UNAWAITED else self._waited
        heappush(reports, (done_ns, message.transfer_id, done))

    def _looked_again(self, links: SharedLinks) -> Outputs:
        links.look_again()
        self._await_next()
        return NOTHING

    def _await_next(self) -> None:
        deadline_ns = self._waited[0][0] if self._waited else NEVER_NS
        for links in self._planes:
            if links.again_ns < deadline_ns:
                deadline_ns = links.again_ns
        # Nobody feels what others move where nothing is on its way and nobody works.
        loads, next_ns = self._standing_loads, self._background.next_ns
        if loads.watched:
            deadline_ns = min(deadline_ns, *[standing.due_ns for standing in loads.watched])
        if next_ns < deadline_ns and (deadline_ns != NEVER_NS or next_ns < loads.busy_until_ns):
            deadline_ns = next_ns
        self.deadline_ns = deadline_ns

    def _ended(self, transfers: list[tuple[int, int, TransferDone]], now_ns: int) -> list[tuple[str, Message]]:
        outputs: list[tuple[str, Message]] = []
        while transfers and transfers[0][0] <= now_ns:
            outputs.append((self._reports_to, heappop(transfers)[2]))
        return outputs


def _failed(message: StartTransfer, now_ns: int) -> TransferFailed:
    return TransferFailed(message.transfer_id, message.kind, message.plane, now_ns)
