"""The fabric: transfers share the links between instances, max-min fair, from the time at which their data is there.

The model is fluid. A transfer is a few streams, each of which moves at a constant rate between two events: a flow
begins, one ends, a link's capacity changes. Between events every amount is linear in time, so the end of a flow is
computed and not searched for, and cost grows with events, not with bytes. Fair sharing is what credit-based links and
congestion control come to for flows that last much longer than a round trip, as those of KV and cache blocks do.

Planes share no links, so each has a link model of its own, with the same verbs (`start`, `finish`, `take_off`,
`settle`, `look`, `roll`). KV transfers take `RankLinks`: what leaves one rank moves alike, one number for each rank.
Everything else, and KV transfers that meet at a die, takes `SharedLinks`: any links, max-min fair.

The order within a call is always the same: `settle` the plane up to now, as what ended before now was on the links
until then; change it; note of whom it is `known` when they will have arrived; look when the next end is due. What comes
and goes at one instant is shared out once, in the `wake` of that instant, when all of it has been told.

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

_Due = tuple[int, int, Transfer]
"""A time, and the id of the transfer that it concerns."""

_UB: Final = Plane.UB
"""Members of an enumeration are slow to reach."""

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
        # Those whose end was not told.
        self._transfers: dict[int, Transfer] = {}
        # By `done_ns`, those that somebody waits for and others; stale if it is no longer that.
        self._waited: list[_Due] = []
        self._unwaited: list[_Due] = []
        # By when they are to be given up; stale if they are not, any more.
        self._limits: list[_Due] = []
        # (when all of its data will be there, transfer) of those that were told late, as of a time before that.
        self._unmade: list[tuple[int, int]] = []
        self._failed_parts: set[str] = set()
        # Whether the deadline is, or may be, that of a share to be looked at again.
        self._is_watched = False
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
        self._all_shared = [links.shared for links in self._all_links]
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
            if links.known:
                self._note(links)
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
            heappush(self._limits, (max(message.give_up_ns, now_ns), message.transfer_id, transfer))
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
        if transfer is None:  # it has ended, or its route was cut
            return NOTHING
        transfer.give_up_ns = 0
        links = self._give_up(now_ns, transfer)
        self._note(links)
        links.shared.look_again()
        self._await_next()
        return NOTHING

    def _give_up(self, now_ns: int, transfer: Transfer) -> RankLinks | PoolLinks:
        """What is left of it need not flow; if all of it has left by now it is told when it arrives, even so."""
        links = self._links[transfer.message.plane]
        links.settle(now_ns)
        links.roll(now_ns, transfer)
        if not transfer.has_left:
            links.take_off(transfer)
            del self._transfers[transfer.message.transfer_id]
        return links

    def _overdue(self, now_ns: int) -> list[Output]:
        """Transfers that were to have ended by now; what has left the links by now is still told when it arrives."""
        limits = self._limits
        outputs: list[Output] = []
        while limits and limits[0][0] <= now_ns:
            _, transfer_id, transfer = heappop(limits)
            if transfer.give_up_ns:
                transfer.give_up_ns = 0
                outputs.append((self._reports_to, TransferOverdue(transfer_id)))
                links = self._give_up(now_ns, transfer)
                self._note(links)
                links.shared.look_again()
        return outputs

    def _on_expert_load(self, now_ns: int, message: ExpertLoadReported) -> Outputs:
        loads = self._expert_traffic
        traffic, links = loads.of(message.instance), self._links[_UB]
        loads.busy_until_ns = max(loads.busy_until_ns, message.until_ns)
        is_alone = not traffic.is_shared
        if not is_alone:
            links.settle(now_ns)
        told = traffic.state(now_ns, message, self._routes.capacities)
        if not is_alone:
            self._note(links)
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
        self._note(self._ranks)
        self._routes.set_failed(now_ns, sorted(failed))
        self._failed_parts = set(failed)
        self._is_whole = not self._failed_parts and self._routes.has_all_servers
        self._ranks.is_whole = self._is_whole and self._is_rdma_free
        self._expert_traffic.apply(now_ns, self._routes.capacities)
        moving = [transfer for transfer in self._transfers.values() if not transfer.has_left]
        cut = [transfer for transfer in moving if any(route.is_cut for route, _ in transfer.parts)]
        for transfer in cut:
            self._links[transfer.message.plane].take_off(transfer)
            del self._transfers[transfer.message.transfer_id]
            transfer.give_up_ns = 0
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
            self._note(links)

    def _note(self, links: RankLinks | PoolLinks) -> None:
        """Wait for those of whom it is known now when they are done."""
        for transfer in links.known:
            message = transfer.message
            heap = self._unwaited if message.kind in UNAWAITED else self._waited
            heappush(heap, (transfer.done_ns, message.transfer_id, transfer))
        links.known.clear()

    def _looked_again(self, links: RankLinks | PoolLinks) -> Outputs:
        """Wait for what is next, after a transfer began or went on; where that changes nothing for those who wait, as
        with most writes, what was next still is."""
        shared = links.shared
        again_ns = shared.again_ns
        shared.look_again()
        is_watched = self._is_watched or self._expert_traffic.watched
        if links.known or shared.again_ns != again_ns or is_watched or self._limits or self._unmade:
            self._note(links)
            self._await_next()
        return NOTHING

    def _await_next(self) -> None:
        waited, limits = self._waited, self._limits
        while waited and waited[0][2].done_ns != waited[0][0]:
            heappop(waited)
        deadline_ns = waited[0][0] if waited else NEVER_NS
        for shared in self._all_shared:
            if shared.again_ns < deadline_ns:
                deadline_ns = shared.again_ns
        if self._unmade and self._unmade[0][0] < deadline_ns:
            deadline_ns = self._unmade[0][0]
        while limits and not limits[0][2].give_up_ns:
            heappop(limits)
        if limits and limits[0][0] < deadline_ns:
            deadline_ns = limits[0][0]
        # Nobody feels what others move where nothing is on its way and nobody works.
        loads, next_ns = self._expert_traffic, self._background.next_ns
        self._is_watched = bool(loads.watched)
        for traffic in loads.watched:
            if traffic.due_ns < deadline_ns:
                deadline_ns = traffic.due_ns
        if next_ns < deadline_ns and (deadline_ns != NEVER_NS or next_ns < loads.busy_until_ns):
            deadline_ns = next_ns
        self.deadline_ns = deadline_ns

    def _ended(self, heap: list[_Due], now_ns: int) -> list[Output]:
        """The ends of those who have arrived by now; the plane of each was settled."""
        outputs: list[Output] = []
        while heap and heap[0][0] <= now_ns:
            due_ns, transfer_id, transfer = heappop(heap)
            if transfer.done_ns != due_ns:
                continue
            message = transfer.message
            if transfer.num_moving:  # it was to be done now if no other came
                links = self._links[message.plane]
                links.look(now_ns, transfer)
                self._note(links)
                if transfer.done_ns != due_ns:
                    continue
            del self._transfers[transfer_id]
            num_bytes = sum(message.num_tokens) * self._bytes_per_token
            made_ns, hidden_ns = transfer.made_ns, transfer.hidden_ns
            assert made_ns is not None
            done = TransferDone(
                transfer_id, message.kind, message.plane, due_ns, num_bytes, due_ns - made_ns, hidden_ns
            )
            transfer.done_ns = NEVER_NS
            transfer.give_up_ns = 0
            outputs.append((self._reports_to, done))
        return outputs


def _failed(message: StartTransfer) -> TransferFailed:
    return TransferFailed(message.transfer_id, message.kind, message.plane)
