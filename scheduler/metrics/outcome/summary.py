"""What a run came to: the numbers of `replay --json`, from table and collector, when the run has ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from scheduler.metrics.columns import NS_PER_S, Rows
from scheduler.metrics.distribution import Distribution, distribution, weighted_distribution_s
from scheduler.metrics.outcome.class_use import ClassUse, RequestCounts, class_uses, request_counts
from scheduler.metrics.outcome.collector import Collector, Role
from scheduler.metrics.outcome.energy import (
    Bill,
    CostUse,
    EnergyUse,
    FacilityCurves,
    PowerCourse,
    Served,
    energy_use,
    power_course,
    role_joules,
)
from scheduler.metrics.outcome.energy_places import Places
from scheduler.metrics.outcome.fabric_use import FabricCapacity, FabricUse, fabric_use
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.metrics.outcome.pool_use import PoolUse, pool_use
from scheduler.metrics.outcome.usage import InstanceTotals, instance_totals, with_powerless_gaps
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo, SloResult, slo_result
from scheduler.protocol.finish import FAILED, FINISHED, REJECTED, FinishReason
from scheduler.protocol.messages import Plane, TransferKind

SIGNIFICANT_DIGITS: Final = 9
"""Of floats in the JSON: stable, readable, and finer than anything that is modelled."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What only the composition root knows. Capacities in bytes per second are of all links of a plane together, and of
    those of the cache pool on UB."""

    wall_s: float
    seed: int
    config_digest: str
    plane_capacity_bytes_per_s: Mapping[Plane, float]
    has_prefix_cache: bool
    pool_bytes_per_s: float = 0.0
    curves: FacilityCurves | None = None
    """What else draws power; None leaves it at the NPUs."""
    bill: Bill | None = None
    places: Places | None = None
    """Where the NPUs stand; looked at where there are curves."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Finished requests and their tokens per second of emulated time, cached prompt tokens included."""

    requests_per_s: float | None
    input_tokens_per_s: float | None
    output_tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class RoleLoad:
    """Means over time and NPUs of one role; None without such NPUs.

    Tokens are computed prompt tokens for prefill, output tokens after the first for decode. `utilization` is the busy
    share of time.
    """

    tokens_per_s: float | None
    utilization: float | None
    watts: float | None


@dataclass(frozen=True, slots=True)
class PerNpu:
    """The two stages, per NPU."""

    prefill: RoleLoad
    decode: RoleLoad


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Prompt tokens found in a prefix cache, and those looked up, of requests whose prefill began; both 0 without one.

    A request that begins again is looked up, and counts, once more for each recomputation.
    `pool` is the account of the cache pools themselves, all together.
    """

    hit_tokens: int
    lookup_tokens: int
    pool: PoolUse


@dataclass(frozen=True, slots=True)
class Summary:
    """The fields of `replay --json`, in its order; a value that does not exist is None."""

    requests: RequestCounts
    finish_reasons: Mapping[str, int]
    ttft_s: Distribution
    tpot_s: Distribution
    itl_s: Distribution
    e2e_s: Distribution
    queue_s: Distribution
    throughput: Throughput
    per_npu: PerNpu
    slo: SloResult | None
    cache: CacheUse
    fabric: FabricUse
    energy: EnergyUse
    cost: CostUse
    preemptions: int
    simulated_s: float
    wall_s: float
    seed: int
    config_digest: str
    classes: Mapping[str, ClassUse] = field(default_factory=dict[str, ClassUse])
    """By name, requests without a class first; empty, and left out of the JSON, in a run without classes."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; keys keep the order of the fields, so that equal runs give equal bytes."""
        values = {key: _rounded(value) for key, value in dataclasses.asdict(self).items()}
        if not self.classes:
            del values["classes"]
        return values


