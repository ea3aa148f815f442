"""What a fleet did in each interval, as a scaling policy is shown it.

Demand is counted as it arrives, and who waits counts as long as it waits: what is counted only when it is served tells
least when it matters most. Reports are added up as they come; all else is read from the request table once an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.lifecycle import State
from scheduler.core.recovery.losses import Losses
from scheduler.core.request_table import NOT_YET
from scheduler.core.scaling.placement import LEAVING, Phase, PlacementBook
from scheduler.core.scaling.rules import ScalingRules
from scheduler.core.state import SchedulerState
from scheduler.policies.scaling_view import RoleSample, ScalingSample
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import DecodeStepped, PrefillStepped

DAY_S: Final = 86_400.0

_WAITING_FOR_PREFILL: Final = (State.ARRIVED, State.FETCHING, State.PREFILL_QUEUED)


class Reports:
    """What instances of one role reported in an interval."""

    __slots__ = ("busy_ns", "num_reports", "num_steps", "num_tokens", "span_ns")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another interval begins."""
        self.busy_ns = self.num_tokens = self.num_steps = self.span_ns = self.num_reports = 0


class Measures(Guest):
    """Adds up reports, and makes a sample of each interval."""

    hears = (PrefillStepped, DecodeStepped)

    def __init__(self, rules: ScalingRules, book: PlacementBook, state: SchedulerState, losses: Losses) -> None:
        self._rules = rules
        self._book = book
        self._table = state.table
        self._open = state.open
        self._stages = state.prefill, state.decode
        self._decode = state.decode
        self._kv_tokens = losses.reported_kv_tokens
        self._reports = {role: Reports() for role in rules.roles}
        self._reports_at = {slot.address: self._reports[slot.role] for slot in rules.slots}
        self._since_ns = 0
        self._num_arrived = 0
        self._num_ended = 0
        self.on_report: Callable[[int], None] | None = None
        """Called once, at the next report."""
        self._before_first: list[int] = []
        """Requests without a first token, as of the last sample."""

    def before(self, now_ns: int, message: Any) -> Outputs:
        """Add one report."""
        if self.on_report is not None:
            self.on_report(now_ns)
            self.on_report = None
        reports, busy_ns = self._reports_at[message.instance], message.usage.busy_ns
        reports.num_reports += 1
        reports.busy_ns += busy_ns
        if message.__class__ is DecodeStepped:
            num_steps = message.tokens_per_sequence
            reports.num_tokens += message.num_running * num_steps
            reports.num_steps += num_steps
            reports.span_ns += message.steps_ns
        elif computed_tokens := message.computed_tokens:
            reports.num_tokens += computed_tokens
            reports.num_steps += 1
            reports.span_ns += busy_ns
        return NOTHING

    def sample(self, now_ns: int, wanted: Mapping[str, int]) -> ScalingSample:
        """What happened since the last one."""
        table, length_s = self._table, (now_ns - self._since_ns) * 1e-9
        arrived = range(self._num_arrived, table.num_requests)
        tokens = table.prompt_tokens[arrived.start : arrived.stop]
        first = self._first_tokens(now_ns, arrived)
        ended = self._ended()
        sample = ScalingSample(
            now_ns * 1e-9,
            length_s,
            len(arrived),
            sum(tokens),
            *first,
            *ended,
            self._usd_per_kwh(now_ns),
            {role: self._role(role, length_s, wanted[role]) for role in self._rules.roles},
        )
        self._since_ns, self._num_arrived = now_ns, table.num_requests
        for reports in self._reports.values():
            reports.begin()
        return sample

    def _first_tokens(self, now_ns: int, arrived: range) -> tuple[int, int, int, float, int, int, float]:
        """`first_tokens` to `oldest_wait_s` of a sample."""
        table, limit_ns = self._table, self._rules.ttft_limit_s * 1e9
        waiting: list[int] = []
        ttft_ns: list[int] = []
        prompt_tokens = cached_tokens = 0
        for request_id in (*self._before_first, *arrived):
            first_ns = table.first_token_ns[request_id]
            if first_ns != NOT_YET:
                ttft_ns.append(first_ns - table.arrived_ns[request_id])
                prompt_tokens += table.prompt_tokens[request_id]
                cached_tokens += table.cached_tokens[request_id]
            elif table.state[request_id] != State.ENDED:
                waiting.append(request_id)
        self._before_first = waiting
        waits_ns = [now_ns - table.arrived_ns[i] for i in waiting if i not in self._open.held]
        return (
            len(ttft_ns),
            prompt_tokens,
            cached_tokens,
            sum(ttft_ns) * 1e-9 / len(ttft_ns) if ttft_ns else 0.0,
            sum(wait_ns <= limit_ns for wait_ns in ttft_ns),
            sum(wait_ns > limit_ns for wait_ns in waits_ns),
            max(waits_ns, default=0) * 1e-9,
        )

    def _ended(self) -> tuple[int, int, int, float, int]:
        """`finished_requests` to `tpot_met` of a sample."""
        table, limit_ns = self._table, self._rules.tpot_limit_s * 1e9
        ids = table.ended_ids[self._num_ended :]
        self._num_ended += len(ids)
        counts = [table.output_tokens[i] for i in ids]
        pace_ns = [
            (table.last_token_ns[i] - table.first_token_ns[i]) / (count - 1)
            for i, count in zip(ids, counts, strict=True)
            if count > 1
        ]
        mean_s = sum(pace_ns) * 1e-9 / len(pace_ns) if pace_ns else 0.0
        return len(ids), sum(counts), len(pace_ns), mean_s, sum(one <= limit_ns for one in pace_ns)

    def _role(self, role: str, length_s: float, wanted: int) -> RoleSample:
        book, reports = self._book, self._reports[role]
        serving = [address for address in book.of_role(role, Phase.SERVING) if self._serves(address)]
        there = book.of_role(role, Phase.SERVING, *LEAVING)
        num_starting = len(book.of_role(role, Phase.BOOKED, Phase.STARTING, Phase.SERVING)) - len(serving)
        decode = self._decode
        stage = next(stage for stage in self._stages if book.by_role[role][0] in stage.index)
        at = [stage.index[address] for address in there]
        at_decode = [decode.index[address] for address in there if address in decode.index]
        capacity = sum(decode.instances[decode.index[one]].kv_capacity_tokens for one in serving if one in decode.index)
        return RoleSample(
            len(serving),
            num_starting,
            len(book.of_role(role, *LEAVING)),
            wanted,
            self._waiting(stage),
            sum(stage.outstanding_requests[index] for index in at),
            sum(stage.outstanding_tokens[index] for index in at),
            sum(self._kv_tokens[index] for index in at_decode),
            capacity,
            min(1.0, reports.busy_ns * 1e-9 / (length_s * len(there))) if there and length_s else 0.0,
            reports.num_tokens,
            reports.span_ns * 1e-9 / reports.num_steps if reports.num_steps else 0.0,
            reports.num_reports,
        )

    def _serves(self, address: str) -> bool:
        """Whether it is there and reached; one that is parked wakes when it is needed."""
        return all(
            stage.index[address] in stage.up and not stage.is_cut(stage.index[address])
            for stage in self._stages
            if address in stage.index
        )

    def _waiting(self, stage: Stage) -> int:
        states = (State.PREFILLED,) if stage is self._decode else _WAITING_FOR_PREFILL
        column, num_requests = self._table.state, self._table.num_requests
        return sum(column.count(state, 0, num_requests) for state in states)

    def _usd_per_kwh(self, now_ns: int) -> float:
        second = now_ns * 1e-9 % DAY_S
        return next(price for from_s, price in reversed(self._rules.usd_per_kwh) if from_s <= second)
