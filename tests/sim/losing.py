"""Runs the real system of a case while components are lost and replaced by fresh ones, over wires that take their time.

What the live runtime tentative the core is kept here: nothing of a lost component arrives after `WorkersLost`, and what
was said to it before it joined again never reaches the new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from hypothesis import strategies as st
from msgspec import structs

from scheduler.core.guest import Guest
from scheduler.core.scheduler import Scheduler
from scheduler.protocol.addresses import (
    CACHE_ADDRESS,
    CORE_ADDRESS,
    FABRIC_ADDRESS,
    aggregated_address,
    cache_server_address,
    decode_address,
    prefill_address,
)
from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Outputs
from scheduler.protocol.messages import (
    DrainCacheServers,
    FailParts,
    Message,
    RepairParts,
    RunEnded,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)
from tests.checkers.fabric_account import FabricAccount
from tests.made_up_fabric import build_fabric, lines_in
from tests.naive.case import Case, Row
from tests.sim.build import LinearCost, LinearEnergy, LinearSteps, build_real, decode_config, make_aggregated
from tests.sim.cache_parts import store_sizes
from tests.sim.parked import parkable
from tests.tap import Look, as_guest
from workers.cache.pool import CachePool
from workers.cache.store import BlockStore
from workers.decode.instance import DecodeInstance
from workers.fabric.fabric import Fabric
from workers.parking import ParkableInstance
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance


@dataclass(frozen=True)
class Loss:
    """These die at `at_ns`; the core hears of it `unnoticed_ns` later; `down_ns` after that new ones are there."""

    at_ns: int
    addresses: tuple[str, ...]
    unnoticed_ns: int = 0
    down_ns: int = 0


@dataclass(frozen=True)
class ServerLeave:
    """A server of the cache pool is lost, or drained, and is back `away_ns` later."""

    at_ns: int
    number: int
    is_drained: bool
    away_ns: int


@dataclass(frozen=True)
class Fault:
    """At `at_ns` these parts of the fabric fail, or are mended."""

    at_ns: int
    parts: tuple[str, ...]
    is_mended: bool = False


@dataclass(frozen=True)
class Trouble:
    """All that goes wrong in a run, at whose end all parts are mended.

    `delays_ns`: how long messages take on their way, in turn.
    """

    losses: tuple[Loss, ...] = ()
    faults: tuple[Fault, ...] = ()
    delays_ns: tuple[int, ...] = (0,)
    max_retries: int = 3
    report_interval_ns: int = NEVER_NS
    leaves: tuple[ServerLeave, ...] = ()

    @property
    def mended_ns(self) -> int:
        """When all parts are mended, be the fabric there to hear it or not."""
        return max((fault.at_ns for fault in self.faults), default=0) + 1


@st.composite
def fetching_cases(draw: st.DrawFn) -> Case:
    """One prompt after the other fetches its beginning from the pool, over a long way."""
    rows = draw(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 40)), min_size=3, max_size=8))
    prompts = tuple(Row(5_000 * at, 128, output, (1, 2)) for at, output in sorted(rows))
    latency_ns = draw(st.sampled_from([3_000, 15_000]))
    num_prefill = draw(st.integers(1, 3))
    return Case(
        prompts,
        num_prefill=num_prefill,
        latency_ns=latency_ns,
        cache_mode="pool",
        cache_blocks=8,
        num_decode=2,
        cache_servers=draw(st.sampled_from([1, 2, 3])),
        cache_ssd_blocks=draw(st.sampled_from([0, 4])),
    )


DELAYS_NS = st.sampled_from([(0,), (0,), (0, 900), (300, 5_000, 0, 0, 1_700), (2_000,), (0, 40_000)])


@st.composite
def troubles(draw: st.DrawFn, case: Case) -> Trouble:
    """Losses of any of a case's components, alone and together, while it runs and after."""
    hosts: list[tuple[str, ...]] = [(prefill_address(i),) for i in range(case.num_prefill)]
    hosts += [(decode_address(i),) for i in range(case.num_decode)]
    hosts += [(aggregated_address(i),) for i in range(case.num_aggregated)]
    pool = (CACHE_ADDRESS,) if case.cache_mode == "pool" else ()
    hosts += [(FABRIC_ADDRESS, *pool), (FABRIC_ADDRESS,), *([pool] if pool else [])]
    several = st.lists(st.sampled_from(hosts), min_size=1, max_size=3, unique=True)
    addresses = several.map(lambda chosen: tuple(sorted({address for host in chosen for address in host})))
    at_ns = st.one_of(st.integers(0, 30_000), st.integers(0, 200_000), st.sampled_from([0, 5_000, 20_000]))
    loss = st.builds(
        Loss, at_ns, addresses, st.sampled_from([0, 0, 300, 5_000]), st.sampled_from([0, 500, 10_000, 60_000])
    )
    return Trouble(
        tuple(draw(st.lists(loss, min_size=1, max_size=8))),
        (),
        draw(DELAYS_NS),
        draw(st.sampled_from([0, 1, 3, 100, 100])),
        draw(st.sampled_from([1_500, 20_000, NEVER_NS])),
        tuple(draw(st.lists(_leaves(case, at_ns), max_size=6))) if pool else (),
    )


