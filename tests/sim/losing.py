"""Runs the real system of a case while components are lost and replaced by fresh ones, over wires that take their time.

What the live runtime tentative the core is kept here: nothing of a lost component arrives after `WorkersLost`, and what
was said to it before it joined again never reaches the new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from msgspec import structs

from scheduler.core.guest import Guest
from scheduler.core.scaling.rules import ScalingRules
from scheduler.core.scheduler import Scheduler
from scheduler.protocol.addresses import (
    CACHE_ADDRESS,
    CORE_ADDRESS,
    FABRIC_ADDRESS,
    PROVISIONER_ADDRESS,
    cache_server_address,
)
from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Outputs
from scheduler.protocol.messages import (
    DrainCacheServers,
    FailParts,
    Message,
    RepairParts,
    RunEnded,
    StartInstances,
    StopInstances,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)
from tests.checkers.fabric_account import FabricAccount
from tests.made_up_fabric import build_fabric, lines_in
from tests.naive.case import Case
from tests.sim.build import LinearCost, LinearEnergy, LinearSteps, build_real, decode_config, make_aggregated
from tests.sim.cache_parts import store_sizes
from tests.sim.parked import parkable
from tests.sim.trouble import Fault, Loss, Trouble
from tests.tap import Look, as_guest
from workers.cache.pool import CachePool
from workers.cache.store import BlockStore
from workers.decode.instance import DecodeInstance
from workers.fabric.fabric import Fabric
from workers.parking import ParkableInstance
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance


@dataclass
class _Wire:
    """Messages on their way between the core and one component, each way in the order in which they were said."""

    to_core_ns: int = 0
    from_core_ns: int = 0


class LosingSystem:
    """A case's components; those but the core and the source may be lost. `run` once, then look at what is left."""

    def __init__(
        self,
        case: Case,
        trouble: Trouble,
        taps: Sequence[Look | Guest] = (),
        scaling: ScalingRules | None = None,
    ) -> None:
        system = build_real(case, report_interval_ns=trouble.report_interval_ns, scaling=scaling)
        self.scaling = scaling
        self.case = case
        self.trouble = trouble
        self.scheduler: Scheduler = system.scheduler
        self.source = system.source
        self.scheduler.state.config = structs.replace(self.scheduler.state.config, max_retries=trouble.max_retries)
        self.told: list[tuple[int, Message | None]] = []
        """What the core was given; None is a wake."""
        self.said: list[Outputs] = []
        self.lost: set[str] = set() if scaling is None else set(scaling.absent)
        """Who is down as far as the core was told."""
        self.now_ns = 0
        for tap in taps:
            self.scheduler.add_guest(as_guest(tap))
        self._alive: dict[str, Component | None] = {c.address: c for c in system.components}
        self._alive.update(dict.fromkeys(self.lost))
        self._epoch = dict.fromkeys(self._alive, 0)
        self._wires = {address: _Wire() for address in self._alive}
        self._delays: deque[int] = deque(trouble.delays_ns)
        self.account = FabricAccount(case.bytes_per_token)
        """Of the fabric that lives."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._num_events = 0
        self._num_stops: dict[str, int] = {}
        for loss in trouble.losses:
            self._plan(loss)
        for fault in trouble.faults:
            self._plan_fault(fault)
        if trouble.faults:
            self._plan_fault(Fault(trouble.mended_ns, tuple(lines_in(case).parts), is_mended=True))
        for leave in trouble.leaves:
            name = [cache_server_address(CACHE_ADDRESS, leave.number)]
            gone = DrainCacheServers(name) if leave.is_drained else WorkersLost(name)
            self._at(leave.at_ns, lambda gone=gone: self._tell_core(gone))
            self._at(leave.at_ns + leave.away_ns, lambda name=name: self._tell_core(WorkersJoined(name)))

    @property
    def workers(self) -> list[Component]:
        """All components that live at the end, which are all there are, as they are without their parking slots."""
        assert {address for address, one in self._alive.items() if one is None} == self.absent
        return [one.inner if isinstance(one, ParkableInstance) else one for one in self._alive.values() if one]

    @property
    def absent(self) -> set[str]:
        """Who is not there because nobody has started it, or it was stopped."""
        return set() if self.scaling is None else self.lost

    def run(self) -> None:
        """Run until nothing is due, then account."""
        while True:
            due_ns = min(c.deadline_ns for c in (self.scheduler, *self._alive.values()) if c is not None)
            if self._events and self._events[0][0] <= due_ns:
                self.now_ns, _, event = heappop(self._events)
                event()
                continue
            if due_ns == NEVER_NS:
                break
            self.now_ns = due_ns
            _, component = min(
                ((c.priority, index), c)
                for index, c in enumerate((*self._alive.values(), self.scheduler))
                if c is not None and c.deadline_ns == due_ns
            )
            if component is self.scheduler:
                self._carry(None, self.scheduler.wake(due_ns))
                continue
            self._send_to_core(component.address, self._noted(component, None, component.wake(due_ns)))
        ended = RunEnded(interrupted=False)
        for component in filter(None, self._alive.values()):
            for _, message in self._noted(component, ended, component.handle(self.now_ns, ended)):
                self._tell_core(message)
        self._tell_core(ended)

    def _at(self, time_ns: int, event: Callable[[], None]) -> None:
        heappush(self._events, (time_ns, self._num_events, event))
        self._num_events += 1

    def _plan(self, loss: Loss) -> None:
        def die() -> None:
            for address in loss.addresses:
                self._alive[address] = None

        def be_noticed() -> None:
            die()
            for address in loss.addresses:
                self._epoch[address] += 1
            self.lost.update(loss.addresses)
            self._tell_core(WorkersLost(list(loss.addresses)))

        def join() -> None:
            for address in loss.addresses:
                # One whose new death the core has not heard of comes back with that loss, not with this one.
                if self._alive[address] is None and address in self.lost:
                    self._alive[address] = fresh(self.case, self.trouble, address, self.now_ns)
                    self._epoch[address] += 1
                    if address == FABRIC_ADDRESS:
                        self.account = FabricAccount(self.case.bytes_per_token)
            self.lost.difference_update(loss.addresses)
            self._tell_core(WorkersStarted(list(loss.addresses)))

        noticed_ns = loss.at_ns + loss.unnoticed_ns
        self._at(loss.at_ns, die)
        self._at(noticed_ns, be_noticed)
        self._at(noticed_ns + loss.down_ns, join)

    def _plan_fault(self, fault: Fault) -> None:
        parts = list(fault.parts)
        said = RepairParts(parts) if fault.is_mended else FailParts(parts)
        self._at(fault.at_ns, lambda: self._tell_core(said))

    def _delay_ns(self) -> int:
        self._delays.rotate(-1)
        return self._delays[-1]

    def _send_to_core(self, address: str, outputs: Sequence[tuple[str, Message]]) -> None:
        wire, epoch = self._wires[address], self._epoch[address]
        for to, message in outputs:
            assert to == CORE_ADDRESS
            wire.to_core_ns = max(wire.to_core_ns, self.now_ns + self._delay_ns())
            self._at(wire.to_core_ns, lambda message=message: self._receive(address, epoch, message))

    def _receive(self, address: str, epoch: int, message: Message) -> None:
        if self._epoch[address] == epoch:
            self._tell_core(message)

    def _tell_core(self, message: Message) -> None:
        self._carry(message, self.scheduler.handle(self.now_ns, message))

    def _carry(self, message: Message | None, outputs: Outputs) -> None:
        """What the core has said goes on its way."""
        self.told.append((self.now_ns, message))
        self.said.append(outputs)
        for address, said in outputs:
            if address == CORE_ADDRESS:  # it tells itself who is ready
                self._tell_core(said)
                continue
            if address == PROVISIONER_ADDRESS:
                self._provision(said)
                continue
            assert address not in self.lost, (address, said)
            wire, epoch = self._wires[address], self._epoch[address]
            wire.from_core_ns = max(wire.from_core_ns, self.now_ns + self._delay_ns())
            self._at(wire.from_core_ns, lambda to=address, epoch=epoch, said=said: self._deliver(to, epoch, said))

    def _provision(self, said: Message) -> None:
        """Processes start a while after they are told to, and end at once."""
        assert isinstance(said, StartInstances | StopInstances)
        addresses = list(said.addresses)
        if isinstance(said, StartInstances):
            num_stops = [self._num_stops.get(address, 0) for address in addresses]

            def start() -> None:
                wanted = [a for a, num in zip(addresses, num_stops, strict=True) if self._num_stops.get(a, 0) == num]
                for address in wanted:
                    if self._alive[address] is None:  # else the end of a loss has brought it already
                        self._alive[address] = fresh(self.case, self.trouble, address, self.now_ns)
                        self._epoch[address] += 1
                self.lost.difference_update(wanted)
                if wanted:
                    self._tell_core(WorkersStarted(wanted))

            self._at(self.now_ns + self.trouble.start_ns, start)
            return

        def stop() -> None:
            for address in addresses:
                self._epoch[address] += 1
                component, self._alive[address] = self._alive[address], None
                if component is not None:
                    for _, account in component.handle(self.now_ns, RunEnded(interrupted=True)):
                        self._tell_core(account)
            self.lost.update(addresses)
            self._tell_core(WorkersLost(addresses, as_commanded=True))

        for address in addresses:
            self._num_stops[address] = self._num_stops.get(address, 0) + 1
        self._at(self.now_ns, stop)

    def _deliver(self, address: str, epoch: int, message: Message) -> None:
        component = self._alive[address]
        if component is not None and self._epoch[address] == epoch:
            outputs = component.handle(self.now_ns, message) or NOTHING
            self._send_to_core(address, self._noted(component, message, outputs))

    def _noted(self, component: Component, heard: Message | None, outputs: Outputs) -> Outputs:
        if isinstance(component, Fabric):
            self.account.note(component, heard, outputs)
        return outputs


def fresh(case: Case, trouble: Trouble, address: str, now_ns: int) -> Component:
    """A new and empty component in the place of one that was lost."""
    if address == FABRIC_ADDRESS:
        return build_fabric(case)
    if address == CACHE_ADDRESS:
        return CachePool(store_sizes(case))
    if address.startswith("prefill"):
        cache = BlockStore(store_sizes(case)) if case.cache_mode == "local" else None
        sizes = PrefillConfig(case.token_budget, case.prefill_blocks, names_next=case.cache_mode == "pool")
        prefill = PrefillInstance(address, sizes, LinearCost(case), LinearEnergy(), cache, began_ns=now_ns)
        return parkable(case, prefill, prefill.is_empty)
    config = decode_config(case, trouble.report_interval_ns)
    if address.startswith("aggregated"):
        cache = BlockStore(store_sizes(case)) if case.cache_mode == "local" else None
        aggregated = make_aggregated(case, int(address.rpartition("-")[2]), cache, config, now_ns)
        return parkable(case, aggregated, aggregated.is_empty)
    decode = DecodeInstance(address, config, LinearSteps(case), LinearEnergy(), began_ns=now_ns)
    return parkable(case, decode, decode.is_empty)
