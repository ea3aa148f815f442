"""The fabric: transfers share the links between instances, max-min fair, from the time at which their data is there.

The model is fluid. A transfer is a few streams, each of which moves at a constant rate between two events: a flow
begins, one ends, a link's capacity changes. Between events every amount is linear in time, so the end of a flow is
computed and not searched for, and cost grows with events, not with bytes. Fair sharing is what credit-based links and
congestion control come to for flows that last much longer than a round trip, as those of KV and cache blocks do.

Planes share no links, so each has a link model of its own, with the same verbs (`start`, `finish`, `take_off`,
`settle`, `look`). KV transfers take `RankLinks`: what leaves one rank moves alike, one number for each rank. Everything
else, and KV transfers that meet at a die, takes `SharedLinks`: any links, max-min fair.

The order within a call is always the same: `settle` the plane up to now, as what ended before now was on the links
until then; change it; collect whose last byte has left; look when the next end is due. What comes and goes at one
instant is shared out once, in the `wake` of that instant, when all of it has been told.

Nobody waits for writes to the cache, nor for what flows while a pass still runs. As long as no link binds, their ends
change nothing for anybody, so the fabric does not wake for them: it finds their ends when it next looks at the plane.

KV flows while it is being made: until `FinishTransfer` all but the last layer's share may move, hidden behind the pass.
What is left then is what a request waits for, so `duration_ns` counts from there and `hidden_ns` up to there.

Live, messages are late: `takes_late` lets a transfer start, finish or be given up as of a time before others were
counted up to. Its own part is then counted from its own time on; the others had their shares and keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from heapq import heappop, heappush
from typing import Any, Final

from scheduler.protocol.addresses import CORE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
from scheduler.protocol.fabric_messages import UNAWAITED, Plane
from scheduler.protocol.messages import (
    CancelTransfer,
    ExpertLoadReported,
    FailParts,
    FinishTransfer,
    Message,
    PartsChanged,
    PoolServersChanged,
    RepairParts,
    RunEnded,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferOverdue,
)
from workers.fabric.pool_links import PoolLinks
from workers.fabric.rank_links import RankLinks
from workers.fabric.routes import FabricConfig, Routes
from workers.fabric.transfer import Transfer

_OF_ONE_TRANSFER: Final = {StartTransfer, FinishTransfer, CancelTransfer}
"""What can come late, as of a time up to which other transfers were counted already."""


class Fabric(TimingFlags):
    """A `Component` that turns `StartTransfer` into `TransferDone` at the time the last byte arrives.

    The ends of writes to the cache are reported with the next end that somebody waits for, or when the run ends, each
    with the time at which it fell due. A part that fails takes what it carried from the links at once; a transfer that
    has no route left is given up.
    """

    address = FABRIC_ADDRESS
    priority = Priority.FABRIC
    takes_late = True

    def __init__(self, config: FabricConfig, reports_to: str = CORE_ADDRESS) -> None:
        self.deadline_ns = NEVER_NS
        self._config = config
        self._bytes_per_token = config.kv_bytes_per_token
        self._reports_to = reports_to
        self._routes = Routes(config)
        self._expert_traffic = self._routes.expert_traffic
        self._background = self._routes.background
        self._now_ns = 0
        self._transfers: dict[int, Transfer] = {}
        self._waited: list[tuple[int, int, TransferDone]] = []
        self._unwaited: list[tuple[int, int, TransferDone]] = []
        # (until when, transfer) of those that are to be given up then, and which of them have not ended.
        self._limits: list[tuple[int, int]] = []
        self._limited: set[int] = set()
        # (when all of its data will be there, transfer) of those that were told late, as of a time before that.
        self._unmade: list[tuple[int, int]] = []
        self._failed_parts: set[str] = set()
        # No part has failed and all servers of the pools are up.
        self._is_whole = True
        # Background traffic on RDMA leaves no link to KV transfers whole.
        self._is_rdma_free = all(flow.plane is not Plane.RDMA for flow in config.background)
        planes, num_layers = self._routes.planes, config.num_layers
        self._ranks = RankLinks(planes[Plane.RDMA], self._routes.capacities, num_layers, is_whole=self._is_rdma_free)
        self._links: dict[Plane, RankLinks | PoolLinks] = {
            plane: self._ranks if plane is Plane.RDMA else PoolLinks(shared, self._routes, num_layers)
            for plane, shared in planes.items()
        }
        self._all_links = list(self._links.values())
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            StartTransfer: self._on_start,
            FinishTransfer: self._on_finish,
            CancelTransfer: self._on_cancel,
            FailParts: self._on_fail_parts,
            RepairParts: self._on_repair_parts,
            PoolServersChanged: self._on_pool_servers,
            RunEnded: self._on_run_ended,
            ExpertLoadReported: self._on_expert_load,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """A transfer begins, has all its data, or is given up; parts fail or are repaired; expert traffic changes."""
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
        if self._unmade and self._unmade[0][0] <= now_ns:
            self._finish_made(now_ns)
        for links in self._all_links:
            shared = links.shared
            if shared.again_ns <= now_ns:
                shared.share()
                links.settle(now_ns)
                shared.look_again()
            if links.next_ns <= now_ns:
                links.look(now_ns)
            if links.done:
                self._report(links)
        outputs = self._ended(self._waited, now_ns)
        if self._limits and self._limits[0][0] <= now_ns:
            outputs += self._overdue(now_ns)
        if outputs and self._unwaited:
            outputs += self._ended(self._unwaited, now_ns)
        if self._expert_traffic.watched:
            outputs += self._expert_traffic.look(self._now_ns)
        self._await_next()
        return outputs

    def _on_start(self, now_ns: int, message: StartTransfer) -> Outputs:
        routes = self._routes.of(message)
        if not self._is_whole and any(route.is_cut for route in routes):
            return [(self._reports_to, _failed(message))]
        links = self._links[message.plane]
        links.settle(now_ns)
        transfer = self._transfers[message.transfer_id] = Transfer(message, now_ns)
        links.start(now_ns, transfer, routes)
        if message.is_made and message.made_ns > now_ns:  # told late, as of a time at which its data was still made
            heappush(self._unmade, (message.made_ns, message.transfer_id))
        if message.give_up_ns:
            self._limited.add(message.transfer_id)
            heappush(self._limits, (max(message.give_up_ns, now_ns), message.transfer_id))
        return self._looked_again(links)

    def _on_finish(self, now_ns: int, message: FinishTransfer) -> Outputs:
        transfer = self._transfers.get(message.transfer_id)
        if transfer is None:  # its route was cut meanwhile
            return NOTHING
        links = self._links[transfer.message.plane]
        links.settle(now_ns)
        links.finish(now_ns, transfer)
        return self._looked_again(links)

    def _finish_made(self, now_ns: int) -> None:
        """All data is there now of transfers that began as of a time before that."""
        unmade = self._unmade
        while unmade and unmade[0][0] <= now_ns:
            made_ns, transfer_id = heappop(unmade)
            self._on_finish(made_ns, FinishTransfer(transfer_id))

    def _on_cancel(self, now_ns: int, message: CancelTransfer) -> Outputs:
        transfer = self._transfers.get(message.transfer_id)
        self._limited.discard(message.transfer_id)
        if transfer is None:  # its last byte had left, or its route was cut
            return NOTHING
        links = self._links[transfer.message.plane]
        links.settle(now_ns)
        links.roll(now_ns, transfer)
        self._report(links)
        if self._transfers.pop(message.transfer_id, None) is not None:
            links.take_off(transfer)
        return self._looked_again(links)

    def _overdue(self, now_ns: int) -> list[Output]:
        """Transfers that were to have ended by now; what has left the links by now is still told when it arrives."""
        limits, outputs = self._limits, list[Output]()
        while limits and limits[0][0] <= now_ns:
            transfer_id = heappop(limits)[1]
            if transfer_id not in self._limited:
                continue
            self._limited.remove(transfer_id)
            outputs.append((self._reports_to, TransferOverdue(transfer_id)))
            transfer = self._transfers.get(transfer_id)
            if transfer is not None:
                links = self._links[transfer.message.plane]
                links.settle(now_ns)
                self._report(links)
                if self._transfers.pop(transfer_id, None) is not None:
                    links.take_off(transfer)
                links.shared.look_again()
        return outputs

    def _on_expert_load(self, now_ns: int, message: ExpertLoadReported) -> Outputs:
        loads = self._expert_traffic
        traffic, links = loads.of(message.instance), self._links[Plane.UB]
        loads.busy_until_ns = max(loads.busy_until_ns, message.until_ns)
        is_alone = not traffic.is_shared
        if not is_alone:
            links.settle(now_ns)
        told = traffic.state(now_ns, message, self._routes.capacities)
        if not is_alone:
            self._report(links)
            links.shared.look_again()
        if not is_alone or loads.watched or self._background.next_ns != NEVER_NS:
            self._await_next()
        return [(message.instance, share) for share in told]

    def _change_background(self, now_ns: int) -> None:
        self._settle_all(now_ns)
        self._background.change(now_ns)
        for links in self._all_links:
            links.shared.look_again()
        self._await_next()

    def _on_fail_parts(self, now_ns: int, message: FailParts) -> Outputs:
        return self._set_failed(now_ns, self._failed_parts.union(message.parts))

    def _on_repair_parts(self, now_ns: int, message: RepairParts) -> Outputs:
        return self._set_failed(now_ns, self._failed_parts.difference(message.parts))

    def _on_pool_servers(self, now_ns: int, message: PoolServersChanged) -> Outputs:
        self._routes.set_pool_servers(message.pool, message.up)
        return self._set_links(now_ns, self._failed_parts)

    def _set_failed(self, now_ns: int, failed: Collection[str]) -> Outputs:
        """Parts broke or were repaired."""
        cut = self._set_links(now_ns, failed)
        return [(self._reports_to, self._parts_changed(now_ns)), *cut]

    def _set_links(self, now_ns: int, failed: Collection[str]) -> list[Output]:
        """Links carry something else, for transfers under way too; returns the failures of those without a route."""
        self._settle_all(now_ns)
        self._ranks.move_all_to_shared()
        self._report(self._ranks)
        self._routes.set_failed(now_ns, sorted(failed))
        self._failed_parts = set(failed)
        self._is_whole = not self._failed_parts and self._routes.has_all_servers
        self._ranks.is_whole = self._is_whole and self._is_rdma_free
        self._expert_traffic.apply(now_ns, self._routes.capacities)
        cut = [transfer for transfer in self._transfers.values() if any(route.is_cut for route, _ in transfer.parts)]
        for transfer in cut:
            self._links[transfer.message.plane].take_off(transfer)
            del self._transfers[transfer.message.transfer_id]
            self._limited.discard(transfer.message.transfer_id)
        for links in self._all_links:
            links.shared.look_again()
        self._await_next()
        return [(self._reports_to, _failed(transfer.message)) for transfer in cut]

    def _parts_changed(self, now_ns: int) -> PartsChanged:
        routes = self._routes
        partly_cut = routes.partly_cut()
        return PartsChanged(
            now_ns,
            sorted(self._failed_parts),
            routes.lost_bytes_per_s(sorted(self._failed_parts)),
            routes.whole_bytes_per_s(),
            routes.cut_instances(),
            list(partly_cut),
            list(partly_cut.values()),
        )

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        # A run that was not cut short has seen all it waited for; writes under way will end unhindered.
        horizon_ns = now_ns if message.interrupted else NEVER_NS
        self._finish_made(horizon_ns)
        self._ranks.roll_all(horizon_ns)
        self._settle_all(horizon_ns)
        self.deadline_ns = NEVER_NS
        return self._ended(self._waited, horizon_ns) + self._ended(self._unwaited, horizon_ns)

    def _settle_all(self, now_ns: int) -> None:
        for links in self._links.values():
            links.settle(now_ns)
            self._report(links)

    def _report(self, links: RankLinks | PoolLinks) -> None:
        """Note when those whose last byte has left will have arrived: their latency later."""
        for transfer in links.done:
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
        links.done.clear()

    def _looked_again(self, links: RankLinks | PoolLinks) -> Outputs:
        if links.done:
            self._report(links)
        links.shared.look_again()
        self._await_next()
        return NOTHING

    def _await_next(self) -> None:
        deadline_ns = self._waited[0][0] if self._waited else NEVER_NS
        for links in self._all_links:
            if links.shared.again_ns < deadline_ns:
                deadline_ns = links.shared.again_ns
            if links.next_ns < deadline_ns:
                deadline_ns = links.next_ns
        if self._unmade and self._unmade[0][0] < deadline_ns:
            deadline_ns = self._unmade[0][0]
        limits = self._limits
        while limits and limits[0][1] not in self._limited:
            heappop(limits)
        if limits and limits[0][0] < deadline_ns:
            deadline_ns = limits[0][0]
        # Nobody feels what others move where nothing is on its way and nobody works.
        loads, next_ns = self._expert_traffic, self._background.next_ns
        if loads.watched:
            deadline_ns = min(deadline_ns, *[traffic.due_ns for traffic in loads.watched])
        if next_ns < deadline_ns and (deadline_ns != NEVER_NS or next_ns < loads.busy_until_ns):
            deadline_ns = next_ns
        self.deadline_ns = deadline_ns

    def _ended(self, transfers: list[tuple[int, int, TransferDone]], now_ns: int) -> list[Output]:
        outputs: list[Output] = []
        while transfers and transfers[0][0] <= now_ns:
            _, transfer_id, done = heappop(transfers)
            self._limited.discard(transfer_id)
            outputs.append((self._reports_to, done))
        return outputs


def _failed(message: StartTransfer) -> TransferFailed:
    return TransferFailed(message.transfer_id, message.kind, message.plane)
