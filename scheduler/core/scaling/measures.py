"""What a fleet did in each interval, as a scaling policy is shown it.

Demand is counted as it arrives, and who waits counts as long as it waits: what is counted only when it is served tells
least when it matters most. Reports are added up as they come; all else is read from the request table once an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.lifecycle import BEFORE_FIRST_TOKEN, State
from scheduler.core.recovery.losses import Losses
from scheduler.core.request_table import NOT_YET
from scheduler.core.scaling.placement import LEAVING, Phase, PlacementBook
from scheduler.core.scaling.rules import ScalingRules
from scheduler.core.state import SchedulerState
from scheduler.policies.scaling_view import OutputWork, PromptWork, RoleSample, ScalingSample
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import DecodeStepped, PrefillStepped

DAY_S: Final = 86_400.0

_ENDED: Final = State.ENDED
_WAITING_FOR_PREFILL: Final = (State.ARRIVED, State.FETCHING, State.PREFILL_QUEUED)


class Reports:
    """What instances of one role reported in an interval: of passes, or steps that computed prompts, and of steps over
    sequences; those of both kinds are in both."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Another interval begins."""
        self.busy_ns = 0
        self.num_reports = 0
        self.prompt_tokens = 0
        self.num_passes = 0
        self.passes_ns = 0
        self.budget_ns = 0.0
        self.made_tokens = 0
        self.num_steps = 0.0
        self.steps_ns = 0
        self.mixed_steps = 0.0
        self.mixed_ns = 0

    def prompt_work(self, backlog_tokens: int, there_s: float) -> PromptWork:
        """Of instances that were there for so long, together, and still have so much to compute."""
        return PromptWork(
            backlog_tokens,
            self.prompt_tokens,
            _share(self.passes_ns, there_s),
            _share(self.budget_ns, there_s),
            _mean_s(self.passes_ns, self.num_passes),
        )

    def output_work(self, num_sequences: int) -> OutputWork:
        """Of instances at which so many sequences are."""
        return OutputWork(
            num_sequences,
            self.made_tokens,
            _mean_s(self.steps_ns, self.num_steps),
            _mean_s(self.steps_ns - self.mixed_ns, self.num_steps - self.mixed_steps),
            self.mixed_steps,
        )


def _share(spent_ns: float, there_s: float) -> float:
    return min(1.0, spent_ns * 1e-9 / there_s) if there_s else 0.0


