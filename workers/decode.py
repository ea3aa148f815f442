"""The decode instance: continuous batching over data-parallel dies that step in lockstep.

Main loop: `wake` closes the run of steps that ended, lets sequences leave, grow and join, and plans the next run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import (
    CancelRequests,
    DecodeStepped,
    LinkShare,
    Message,
    ReportUsage,
    RunEnded,
    SetPowerBudget,
    StartDecode,
    UsageReported,
)
from sim_hw.engine.kv_room import KV_BLOCK_TOKENS
from workers.decode_config import DecodeConfig
from workers.decode_desk import DecodeDesk
from workers.decode_memory import DecodeMemory
from workers.decode_meter import DecodeEnergy, DecodeMeter
from workers.exchange_load import REFRESH_NS, ExchangeLoad
from workers.growth import Growth
from workers.oracle import output_tokens
from workers.power_budget import PowerBudget
from workers.step_line import PS_PER_NS, DecodeCost, StepLines, StepSpan

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from workers.step_governor import StepGovernor, StepThrottle


@dataclass(slots=True)
class _Sequence:
    """A running sequence. It holds `base_tokens + G(step)` tokens of KV and has produced that less `prompt_tokens`."""

    request_id: Final[int]
    die: Final[int]
    join_order: Final[int]
    base_tokens: Final[int]
    base_produced: Final[int]
    output_tokens: Final[int]
    finish_step: Final[int]
    blocks: int
    running: bool = True


class DecodeInstance:
    """A `Component`; the rules it follows are in docs/architecture.md, "Rules of the two engines".

    Its account begins at `began_ns`. `exchange` is as with `PrefillInstance`.
    """

    priority = Priority.DECODE
    # Room that is there is kept as of when it was asked for.
    answers_late = True

    def __init__(
        self,
        address: str,
        config: DecodeConfig,
        cost: DecodeCost,
        energy: DecodeEnergy,
        reports_to: str = "core",
        *,
        began_ns: int = 0,
        exchange: ExchangeLoad[DecodeCost] | None = None,
        throttle: StepThrottle | None = None,
    ) -> None:
        self.address = address
        self.deadline_ns = NEVER_NS
        self._config = config
        self._cost = cost
        self._reports_to = reports_to
        self._exchange = exchange
        self._is_share_new = False
        self._growth = Growth(config.tokens_per_step_num, config.tokens_per_step_den)
        # A step may bring this many tokens, so this much room must be there before it begins.
        self._lookahead_tokens = -(-config.tokens_per_step_num // config.tokens_per_step_den)
        self.memory = DecodeMemory(config.num_dies, config.blocks_per_die, config.slots_per_die, config.extent_blocks)
        self._desk = DecodeDesk(address, self.memory, reports_to)
        self._lines = StepLines(config.num_dies, self._growth)
        self._joining: list[tuple[int, int, bytes]] = []
        self._on_die: list[dict[int, _Sequence]] = [{} for _ in range(config.num_dies)]
        self._finishing: dict[int, list[_Sequence]] = {}
        self._growing: dict[int, list[_Sequence]] = {}
        # Sequences that still lack room for the next step: a reservation or an extent was cut to what the die had.
        self._tight: list[_Sequence] = []
        self._event_steps: list[int] = []
        self._num_running = 0
        self._num_joined = 0
        self._base_tokens = 0
        self._step = 0
        self._clock_ps = 0
        self._span: StepSpan | None = None
        self._span_steps = 0
        self._span_grown = 0
        self._span_end_ps = 0
        self._open_run(began_ns)
        self._meter = DecodeMeter(energy, began_ns)
        self._governor: StepGovernor | None = None
        if throttle is not None:
            budget = PowerBudget(address, config.budget_w, reports_to)
            from workers.step_governor import StepGovernor

            self._governor = StepGovernor(throttle, budget, self._growth, self._meter)
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            **self._desk.handlers,
            ReportUsage: self._on_report_usage,
            StartDecode: self._on_start,
            SetPowerBudget: self._on_set_power_budget,
            RunEnded: self._on_run_ended,
            LinkShare: self._on_link_share,
            CancelRequests: self._on_cancel,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command."""
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """One boundary between runs of steps."""
        if self._span is None:
            self._clock_ps = now_ns * PS_PER_NS
            busy_until_ns = self._meter.end_ns
        else:
            self._advance()
            busy_until_ns = now_ns
        # The calendar may still name sequences that were preempted since.
        finished = [sequence for sequence in self._finishing.pop(self._step, ()) if sequence.running]
        for sequence in finished:
            self._leave(sequence)
        preempted: list[_Sequence] = []
        cut: list[_Sequence] = []
        needy = self._growing.pop(self._step, None)
        if needy:
            self._grow(needy, preempted, cut)
        started = self._join() if self._joining else []
        while self._tight:
            needy, self._tight = self._tight, []
            self._grow(needy, preempted, cut)
        kv_tokens = self._base_tokens + self._num_running * self._growth.at(self._step)
        is_due = now_ns - self._run_start_ns >= self._config.report_interval_ns
        outputs: list[tuple[str, Message]] = []
        if finished or preempted or started or cut or is_due:
            report = self._report(now_ns, started, finished, cut, preempted, kv_tokens, busy_until_ns)
            outputs.append((self._reports_to, report))
            self._open_run(now_ns)
        if finished or preempted or cut:
            outputs += self._desk.serve_waiting(now_ns)
        has_changed = bool(finished or preempted or started or cut or self._is_share_new)
        if self._num_running and has_changed:
            self._lines.use(self._cost.form(self._num_running, kv_tokens))
            self._is_share_new = False
        if self._governor is not None:
            outputs += self._governor.take_on(now_ns, is_busy=True)
            self._governor.at_boundary(now_ns, self._step, has_changed=has_changed)
        self._plan()
        if self._exchange is not None:
            outputs += self._tell_load(self._exchange, now_ns)
        return tuple(outputs)

    def _tell_load(self, exchange: ExchangeLoad[DecodeCost], now_ns: int) -> Outputs:
        span = self._span
        if span is None:
            return exchange.tell(now_ns, now_ns, 0, 0)
        step_ns = max(1, span.length_ps(self._growth, 1) // PS_PER_NS)
        # Steps go on beyond this run of them, and if they do not, that is told at once.
        until_ns = max(self.deadline_ns, now_ns + 2 * REFRESH_NS)
        return exchange.tell(now_ns, until_ns, step_ns, self._num_running)

    def _on_link_share(self, now_ns: int, message: LinkShare) -> Outputs:
        """Steps have another length from the next boundary on."""
        assert self._exchange is not None
        self._cost = self._exchange.cost(message.share_ppm)
        self._is_share_new = True
        self._cut_span(now_ns)
        return NOTHING

    def _on_start(self, now_ns: int, message: StartDecode) -> Outputs:
        self._joining.extend(zip(message.ids, message.produced_tokens, message.payloads, strict=True))
        if self._span is None:
            self.deadline_ns = now_ns
        else:
            self._cut_span(now_ns)
        return NOTHING

    def _on_cancel(self, now_ns: int, message: CancelRequests) -> Outputs:
        running = [on_die[i] for on_die in self._on_die for i in message.ids if i in on_die]
        if running:
            self._cut_span(now_ns)
        step = self._step + self._span_steps
        for sequence in running:
            if sequence not in self._finishing.get(step, ()):
                self._at_step(self._finishing, step, sequence)
        return NOTHING

    def _on_set_power_budget(self, now_ns: int, message: SetPowerBudget) -> Outputs:
        governor = self._governor
        assert governor is not None, "only who keeps a budget is given one"
        governor.ask(message)
        if self._span is None:
            return governor.take_on(now_ns, is_busy=False)
        self._cut_span(now_ns)
        return NOTHING

    def _cut_span(self, target_ns: int) -> None:
        """End the present run at the first boundary at or after `target_ns`, if that is sooner than planned."""
        span = self._span
        if span is None or self._span_steps == 1:
            return
        steps = span.steps_until(self._growth, target_ns * PS_PER_NS - self._clock_ps)
        if steps < self._span_steps:
            self._aim(span, steps)

    def _aim(self, span: StepSpan, steps: int) -> None:
        """Let the present run end after `steps` steps."""
        grown = span.grown(self._growth, steps)
        self._span_steps = steps
        self._span_grown = grown
        self._span_end_ps = self._clock_ps + span.offset_ps * steps + span.slope_ps * grown
        self.deadline_ns = self._span_end_ps // PS_PER_NS

    def _advance(self) -> None:
        """Close the present run: count its steps and tokens and move the clock."""
        span, steps, grown = self._span, self._span_steps, self._span_grown
        assert span is not None
        at = self._growth.at
        if self._run_steps == 0:
            self._run_first_ps = span.offset_ps + span.slope_ps * at(self._step)
            self._run_running = self._num_running
        self._run_steps += steps
        self._step += steps
        self._run_last_ps = span.offset_ps + span.slope_ps * at(self._step - 1)
        self._clock_ps = self._span_end_ps
        num_running = self._num_running
        self._meter.add(steps, num_running * steps, self._base_tokens * steps + num_running * grown)

    def _leave(self, sequence: _Sequence) -> None:
        sequence.running = False
        self._num_running -= 1
        self._base_tokens -= sequence.base_tokens
        self._lines.remove(sequence.die, sequence.base_tokens)
        self.memory.free(sequence.die, sequence.blocks)
        del self._on_die[sequence.die][sequence.request_id]

    def _grow(self, needy: list[_Sequence], preempted: list[_Sequence], cut: list[_Sequence]) -> None:
        """Give each sequence that outgrew its blocks more of them; note who is preempted for it and who is cut."""
        for sequence in sorted(needy, key=lambda s: s.join_order):
            while sequence.running:
                blocks = self.memory.grow(sequence.die)
                if blocks:
                    sequence.blocks += blocks
                    self._schedule_growth(sequence)
                    break
                victim = next(reversed(self._on_die[sequence.die].values()))
                self._leave(victim)
                is_alone = self.memory.free_blocks[sequence.die] == self._config.blocks_per_die
                (cut if victim is sequence and is_alone else preempted).append(victim)

    def _schedule_growth(self, sequence: _Sequence) -> None:
        """Note the first step after which the next step's tokens might not fit, unless it finishes before."""
        room = sequence.blocks * KV_BLOCK_TOKENS - self._lookahead_tokens - sequence.base_tokens
        step = self._growth.first_step_reaching(room + 1)
        if step >= sequence.finish_step:
            return
        if step > self._step:
            self._at_step(self._growing, step, sequence)
        else:
            self._tight.append(sequence)

    def _at_step(self, calendar: dict[int, list[_Sequence]], step: int, sequence: _Sequence) -> None:
        entries = calendar.get(step)
        if entries is None:
            calendar[step] = [sequence]
            heappush(self._event_steps, step)
        else:
            entries.append(sequence)

    def _join(self) -> list[int]:
        """Let in those whose KV is in place."""
        grown = self._growth.at(self._step)
        started: list[int] = []
        for request_id, produced, payload in self._joining:
            die, blocks, kv_tokens = self.memory.claim(request_id)
            total = output_tokens(payload)
            finish_step = self._growth.first_step_reaching(grown + total - produced)
            sequence = _Sequence(
                request_id, die, self._num_joined, kv_tokens - grown, produced - grown, total, finish_step, blocks
            )
            self._num_joined += 1
            self._num_running += 1
            self._base_tokens += sequence.base_tokens
            self._lines.add(die, sequence.base_tokens)
            self._on_die[die][request_id] = sequence
            self._at_step(self._finishing, finish_step, sequence)
            if kv_tokens + total - produced + self._lookahead_tokens > blocks * KV_BLOCK_TOKENS:
                self._schedule_growth(sequence)
            started.append(request_id)
        self._joining.clear()
        return started

    def _plan(self) -> None:
        """Plan the run of steps up to the next step at which a sequence finishes or grows."""
        if not self._num_running:
            self._span = None
            self.deadline_ns = NEVER_NS
            return
        events = self._event_steps
        while events[0] <= self._step or not (events[0] in self._finishing or events[0] in self._growing):
            heappop(events)
        num_steps = events[0] - self._step if self._config.skip_steps else 1
        if self._governor is not None:
            num_steps = min(num_steps, self._governor.steps_ahead(self._step))
        span = self._lines.span(self._step, num_steps)
        if self._governor is not None:
            span = self._governor.slowed(span, self._num_running, self._base_tokens)
        self._span = span
        self._aim(span, span.num_steps)
        if self._config.report_interval_ns != NEVER_NS:
            self._cut_span(self._run_start_ns + self._config.report_interval_ns)

    def _open_run(self, now_ns: int) -> None:
        self._run_start_ns = now_ns
        self._run_steps = 0
        self._run_first_ps = 0
        self._run_last_ps = 0
        self._run_running = 0

    def _report(
        self,
        now_ns: int,
        started: list[int],
        finished: list[_Sequence],
        cut: list[_Sequence],
        preempted: list[_Sequence],
        kv_tokens: int,
        busy_until_ns: int,
    ) -> DecodeStepped:
        grown = self._growth.at(self._step)
        before = self._growth.at(self._step - self._run_steps)
        # Fewer than all that it was to produce where it was cancelled.
        finished_tokens = [min(one.output_tokens, one.base_produced + grown) for one in finished]
        finished_tokens += [sequence.base_produced + grown for sequence in cut]
        return DecodeStepped(
            self.address,
            now_ns,
            now_ns - self._run_start_ns if self._run_steps else 0,
            self._run_steps,
            self._run_first_ps // PS_PER_NS,
            self._run_last_ps // PS_PER_NS,
            self._run_running,
            grown - before,
            kv_tokens,
            started,
            [sequence.request_id for sequence in finished + cut],
            finished_tokens,
            [sequence.request_id for sequence in cut],
            [sequence.request_id for sequence in preempted],
            [sequence.base_produced + grown for sequence in preempted],
            self._meter.account(now_ns, busy_until_ns),
        )

    def _on_report_usage(self, now_ns: int, message: ReportUsage) -> Outputs:
        if self._span is not None:
            return NOTHING
        return ((self._reports_to, UsageReported(self.address, self._meter.account(now_ns, self._meter.end_ns))),)

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        # A run that was cut short may end inside a step: that step's share is counted as idle time.
        busy_until_ns = self._meter.end_ns
        span = self._span
        if span is not None:
            if self.deadline_ns <= now_ns:  # the boundary was due at the instant of the stop
                whole_steps = self._span_steps
            else:
                whole_steps = span.steps_until(self._growth, (now_ns + 1) * PS_PER_NS - self._clock_ps) - 1
            if whole_steps:
                self._aim(span, whole_steps)
                self._advance()
            busy_until_ns = max(busy_until_ns, self._clock_ps // PS_PER_NS)
        self.deadline_ns = NEVER_NS
        usage = self._meter.account(now_ns, busy_until_ns)
        return ((self._reports_to, UsageReported(self.address, usage)),)
