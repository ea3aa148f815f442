"""A run that has ended, as the summaries of all subjects see it: its log, its records, and what only deploy knows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct, field

from scheduler.metrics.columns import NS_PER_S, Rows
from scheduler.metrics.facility import FacilityCurves, Places
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.energy import Bill, Served
from scheduler.metrics.outcome.usage import UsageTotals, usage_totals, with_powerless_gaps
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.finish import FinishReason


class RunInfo(Struct, frozen=True):
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
    decode_kv_tokens: Mapping[str, int] = field(default_factory=dict[str, int])
    """KV tokens that each decode instance has room for, by address."""
    finish_limits: Mapping[FinishReason, str] = field(default_factory=dict[FinishReason, str])
    """The limit behind each way to end without having finished, as a phrase."""


class EndedRun(Struct, frozen=True, dict=True):
    """What is known of a run; what several subjects need is worked out once, when it is first asked for."""

    collector: Collector
    records: Records
    info: RunInfo
    slo: Slo | None

    @property
    def span_s(self) -> float:
        """Emulated seconds of the whole run."""
        return self.collector.ended_ns / NS_PER_S

    @cached_property
    def usage_rows(self) -> Rows:
        """`USAGE_ROW` rows, shape (num_accounts,), that join seamlessly even where workers were lost."""
        rows = self.collector.usage_rows()
        return with_powerless_gaps(rows) if self.collector.has_losses else rows

    @cached_property
    def usage(self) -> UsageTotals:
        """Busy time and energy by instance."""
        return usage_totals(self.usage_rows, len(self.collector.instances))

    @cached_property
    def served(self) -> Served:
        """Finished requests, and the tokens of all."""
        records, is_finished = self.records, self.records.is_finished
        return Served(
            int(is_finished.sum()),
            int(records.prompt_tokens[records.has_first_token].sum()),
            int(records.output_tokens.sum()),
            self.span_s,
        )
