"""Makes the real system of a case, runs it on the virtual runtime and answers what became of each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.guest import Guest
from scheduler.core.guests.parking import ParkingRules
from scheduler.core.scaling.rules import ScalingRules
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.policies.classes import RequestClass
from scheduler.policies.view import READS_ALL, PolicyContext, RequestView, RoutingPolicy, StageKind, StageView
from scheduler.protocol.addresses import CORE_ADDRESS, aggregated_address, decode_address, prefill_address
from scheduler.protocol.component import NEVER_NS, Around, Component, Outputs
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PrefillStepped,
    TransferDone,
    UsageReported,
)
from scheduler.runtime.random_streams import stream_on_demand
from scheduler.runtime.virtual import VirtualRuntime
from sim_hw.instance.compiled_decode import StepForm, StreamCost
from tests.checkers.linear_energy import LinearEnergy
from tests.made_up_fabric import build_fabric
from tests.naive.case import (
    Case,
    Outcome,
    Result,
    lines_of,
    mixed_ps,
    way_of,
)
from tests.sim.cache_parts import blocks_in, has_pool_ssd, store_sizes
from tests.sim.clients.sources import WatchedSource, make_source
from tests.sim.parked import parkable
from tests.sim.throttled import WholeMixedThrottle, WholePassThrottle, WholeStepThrottle
from tests.tap import Look, as_guest
from workers.aggregated.config import AggregatedConfig
from workers.aggregated.instance import AggregatedInstance
from workers.cache.pool import CachePool
from workers.cache.store import BlockStore
from workers.decode.config import ANY_NUMBER, DecodeConfig, Sampling
from workers.decode.instance import DecodeInstance
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance


@dataclass(frozen=True)
class LinearCost:
    """The case's pass time."""

    case: Case

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        """Nanoseconds, at least one."""
        case = self.case
        pairs_ns = attention_pairs // case.pairs_per_ns
        return case.pass_ns + case.token_ns * computed_tokens + pairs_ns + case.cached_ns * cached_tokens


@dataclass(frozen=True)
class LinearSteps:
    """The case's step time."""

    case: Case

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """Lines as the case has them, laid out by number of sequences."""
        case = self.case
        way = way_of(case, num_running, kv_tokens)
        counts = np.arange(case.slots_per_die + 1, dtype=np.int64)
        lines = [
            StreamCost(sequence_ps * counts, constant_ps, kv_ps)
            for constant_ps, sequence_ps, kv_ps in lines_of(case, way, num_running)
        ]
        return StepForm(tuple(lines), way)


class LinearMixed(LinearCost, LinearSteps):
    """The case's step times of both kinds, and of both together."""

    def mixed_ps(self, decode_ps: int, prefill_ns: int, num_running: int, computed_tokens: int) -> int:
        """Picoseconds."""
        return mixed_ps(self.case, decode_ps, prefill_ns, num_running, computed_tokens)


Listener = Callable[[int, str, Message], None]
"""Is shown (time, address, message) of everything the core hears, and after it of everything the core says."""


