"""The fabric: transfers share the links between instances, max-min fair, from the time at which their data is there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heappop, heappush
from typing import Any, Final

from scheduler.protocol.addresses import CORE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import (
    UNAWAITED,
    CancelTransfer,
    ExpertLoadReported,
    FailParts,
    FinishTransfer,
    Message,
    PartsChanged,
    Plane,
    PoolServersChanged,
    RepairParts,
    RunEnded,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferOverdue,
)
from workers.fabric.pool_links import PoolLines
from workers.fabric.rank_links import RankLines
from workers.fabric.routes import FabricConfig, Ways
from workers.fabric.transfer import Transfer

_OF_ONE_TRANSFER: Final = {StartTransfer, FinishTransfer, CancelTransfer}
"""What can come late, as of a time up to which other transfers were counted already."""


class Fabric:
    """A `Component` that turns `StartTransfer` into `TransferDone` at the time the last byte arrives.

    Nobody waits for writes to the cache, nor yet for what flows while a pass still runs: as long as no link binds they
    wake nobody. The ends of writes are reported with the next end that somebody waits for, or when the run ends, each
    with the time at which it fell due.

    A part that fails takes what it carried from the links at once; a transfer that has no way left is given up.
    """

    address = FABRIC_ADDRESS
    priority = Priority.FABRIC
    takes_late = True

    def __init__(self, config: FabricConfig, reports_to: str = CORE_ADDRESS) -> None:
        self.deadline_ns = NEVER_NS
        self._config = config
        self._bytes_per_token = config.kv_bytes_per_token
        self._reports_to = reports_to
        self._ways = Ways(config)
        self._standing_loads = self._ways.standing_loads
        self._background = self._ways.background
        self._now_ns = 0
        self._transfers: dict[int, Transfer] = {}
        self._waited: list[tuple[int, int, TransferDone]] = []
        self._unwaited: list[tuple[int, int, TransferDone]] = []
        # (until when, transfer) of those that are to be given up then, and which of them have not ended.
        self._limits: list[tuple[int, int]] = []
        self._limited: set[int] = set()
        self._failed_parts: set[str] = set()
        # No part has failed and all servers of the pools are up.
        self._is_whole = True
        # What flows beside KV transfers leaves no line to them whole.
        self._is_rdma_free = all(flow.plane is not Plane.RDMA for flow in config.background)
        planes, num_layers = self._ways.planes, config.num_layers
        self._ranks = RankLines(planes[Plane.RDMA], self._ways.capacities, num_layers, is_whole=self._is_rdma_free)
        self._lines: dict[Plane, RankLines | PoolLines] = {
            plane: self._ranks if plane is Plane.RDMA else PoolLines(links, self._ways, num_layers)
            for plane, links in planes.items()
        }
        self._all_lines = list(self._lines.values())
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            StartTransfer: self._on_start,
            FinishTransfer: self._on_finish,
            CancelTransfer: self._on_cancel,
            FailParts: self._on_fail_parts,
            RepairParts: self._on_repair_parts,
            PoolServersChanged: self._on_pool_servers,
            RunEnded: self._on_run_ended,
            ExpertLoadReported: self._on_standing_load,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """A transfer begins, has all its data, or is given up; parts fail or are mended; or an exchange takes more."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        elif type(message) not in _OF_ONE_TRANSFER:
            now_ns = self._now_ns
        if self._background.next_ns <= now_ns:
            self._change_background(self._now_ns)
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """Report every transfer that is done by now, and shares that are others than was told."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        if self._background.next_ns <= now_ns:
            self._change_background(self._now_ns)
        for lines in self._all_lines:
            links = lines.links
            if links.again_ns <= now_ns:
                links.share()
                lines.settle(now_ns)
                links.look_again()
            if lines.next_ns <= now_ns:
                lines.look(now_ns)
            if lines.done:
                self._report(lines)
        outputs = self._ended(self._waited, now_ns)
        if self._limits and self._limits[0][0] <= now_ns:
            outputs += self._overdue(now_ns)
        if outputs and self._unwaited:
            outputs += self._ended(self._unwaited, now_ns)
        if self._standing_loads.watched:
            outputs += self._standing_loads.look(self._now_ns)
        self._await_next()
        return tuple(outputs)

    def _on_start(self, now_ns: int, message: StartTransfer) -> Outputs:
        ways = self._ways.of(message)
        if not self._is_whole and any(way.is_cut for way in ways):
            return ((self._reports_to, _failed(message)),)
        lines = self._lines[message.plane]
        lines.settle(now_ns)
        transfer = self._transfers[message.transfer_id] = Transfer(message, now_ns)
        lines.start(now_ns, transfer, ways)
        if message.is_made and message.made_ns > now_ns:  # told late, as of a time at which its data was still made
            lines.finish(message.made_ns, transfer)
        if message.give_up_ns:
            self._limited.add(message.transfer_id)
            heappush(self._limits, (max(message.give_up_ns, now_ns), message.transfer_id))
        return self._looked_again(lines)

    def _on_finish(self, now_ns: int, message: FinishTransfer) -> Outputs:
        transfer = self._transfers.get(message.transfer_id)
        if transfer is None:  # its way was cut meanwhile
            return NOTHING
        lines = self._lines[transfer.message.plane]
        lines.settle(now_ns)
        lines.finish(now_ns, transfer)
        return self._looked_again(lines)

    def _on_cancel(self, now_ns: int, message: CancelTransfer) -> Outputs:
        transfer = self._transfers.get(message.transfer_id)
        self._limited.discard(message.transfer_id)
        if transfer is None:  # its last byte had left, or its way was cut
            return NOTHING
        lines = self._lines[transfer.message.plane]
        lines.settle(now_ns)
        lines.roll(now_ns, transfer)
        self._report(lines)
        if self._transfers.pop(message.transfer_id, None) is not None:
            lines.take_off(transfer)
        return self._looked_again(lines)

    def _overdue(self, now_ns: int) -> list[tuple[str, Message]]:
        """Transfers that were to have ended by now; what has left the lines by now is still told when it arrives."""
        limits, outputs = self._limits, list[tuple[str, Message]]()
        while limits and limits[0][0] <= now_ns:
            transfer_id = heappop(limits)[1]
            if transfer_id not in self._limited:
                continue
            self._limited.remove(transfer_id)
            outputs.append((self._reports_to, TransferOverdue(transfer_id)))
            transfer = self._transfers.get(transfer_id)
            if transfer is not None:
                lines = self._lines[transfer.message.plane]
                lines.settle(now_ns)
                self._report(lines)
                if self._transfers.pop(transfer_id, None) is not None:
                    lines.take_off(transfer)
                lines.links.look_again()
        return outputs

    def _on_standing_load(self, now_ns: int, message: ExpertLoadReported) -> Outputs:
        loads = self._standing_loads
        standing, lines = loads.of(message.instance), self._lines[Plane.UB]
        loads.busy_until_ns = max(loads.busy_until_ns, message.until_ns)
        is_alone = not standing.is_shared
        if not is_alone:
            lines.settle(now_ns)
        told = standing.state(now_ns, message, self._ways.capacities)
        if not is_alone:
            self._report(lines)
            lines.links.look_again()
        if not is_alone or loads.watched or self._background.next_ns != NEVER_NS:
            self._await_next()
        return tuple([(message.instance, share) for share in told]) if told else NOTHING

    def _change_background(self, now_ns: int) -> None:
        self._settle_all(now_ns)
        self._background.change(now_ns)
        for lines in self._all_lines:
            lines.links.look_again()
        self._await_next()

    def _on_fail_parts(self, now_ns: int, message: FailParts) -> Outputs:
        return self._set_failed(now_ns, self._failed_parts.union(message.parts))

    def _on_repair_parts(self, now_ns: int, message: RepairParts) -> Outputs:
        return self._set_failed(now_ns, self._failed_parts.difference(message.parts))

    def _on_pool_servers(self, now_ns: int, message: PoolServersChanged) -> Outputs:
        self._ways.set_pool_servers(message.pool, message.up)
        cut = self._set_links(now_ns, self._failed_parts)
        return tuple((self._reports_to, _failed(transfer.message)) for transfer in cut)

    def _set_failed(self, now_ns: int, failed: Collection[str]) -> Outputs:
        """Parts broke or were mended."""
        cut = self._set_links(now_ns, failed)
        changed: list[Message] = [self._parts_changed(now_ns)]
        changed += [_failed(transfer.message) for transfer in cut]
        return tuple((self._reports_to, said) for said in changed)

    def _set_links(self, now_ns: int, failed: Collection[str]) -> list[Transfer]:
        """What the links carry changes, for those under way too; who has no way left is given up, and answered."""
        self._settle_all(now_ns)
        self._ranks.tangle_all()
        self._report(self._ranks)
        self._ways.set_failed(now_ns, sorted(failed))
        self._failed_parts = set(failed)
        self._is_whole = not self._failed_parts and self._ways.has_all_servers
        self._ranks.is_whole = self._is_whole and self._is_rdma_free
        self._standing_loads.apply(now_ns, self._ways.capacities)
        cut = [transfer for transfer in self._transfers.values() if any(way.is_cut for way, _ in transfer.parts)]
        for transfer in cut:
            self._lines[transfer.message.plane].take_off(transfer)
            del self._transfers[transfer.message.transfer_id]
            self._limited.discard(transfer.message.transfer_id)
        for lines in self._all_lines:
            lines.links.look_again()
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
        self._ranks.roll_all(horizon_ns)
        self._settle_all(horizon_ns)
        self.deadline_ns = NEVER_NS
        return tuple(self._ended(self._waited, horizon_ns) + self._ended(self._unwaited, horizon_ns))

    def _settle_all(self, now_ns: int) -> None:
        for lines in self._lines.values():
            lines.settle(now_ns)
            self._report(lines)

    def _report(self, lines: RankLines | PoolLines) -> None:
        """Whose last byte has left arrives when its latency has passed."""
        for transfer in lines.done:
            message, made_ns = transfer.message, transfer.made_ns
            assert made_ns is not None
            del self._transfers[message.transfer_id]
            done_ns = transfer.end_ns + transfer.parts[0][0].latency_ns
            num_bytes = sum(message.num_tokens) * self._bytes_per_token
            duration_ns = done_ns - made_ns
            done = TransferDone(
                message.transfer_id, message.kind, message.plane, done_ns, num_bytes, duration_ns, transfer.hidden_ns
            )
            reports = self._unwaited if message.kind in UNAWAITED else self._waited
            heappush(reports, (done_ns, message.transfer_id, done))
        lines.done.clear()

    def _looked_again(self, lines: RankLines | PoolLines) -> Outputs:
        if lines.done:
            self._report(lines)
        lines.links.look_again()
        self._await_next()
        return NOTHING

    def _await_next(self) -> None:
        deadline_ns = self._waited[0][0] if self._waited else NEVER_NS
        for lines in self._all_lines:
            if lines.links.again_ns < deadline_ns:
                deadline_ns = lines.links.again_ns
            if lines.next_ns < deadline_ns:
                deadline_ns = lines.next_ns
        limits = self._limits
        while limits and limits[0][1] not in self._limited:
            heappop(limits)
        if limits and limits[0][0] < deadline_ns:
            deadline_ns = limits[0][0]
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
            _, transfer_id, done = heappop(transfers)
            self._limited.discard(transfer_id)
            outputs.append((self._reports_to, done))
        return outputs


def _failed(message: StartTransfer) -> TransferFailed:
    return TransferFailed(message.transfer_id, message.kind, message.plane)