def _mean_s(total_ns: int, count: float) -> float:
    return total_ns * 1e-9 / count if count else 0.0


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
        self._budgets = {
            one.address: max(1, one.pass_tokens) for one in state.prefill.instances if one.address in state.decode.index
        }
        """Token rows of a step of those that do both."""
        self._computed_ns: dict[str, int] = {}
        """When a step of one of these ended that computed prompts: its report of sequences comes next."""
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
            num_steps = message.mean_tokens
            reports.made_tokens += message.num_tokens
            reports.num_steps += num_steps
            reports.steps_ns += message.steps_ns
            if self._budgets and self._computed_ns.get(message.instance) == message.boundary_ns:
                reports.mixed_steps += num_steps
                reports.mixed_ns += message.steps_ns
        elif computed_tokens := message.computed_tokens:
            reports.prompt_tokens += computed_tokens
            reports.num_passes += 1
            reports.passes_ns += busy_ns
            if self._budgets and (budget := self._budgets.get(message.instance)):
                reports.budget_ns += busy_ns * min(1.0, computed_tokens / budget)
                self._computed_ns[message.instance] = message.boundary_ns
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
            {role: self._role(role, length_s, wanted[role]) for role in self._reports},
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
        first_token_ns, arrived_ns, states = table.first_token_ns, table.arrived_ns, table.state
        for request_id in (*self._before_first, *arrived):
            first_ns = first_token_ns[request_id]
            if first_ns != NOT_YET:
                ttft_ns.append(first_ns - arrived_ns[request_id])
                prompt_tokens += table.prompt_tokens[request_id]
                cached_tokens += table.cached_tokens[request_id]
            elif states[request_id] != _ENDED:
                waiting.append(request_id)
        self._before_first = waiting
        waits_ns = [now_ns - arrived_ns[i] for i in waiting if i not in self._open.held]
        return (
            len(ttft_ns),
            prompt_tokens,
            cached_tokens,
            sum(ttft_ns) * 1e-9 / len(ttft_ns) if ttft_ns else 0.0,
            sum([wait_ns <= limit_ns for wait_ns in ttft_ns]),
            sum([wait_ns > limit_ns for wait_ns in waits_ns]),
            max(waits_ns, default=0) * 1e-9,
        )

    def _ended(self) -> tuple[int, int, int, float, int]:
        """`finished_requests` to `tpot_met` of a sample."""
        table, limit_ns = self._table, self._rules.tpot_limit_s * 1e9
        ids = table.ended_ids[self._num_ended :]
        self._num_ended += len(ids)
        output_tokens, first_ns, last_ns = table.output_tokens, table.first_token_ns, table.last_token_ns
        counts = [output_tokens[i] for i in ids]
        pace_ns = [(last_ns[i] - first_ns[i]) / (count - 1) for i, count in zip(ids, counts, strict=True) if count > 1]
        mean_s = sum(pace_ns) * 1e-9 / len(pace_ns) if pace_ns else 0.0
        return len(ids), sum(counts), len(pace_ns), mean_s, sum([one <= limit_ns for one in pace_ns])

    def _role(self, role: str, length_s: float, wanted: int) -> RoleSample:
        book, reports, decode = self._book, self._reports[role], self._decode
        serving = [address for address in book.of_role(role, Phase.SERVING) if self._serves(address)]
        there = book.of_role(role, Phase.SERVING, *LEAVING)
        num_starting = len(book.of_role(role, Phase.BOOKED, Phase.STARTING, Phase.SERVING)) - len(serving)
        # Of one that is of both, both count the same.
        stages = [stage for stage in self._stages if book.by_role[role][0] in stage.index]
        at = [stages[0].index[address] for address in there]
        at_decode = [decode.index[address] for address in there if address in decode.index]
        capacity = sum(decode.instances[decode.index[one]].kv_capacity_tokens for one in serving if one in decode.index)
        num_requests = sum(stages[0].outstanding_requests[index] for index in at)
        num_tokens = sum(stages[0].outstanding_tokens[index] for index in at)
        num_prompts, prompt_tokens = self._prompts_at(set(at)) if len(stages) > 1 else (0, num_tokens)
        decodes, there_s = decode in stages, length_s * len(there)
        prompts = PromptWork() if stages[0] is decode else reports.prompt_work(prompt_tokens, there_s)
        outputs = reports.output_work(num_requests - num_prompts) if decodes else OutputWork()
        return RoleSample(
            len(serving),
            num_starting,
            len(book.of_role(role, *LEAVING)),
            wanted,
            self._waiting(stages[0]),
            num_requests,
            num_tokens,
            sum(self._kv_tokens[index] for index in at_decode),
            capacity,
            _share(reports.busy_ns, there_s),
            outputs.num_tokens if decodes else prompts.num_tokens,
            outputs.step_s if decodes else prompts.pass_s,
            reports.num_reports,
            prompts,
            outputs,
        )

    def _prompts_at(self, instances: Collection[int]) -> tuple[int, int]:
        """Requests that were sent to these instances of the prefill stage and whose prompt is not computed yet, and
        their uncached tokens."""
        table = self._table
        states, at_prefill = table.state, table.prefill_instance
        ids = [i for i in self._open.payloads if states[i] in BEFORE_FIRST_TOKEN and at_prefill[i] in instances]
        return len(ids), sum(table.prompt_tokens[i] + table.output_tokens[i] - table.cached_tokens[i] for i in ids)

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
