"""A run that has ended, as the summaries of all subjects see it: its log, its records, and what only deploy knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct, field

from scheduler.core.request_table import NOT_YET
from scheduler.metrics.columns import NS_PER_S, Bools, Ints, Rows, view
from scheduler.metrics.facility import FacilityCurves, Places
from scheduler.metrics.layout import WatchedSupernode
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.energy import Bill, FleetUse, Served
from scheduler.metrics.outcome.usage import (
    UsageTotals,
    peak_watts,
    powered_ns,
    usage_totals,
    with_idle_gaps,
    with_powerless_gaps,
)
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.metrics.warmup import Warmup
from scheduler.protocol.errors import ConfigError
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
    warmup: Warmup = field(default_factory=Warmup)
    """What the figures leave out."""
    clients: ClientsInfo | None = None
    """Who asked, where that waited for answers."""
    supernodes: Sequence[WatchedSupernode] = ()
    """What the supernodes of the fleet are; looked at where they are of several clusters."""


class ClientsInfo(Struct, frozen=True):
    """Clients by the class that they ask for, empty for all; nothing where as many are in flight as are ready.

    `class_names` are by index of class. `planned_turns[i]` is how many requests session i was to have; it is None where
    turns do not wait for one another.
    """

    concurrency: Mapping[str, int]
    class_names: Sequence[str] = ()
    planned_turns: Sequence[int] | None = None


class EndedRun(Struct, frozen=True, dict=True):
    """What is known of a run; what several subjects need is worked out once, when it is first asked for.

    Of a run with a warm-up it is the part after it, as if that were all: `collector` has logged what happened from then
    on, `records` are of the requests that arrived from then on, and all times count from there. `present` are the
    records of all requests that were open at some time since, which had begun before in part; without a warm-up they
    are the `records`. Only `whole` is the log of the whole run.
    """

    collector: Collector
    records: Records
    info: RunInfo
    slo: Slo | None
    present: Records
    whole: Collector
    num_left_out: int = 0
    """Requests of the warm-up."""

    @classmethod
    def of(cls, collector: Collector, info: RunInfo, slo: Slo | None, records: Records | None) -> EndedRun:
        """The run that was logged; `ConfigError` if it ended within its warm-up. `records` are those of the whole."""
        end, table = collector.warmup_end, collector.table
        if not info.warmup or not table.num_requests:
            whole = Records(table) if records is None else records
            return cls(collector, whole, info, slo, whole, collector)
        if end is None or end.first_request >= table.num_requests:
            raise ConfigError(
                f"the warm-up of {info.warmup} left nothing: all {table.num_requests:,} requests arrived within it; "
                "give a shorter --warmup"
            )
        ids = np.arange(table.num_requests)
        is_counted = ids >= end.first_request
        is_present = is_counted | (view(table.ended_ns, table.num_requests) > end.at_ns)
        counted, present = (Records(table, ids[mask], end.at_ns) for mask in (is_counted, is_present))
        return cls(collector.later_part(end), counted, info, slo, present, collector, end.first_request)

    @property
    def span_s(self) -> float:
        """Emulated seconds that figures are of."""
        return self.collector.ended_ns / NS_PER_S

    @property
    def began_s(self) -> float:
        """Emulated seconds before them."""
        return (self.whole.ended_ns - self.collector.ended_ns) / NS_PER_S

    @cached_property
    def usage_rows(self) -> Rows:
        """`USAGE_ROW` rows, shape (num_accounts,), that join seamlessly even where workers were lost."""
        rows = self.collector.usage_rows()
        return with_powerless_gaps(rows) if self.collector.has_gaps else rows

    @cached_property
    def there(self) -> list[float] | None:
        """The share of time for which each instance existed; None where none comes or goes."""
        if not self.collector.comes_and_goes:
            return None
        rows = self.usage_rows
        seconds = np.bincount(rows["instance"], powered_ns(rows), minlength=len(self.collector.instances)) / NS_PER_S
        return (seconds / self.span_s).tolist() if self.span_s else [0.0] * len(seconds)

    @cached_property
    def fleet(self) -> FleetUse | None:
        """What all NPUs drew; None where no instance comes or goes, so that it follows from the accounts alone."""
        curves, there = self.info.curves, self.there
        if curves is None or there is None:
            return None
        instances = self.collector.instances
        num_npus = np.array([instance.num_npus for instance in instances])
        empty_w = np.array([instance.num_npus * curves.resting_in(instance.pool).idle_w for instance in instances])
        rows = with_idle_gaps(self.usage_rows, empty_w, self.collector.ended_ns)
        gaps_j = float(rows["joules"].sum()) - float(self.usage.joules.sum())
        share = float(np.dot(num_npus, there)) / curves.num_npus
        return FleetUse(rows, gaps_j + curves.spare_npu_w * self.span_s, peak_watts(rows, len(num_npus)), share)

    @cached_property
    def usage(self) -> UsageTotals:
        """Busy time and energy by instance."""
        return usage_totals(self.usage_rows, len(self.collector.instances))

    @cached_property
    def gave_first(self) -> Bools:
        """Which of `present` had their first token in this time."""
        return self.present.first_token_ns >= 0

    @cached_property
    def produced_tokens(self) -> Ints:
        """Output tokens of each of `present` in this time, shape (num_present,).

        Of one whose first token came before, those after the first are spread evenly from its (last) start of decode to
        its last token.
        """
        present = self.present
        spans = present.has_first_token & ~self.gave_first
        if not spans.any():
            return present.output_tokens
        began_ns, last_ns = present.decode_started_ns, present.last_token_ns
        share = (last_ns - np.maximum(began_ns, 0)) / np.maximum(last_ns - began_ns, 1)
        later = np.rint((present.output_tokens - 1) * np.clip(share, 0.0, 1.0)).astype(np.int64)
        is_later = (began_ns != NOT_YET) & (last_ns > 0)
        return np.where(spans, np.where(is_later, later, 0), present.output_tokens)

    @cached_property
    def served(self) -> Served:
        """Requests that finished in this time, and the tokens of all in it."""
        return Served(
            int(self.present.is_finished.sum()),
            int(self.present.prompt_tokens[self.gave_first].sum()),
            int(self.produced_tokens.sum()),
            self.span_s,
            self._mixed_share,
        )

    @property
    def _mixed_share(self) -> float:
        npus = np.array([i.num_npus if i.role == "aggregated" else 0 for i in self.collector.instances], np.int64)
        busy_npu_ns = int(np.dot(self.usage.busy_ns, npus))
        return min(1.0, self.collector.mixed_npu_ns / busy_npu_ns) if busy_npu_ns else 0.5