@st.composite
def faults(draw: st.DrawFn, case: Case, *, spares_first: bool = False) -> tuple[Fault, ...]:
    """Lines of ranks, of dies, of whole instances and of the pool break and are mended while a case runs.

    `spares_first`: never the first rank or die of an instance.
    """
    parts = lines_in(case).parts
    num_ranks = case.num_prefill * case.num_ranks
    ends = [parts[i * case.num_ranks : (i + 1) * case.num_ranks] for i in range(case.num_prefill)]
    num_decoding = case.num_decode + case.num_aggregated
    ends += [parts[num_ranks + i * case.num_dies :][: case.num_dies] for i in range(num_decoding)]
    if spares_first:
        ends = [end[1:] for end in ends]
    stages = [[part for end in stage for part in end] for stage in (ends[: case.num_prefill], ends[case.num_prefill :])]
    ub_lines = parts[num_ranks + num_decoding * case.num_dies :]
    groups = [*(tuple(end) for end in (*ends, *stages)), *((part,) for part in (*stages[0], *stages[1], *ub_lines))]
    at_ns = st.one_of(st.integers(0, 30_000), st.integers(0, 200_000), st.sampled_from([0, 5_000, 20_000]))
    groups = [group for group in groups if group]
    fault = st.builds(Fault, at_ns, st.sampled_from(groups), st.sampled_from([False, False, True]))
    return tuple(draw(st.lists(fault, min_size=1, max_size=10)))


def _leaves(case: Case, at_ns: st.SearchStrategy[int]) -> st.SearchStrategy[ServerLeave]:
    number = st.integers(0, case.cache_servers - 1)
    return st.builds(ServerLeave, at_ns, number, st.booleans(), st.sampled_from([0, 3_000, 60_000]))


@dataclass
class _Wire:
    """Messages on their way between the core and one component, each way in the order in which they were said."""

    to_core_ns: int = 0
    from_core_ns: int = 0


class LosingSystem:
    """A case's components; those but the core and the source may be lost. `run` once, then look at what is left."""

    def __init__(self, case: Case, trouble: Trouble, taps: Sequence[Look | Guest] = ()) -> None:
        system = build_real(case, report_interval_ns=trouble.report_interval_ns)
        self.case = case
        self.trouble = trouble
        self.scheduler: Scheduler = system.scheduler
        self.source = system.source
        self.scheduler.state.config = structs.replace(self.scheduler.state.config, max_retries=trouble.max_retries)
        self.told: list[tuple[int, Message | None]] = []
        """What the core was given; None is a wake."""
        self.said: list[Outputs] = []
        self.lost: set[str] = set()
        """Who is down as far as the core was told."""
        self.now_ns = 0
        for tap in taps:
            self.scheduler.add_guest(as_guest(tap))
        self._alive: dict[str, Component | None] = {c.address: c for c in system.components}
        self._epoch = dict.fromkeys(self._alive, 0)
        self._wires = {address: _Wire() for address in self._alive}
        self._delays: deque[int] = deque(trouble.delays_ns)
        self.account = FabricAccount(case.bytes_per_token)
        """Of the fabric that lives."""
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._num_events = 0
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
        assert None not in self._alive.values()
        return [one.inner if isinstance(one, ParkableInstance) else one for one in self._alive.values() if one]

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
            assert address not in self.lost, (address, said)
            wire, epoch = self._wires[address], self._epoch[address]
            wire.from_core_ns = max(wire.from_core_ns, self.now_ns + self._delay_ns())
            self._at(wire.from_core_ns, lambda to=address, epoch=epoch, said=said: self._deliver(to, epoch, said))

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
        return make_aggregated(case, int(address.rpartition("-")[2]), cache, config, now_ns)
    decode = DecodeInstance(address, config, LinearSteps(case), LinearEnergy(), began_ns=now_ns)
    return parkable(case, decode, decode.memory.is_empty)
