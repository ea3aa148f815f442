"""What a run came to: the numbers of `replay --json`, put together from the summaries of all subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from msgspec import Struct, field, to_builtins

from scheduler.metrics.distribution import Distribution
from scheduler.metrics.outcome.broken_parts import BrokenParts
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.decode_load import DecodeLoad
from scheduler.metrics.outcome.ended_run import EndedRun, RunInfo
from scheduler.metrics.outcome.energy import CostUse, EnergyUse
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.metrics.subject import SUBJECTS
from scheduler.metrics.subjects.caches import CacheUse
from scheduler.metrics.subjects.clients import GroupUse
from scheduler.metrics.subjects.clock import WarmupUse
from scheduler.metrics.subjects.fabric import FabricUse
from scheduler.metrics.subjects.instances import PerNpu
from scheduler.metrics.subjects.requests import RequestCounts
from scheduler.metrics.subjects.sessions import SessionUse
from scheduler.metrics.subjects.slo import ClassUse, SloResult
from scheduler.metrics.subjects.tokens import Throughput, TokenUse

SIGNIFICANT_DIGITS: Final = 9
"""Of floats in the JSON: stable, readable, and finer than anything that is modelled."""


LEFT_OUT_IF_EMPTY: Final = ("classes", "broken_parts", "finish_limits", "clients", "sessions", "warmup")
"""Fields that are in the JSON only of a run that has such."""


class Summary(Struct, frozen=True):
    """The fields of `replay --json`, in its order; a value that does not exist is None."""

    requests: RequestCounts
    finish_reasons: Mapping[str, int]
    ttft_s: Distribution
    tpot_s: Distribution
    itl_s: Distribution
    e2e_s: Distribution
    queue_s: Distribution
    throughput: Throughput
    tokens: TokenUse
    per_npu: PerNpu
    decode_load: DecodeLoad
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
    broken_parts: BrokenParts | None = None
    """What broke of the fabric; left out of the JSON where nothing did."""
    finish_limits: Mapping[str, str] = field(default_factory=dict[str, str])
    """The limit behind each reason that ended requests without their having finished; left out of the JSON where every
    request finished."""
    clients: GroupUse | None = None
    """What clients kept in flight; of this and the next two: left out of the JSON of a run that has none."""
    sessions: SessionUse | None = None
    warmup: WarmupUse | None = None
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else a subject adds, by its key in the JSON, where it follows all fields."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; keys keep the order of the fields, so that equal runs give equal bytes."""
        values = {key: rounded(value) for key, value in to_builtins(self).items()}
        others = values.pop("others")
        for key in LEFT_OUT_IF_EMPTY:
            if not values[key]:
                del values[key]
        return values | others


def summarize(collector: Collector, info: RunInfo, slo: Slo | None = None, records: Records | None = None) -> Summary:
    """Sum up a run that has ended; `records` saves making them twice. `ConfigError` if its warm-up left nothing."""
    run = EndedRun.of(collector, info, slo, records)
    found = {key: value for subject in SUBJECTS.values() for key, value in subject.summary(run).items()}
    published = {name: found.pop(name) for name in Summary.__struct_fields__ if name in found}
    return Summary(**published, others=found)


def rounded(value: Any) -> Any:
    """A value of the JSON, with its floats to as many digits."""
    if isinstance(value, dict):
        group = cast("dict[str, Any]", value)
        return {key: rounded(inner) for key, inner in group.items()}
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
