"""What goes wrong and is put right: transfers without a way, broken parts, workers that are lost and come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scheduler.core.guests.weight_loads import ModelWeights, WeightLoads
from scheduler.core.kv_transfers import KvTransfers
from scheduler.core.prefills import Prefills
from scheduler.core.recovery.broken_parts import BrokenParts
from scheduler.core.recovery.cache_servers import CacheServers
from scheduler.core.recovery.losses import Losses
from scheduler.core.reservations import Reservations
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import CacheRead, Transfers
from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import (
    DrainCacheServers,
    FailParts,
    PartsChanged,
    PrefixesLost,
    ReleaseKv,
    RepairParts,
    TransferFailed,
    TransferOverdue,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)


class Recovery:
    """The handlers of messages that tell of trouble, or of its end.

    `loads` are the weights that instances load before they are ready. Who is down is told nothing: what matters is told
    again when it joins.
    """

    def __init__(
        self,
        state: SchedulerState,
        transfers: Transfers,
        reservations: Reservations,
        prefills: Prefills,
        kv_transfers: KvTransfers,
        losses: Losses,
    ) -> None:
        config = state.config
        self.loads = WeightLoads(config.weights or ModelWeights(0), transfers.next_id)
        self._transfers = transfers
        self._reservations = reservations
        self._prefills = prefills
        self._kv_transfers = kv_transfers
        self._losses = losses
        self._broken = BrokenParts(state)
        self._cache_servers = CacheServers(config.pools, config.num_cache_servers)

    @property
    def handlers(self) -> Mapping[type, Callable[[int, Any], Outputs]]:
        """By type of message."""
        return {
            TransferFailed: self._on_transfer_failed,
            TransferOverdue: self._on_transfer_overdue,
            PrefixesLost: self._on_prefixes_lost,
            FailParts: self._on_parts_commanded,
            RepairParts: self._on_parts_commanded,
            PartsChanged: self._on_parts_changed,
            WorkersLost: self._on_workers_lost,
            WorkersStarted: self._on_workers_started,
            WorkersJoined: self._on_workers_joined,
            DrainCacheServers: self._on_drain_cache_servers,
        }

    def reachable(self, outputs: Outputs, *, may_work: bool) -> Outputs:
        """What goes to those who are up; loads are given up if nobody has to be ready any more."""
        if not may_work:
            outputs = [*outputs, *self.loads.give_up()]
        down = self._losses.down
        for address, _ in outputs:
            if address in down:
                return [output for output in outputs if output[0] not in down]
        return outputs

    def retry_waiting(self, now_ns: int) -> Outputs:
        """Instances may be eligible again: those who could not be routed, or ask for room, can."""
        return [*self._prefills.route_waiting(now_ns), *self._reservations.ask_for_waiting(now_ns)]

    def _on_transfer_failed(self, now_ns: int, message: TransferFailed) -> Outputs:
        flow = self._transfers.fail(message.transfer_id)
        if flow is None:  # a write to the cache, or nobody waits for it any more, or weights
            return self.loads.on_failed(message.transfer_id)
        if isinstance(flow, CacheRead):
            return self._prefills.on_fetch_failed(now_ns, flow)
        outputs, lost = self._kv_transfers.on_failed(now_ns, flow)
        if not lost:
            return outputs
        withdrawn = self._losses.withdraw(lost)
        again = self._prefills.begin(now_ns, self._losses.requeue(lost, now_ns))
        return [*outputs, *withdrawn, (flow.source, ReleaseKv(lost)), *again]

    def _on_transfer_overdue(self, now_ns: int, message: TransferOverdue) -> Outputs:
        read = self._transfers.fail(message.transfer_id)
        return self._prefills.on_fetch_overdue(now_ns, read) if isinstance(read, CacheRead) else NOTHING

    def _on_prefixes_lost(self, now_ns: int, message: PrefixesLost) -> Outputs:
        outputs, cut = self._losses.cut_reads(message)
        return [*outputs, *self._prefills.route(now_ns, cut)]

    def _on_parts_commanded(self, now_ns: int, message: FailParts | RepairParts) -> Outputs:
        return self._broken.on_commanded(message)

    def _on_parts_changed(self, now_ns: int, message: PartsChanged) -> Outputs:
        return [*self._broken.on_changed(message), *self.loads.try_again(), *self.retry_waiting(now_ns)]

    def _on_workers_lost(self, now_ns: int, message: WorkersLost) -> Outputs:
        impact = self._losses.lose(message.addresses)
        requeued = self._losses.requeue(impact.requeued, now_ns)
        again = [*self._prefills.begin(now_ns, requeued), *self._prefills.route(now_ns, impact.unanswered)]
        servers = self._cache_servers.lose(message.addresses)
        loads = self.loads.lose(now_ns, message.addresses, as_commanded=message.as_commanded)
        asked = self._reservations.ask(now_ns, impact.unplaced)
        return [*impact.outputs, *servers, *loads, *again, *asked]

    def _on_workers_started(self, now_ns: int, message: WorkersStarted) -> Outputs:
        return self.loads.start(now_ns, message.addresses)

    def _on_workers_joined(self, now_ns: int, message: WorkersJoined) -> Outputs:
        back = self._losses.join(message.addresses)
        outputs = [*self._cache_servers.join(message.addresses), *self._broken.on_joined(back)]
        if FABRIC_ADDRESS in back:
            outputs += [*self._transfers.start_again(), *self.loads.say_again()]
        outputs += self.loads.join(message.addresses)
        return [*outputs, *self.retry_waiting(now_ns)]

    def _on_drain_cache_servers(self, now_ns: int, message: DrainCacheServers) -> Outputs:
        self.loads.drain(message.addresses)
        return self._cache_servers.drain(message.addresses)