class Overheard(Around):
    """The scheduler with somebody listening."""

    def __init__(self, scheduler: Scheduler, listeners: Sequence[Listener]) -> None:
        super().__init__(scheduler)
        self._listeners = listeners

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Pass on, and tell."""
        for listener in self._listeners:
            listener(now_ns, CORE_ADDRESS, message)
        return self._tell(now_ns, self.inner.handle(now_ns, message))

    def wake(self, now_ns: int) -> Outputs:
        """Pass on, and tell."""
        return self._tell(now_ns, self.inner.wake(now_ns))

    def _tell(self, now_ns: int, outputs: Outputs) -> Outputs:
        for address, said in outputs:
            for listener in self._listeners:
                listener(now_ns, address, said)
        return outputs


class Meter:
    """A tap that adds up what the workers report."""

    def __init__(self) -> None:
        self.busy_ns: dict[str, int] = {}
        self.joules: dict[str, float] = {}
        self.num_bytes = 0

    def __call__(self, now_ns: int, message: Message) -> None:
        if isinstance(message, PrefillStepped | DecodeStepped | UsageReported):
            name, usage = message.instance, message.usage
            self.busy_ns[name] = self.busy_ns.get(name, 0) + usage.busy_ns
            self.joules[name] = self.joules.get(name, 0.0) + usage.joules
        elif isinstance(message, TransferDone):
            self.num_bytes += message.num_bytes


@dataclass
class RealSystem:
    """The real components of a case, ready to run once."""

    case: Case
    scheduler: Scheduler
    source: WatchedSource
    prefill: list[PrefillInstance]
    decode: list[DecodeInstance]
    aggregated: list[AggregatedInstance]
    caches: list[BlockStore]
    components: list[Component]
    runtime: VirtualRuntime = field(init=False)

    def run(self, taps: Sequence[Look | Guest] = (), listeners: Sequence[Listener] = ()) -> Result:
        """Run to the end and read the table."""
        meter = Meter()
        components: list[Component] = [*self.components, Overheard(self.scheduler, listeners)]
        for tap in (*taps, meter):
            self.scheduler.add_guest(as_guest(tap))
        self.runtime = VirtualRuntime(components, CORE_ADDRESS)
        self.runtime.run()
        engines = [engine.address for engine in (*self.prefill, *self.decode, *self.aggregated)]
        return Result(
            self.outcomes(),
            sum(cache.account.dram_evicted_blocks + cache.account.ssd_evicted_blocks for cache in self.caches),
            [blocks_in(cache) for cache in self.caches],
            self.runtime.now_ns,
            [meter.busy_ns[address] for address in engines],
            [int(meter.joules[address]) for address in engines],
            meter.num_bytes,
        )

    def outcomes(self) -> list[Outcome]:
        """The table's rows."""
        table = self.scheduler.table
        return [
            Outcome(
                table.arrived_ns[i],
                table.prefill_started_ns[i],
                table.first_token_ns[i],
                table.decode_started_ns[i],
                table.last_token_ns[i],
                table.ended_ns[i],
                FinishReason(table.reason[i]).name,
                table.output_tokens[i],
                table.cached_tokens[i],
                table.preemptions[i],
                table.prefill_instance[i],
                table.decode_instance[i],
            )
            for i in range(table.num_requests)
        ]


def build_real(
    case: Case,
    *,
    skip_steps: bool = True,
    report_interval_ns: int = NEVER_NS,
    scaling: ScalingRules | None = None,
) -> RealSystem:
    """All components of a case, those among them that are not there at first."""
    mode = CacheMode(case.cache_mode)
    num_local = case.num_prefill + case.num_aggregated if mode is CacheMode.LOCAL else 0
    caches = [BlockStore(store_sizes(case)) for _ in range(num_local)]
    budget_w = case.budget_w or 0
    passes, steps = (WholePassThrottle(), WholeStepThrottle()) if budget_w else (None, None)
    sizes = PrefillConfig(case.token_budget, case.prefill_blocks, budget_w, names_next=case.cache_mode == "pool")
    prefill = [
        PrefillInstance(
            prefill_address(i), sizes, LinearCost(case), LinearEnergy(), caches[i] if caches else None, throttle=passes
        )
        for i in range(case.num_prefill)
    ]
    config = decode_config(case, report_interval_ns, skip_steps=skip_steps)
    decode = [
        DecodeInstance(decode_address(i), config, LinearSteps(case), LinearEnergy(), throttle=steps)
        for i in range(case.num_decode)
    ]
    aggregated = [
        make_aggregated(case, i, caches[case.num_prefill + i] if caches else None, config)
        for i in range(case.num_aggregated)
    ]
    scheduler = Scheduler(
        SchedulerConfig(
            [*(prefill_info(case, p.address) for p in prefill), *(decode_info(case, a.address) for a in aggregated)],
            [decode_info(case, one.address) for one in (*decode, *aggregated)],
            mode,
            Plane.UB,
            max_open_requests=case.max_open_requests,
            num_cache_servers=(case.cache_servers,),
            has_cache_ssd=has_pool_ssd(case),
            keeps_answers=case.keeps_answers,
            view_age_ns=case.view_age_ns,
            counts_sends=case.counts_sends,
            parking=None if case.parking is None else ParkingRules(*case.parking[:2]),
            disaggregation=case.disaggregation,
            # The tenant of a row tells its class.
            scaling=scaling,
            classes=tuple(RequestClass(f"c{i}", tenants=(i,)) for i, _ in enumerate(case.entry.classes)),
        ),
        *policies(case, 0),
        case.entry,
        [policies(case, replica) for replica in range(1, case.num_routers)],
    )
    source = make_source(case)
    components: list[Component] = [source, build_fabric(case)]
    components += [parkable(case, one, one.is_empty) for one in (*prefill, *decode, *aggregated)]
    if mode is CacheMode.POOL:
        pool = CachePool(store_sizes(case))
        caches.append(pool.store)
        components.append(pool)
    return RealSystem(case, scheduler, source, prefill, decode, aggregated, caches, components)