def summarize(collector: Collector, info: RunInfo, slo: Slo | None = None, records: Records | None = None) -> Summary:
    """Sum up a run that has ended; `records` saves making them twice."""
    records = Records(collector.table) if records is None else records
    span_s = collector.ended_ns / NS_PER_S
    counts: list[int] = np.bincount(records.reason, minlength=len(FinishReason)).tolist()
    groups = (FINISHED, REJECTED, FAILED)
    finished_tokens = int(records.output_tokens[records.is_finished].sum())
    usage = with_powerless_gaps(collector.usage_rows()) if collector.has_losses else collector.usage_rows()
    totals = instance_totals(usage, len(collector.instances))
    is_finished = records.is_finished
    num_finished, prompt_tokens = int(is_finished.sum()), int(records.prompt_tokens[is_finished].sum())
    served = Served(num_finished, prompt_tokens, finished_tokens, span_s)
    energy = energy_use(collector.instances, usage, totals, served, info.curves, info.places)
    bill = CostUse(None, None, None)
    if info.bill is not None:
        bill = info.bill(
            served, energy, role_joules(collector.instances, totals), lambda: _course(collector, usage, info.curves)
        )
    later_tokens = int(records.output_tokens.sum()) - int(records.has_first_token.sum())
    return Summary(
        requests=request_counts(records),
        finish_reasons={reason.name.lower(): counts[reason] for group in groups for reason in group},
        ttft_s=distribution(records.ttft_s),
        tpot_s=distribution(records.tpot_s),
        itl_s=weighted_distribution_s(TokenGaps(collector).parts),
        e2e_s=distribution(records.e2e_s),
        queue_s=distribution(records.queue_s),
        throughput=Throughput(
            _ratio(num_finished, span_s),
            _ratio(prompt_tokens, span_s),
            _ratio(finished_tokens, span_s),
        ),
        per_npu=PerNpu(
            _role_load(collector, "prefill", totals, collector.computed_tokens),
            _role_load(collector, "decode", totals, later_tokens),
        ),
        slo=None if slo is None else slo_result(slo, records, span_s),
        cache=_cache_use(collector, records) if info.has_prefix_cache else CacheUse(0, 0, pool_use([], {})),
        fabric=fabric_use(collector, FabricCapacity(info.plane_capacity_bytes_per_s, info.pool_bytes_per_s)),
        energy=energy,
        cost=bill,
        preemptions=int(records.preemptions.sum()),
        simulated_s=span_s,
        wall_s=info.wall_s,
        seed=info.seed,
        config_digest=info.config_digest,
        classes={} if slo is None else class_uses(slo, records, span_s),
    )


def _course(collector: Collector, usage: Rows, curves: FacilityCurves | None) -> PowerCourse:
    assert curves is not None, "who makes a bill knows them"
    return power_course(usage, len(collector.instances), curves)


def _ratio(amount: float, of: float) -> float | None:
    return amount / of if of else None


def _role_load(collector: Collector, role: Role, totals: InstanceTotals, num_tokens: int) -> RoleLoad:
    """Instances weigh by their NPUs."""
    num_npus = np.array([i.num_npus if i.role == role else 0 for i in collector.instances], np.int64)
    npu_s = float(num_npus.sum()) * collector.ended_ns / NS_PER_S
    busy_npu_s = float(np.dot(totals.busy_ns, num_npus)) / NS_PER_S
    joules = float(totals.joules[num_npus > 0].sum())
    return RoleLoad(_ratio(num_tokens, npu_s), _ratio(busy_npu_s, npu_s), _ratio(joules, npu_s))


def _cache_use(collector: Collector, records: Records) -> CacheUse:
    has_started = records.has_started
    moved = {
        kind: sum(int(collector.flow_rows(plane, kind)["num_bytes"].sum()) for plane in Plane) for kind in TransferKind
    }
    return CacheUse(
        int(records.cached_tokens[has_started].sum()) + collector.forgotten_hits,
        int(records.prompt_tokens[has_started].sum()) + collector.forgotten_lookups,
        pool_use(list(collector.cache_reports.values()), moved),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        group = cast("dict[str, Any]", value)
        return {key: _rounded(inner) for key, inner in group.items()}
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