def prefill_info(case: Case, address: str) -> InstanceInfo:
    """What a prefill instance registers."""
    tokens = 128 * case.prefill_blocks
    cache_blocks = case.cache_blocks if case.cache_mode == "local" else 0
    return InstanceInfo(address, 1, tokens, 0, tokens, cache_blocks, case.token_budget)


def decode_info(case: Case, address: str) -> InstanceInfo:
    """What a decode instance registers, or an aggregated one."""
    tokens = 128 * case.blocks_per_die
    return InstanceInfo(address, 1, tokens, 0, tokens * case.num_dies, case.cache_blocks)


def make_aggregated(
    case: Case, index: int, cache: BlockStore | None, decode: DecodeConfig, began_ns: int = 0
) -> AggregatedInstance:
    """An aggregated instance of a case, with the decode side of its decode instances."""
    sizes = AggregatedConfig(decode, case.step_budget, case.rows_per_sequence, names_next=case.cache_mode == "pool")
    throttle = None if case.budget_w is None else WholeMixedThrottle()
    return AggregatedInstance(
        aggregated_address(index), sizes, LinearMixed(case), LinearEnergy(), cache, began_ns=began_ns, throttle=throttle
    )


class Rogue:
    """A policy that fails in every way there is, and now and then answers what it should."""

    reason = "rogue: any"
    reads = READS_ALL

    def __init__(self) -> None:
        self.num_choices = 0

    def choose(self, stage: StageView, request: RequestView) -> int:
        """No instance, none there is, no number, no answer, or the last."""
        self.num_choices += 1
        last = len(stage.outstanding_requests) - 1
        answers: list[object] = [last, -1, last + 1, None, 0.5, True, "0"]
        if self.num_choices % 5 == 0:
            raise ZeroDivisionError
        return answers[self.num_choices % len(answers)]  # pyright: ignore[reportReturnType]


def policies(case: Case, replica: int) -> tuple[RoutingPolicy, RoutingPolicy]:
    """Of prefill and decode, for one of the routers."""
    return (
        make_policy(case.prefill_policy, StageKind.PREFILL, replica),
        make_policy(case.decode_policy, StageKind.DECODE, replica),
    )


def make_policy(name: str, stage: StageKind, replica: int = 0) -> RoutingPolicy:
    """A policy with a stream of its own."""
    if name == "rogue":
        return Rogue()
    return make_routing_policy(name, PolicyContext(stage, stream_on_demand(replica, f"policy {stage.value}")))


def run_real(case: Case, *, skip_steps: bool = True, report_interval_ns: int = NEVER_NS) -> Result:
    """Build and run."""
    return build_real(case, skip_steps=skip_steps, report_interval_ns=report_interval_ns).run()


def decode_config(case: Case, report_interval_ns: int = NEVER_NS, *, skip_steps: bool = True) -> DecodeConfig:
    """The size of each decode instance of a case; without skipping, each of its runs has one step."""
    numerator, denominator = case.step_tokens
    return DecodeConfig(
        num_dies=case.num_dies,
        blocks_per_die=case.blocks_per_die,
        slots_per_die=case.slots_per_die,
        extent_blocks=case.extent_blocks,
        tokens_per_step_num=numerator,
        tokens_per_step_den=denominator,
        report_interval_ns=report_interval_ns,
        max_run_steps=ANY_NUMBER if skip_steps else 1,
        budget_w=case.budget_w or 0,
        sampling=None if case.sampled is None else Sampling(*case.sampled),
    )
