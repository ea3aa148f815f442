"""The decode instance: continuous batching over data-parallel dies that step in lockstep.

Main loop: `wake` closes the run of steps that ended, lets sequences leave, grow and join, and plans the next run.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
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
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS
from workers.decode.batch import Batch
from workers.decode.config import DecodeConfig
from workers.decode.memory import DecodeMemory
from workers.decode.meter import DecodeEnergy, DecodeMeter
from workers.decode.reservations import KvReservations
from workers.decode.sequences import NOBODY, Departures, Sequence
from workers.decode.step_cost import DecodeCost
from workers.decode.step_run import PS_PER_NS
from workers.fabric.expert_load import REFRESH_NS, ExpertLoad
from workers.oracle import output_tokens
from workers.power_budget import PowerBudget

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from workers.decode.step_governor import StepGovernor, StepThrottle


class DecodeInstance(TimingFlags):
    """A `Component`; the rules it follows are in docs/engine-rules.md, "Rules of the two engines".

    Its account begins at `began_ns`. `expert_load` and `throttle` are as with `PrefillInstance`.
    """

    priority = Priority.DECODE
    # Room that is there is kept as of when it was asked for.
    backdates_replies = True
    runs_ahead = True

    def __init__(
        self,
        address: str,
        config: DecodeConfig,
        cost: DecodeCost,
        energy: DecodeEnergy,
        reports_to: str = CORE_ADDRESS,
        *,
        began_ns: int = 0,
        expert_load: ExpertLoad[DecodeCost] | None = None,
        throttle: StepThrottle | None = None,
    ) -> None:
        self.address = address
        self.deadline_ns = NEVER_NS
        self._config = config
        self._cost = cost
        self._reports_to = reports_to
        self._expert_load = expert_load
        self._is_share_new = False
        self._batch = _make_batch(config)
        self.memory = DecodeMemory(config.num_dies, config.blocks_per_die, config.slots_per_die, config.extent_blocks)
        self._reservations = KvReservations(address, self.memory, reports_to)
        self._joining: list[tuple[int, int, bytes]] = []
        self._on_die: list[dict[int, Sequence]] = [{} for _ in range(config.num_dies)]
        # By step: who finishes at it, and who outgrows its blocks. Its keys are in the heap, each once.
        self._calendar: dict[int, list[Sequence]] = {}
        self._event_steps: list[int] = []
        # Sequences that still lack room for the next step: a reservation or an extent was cut to what the die had.
        self._tight: list[Sequence] = []
        self._num_joined = 0
        self._run = self._batch.run
        # Steps since the last report, and how many have been running since.
        self._reported_ns = began_ns
        self._reported_steps = 0
        self._reported_running = 0
        self._first_step_ps = 0
        self._meter = DecodeMeter(energy, began_ns)
        self._governor: StepGovernor | None = None
        if throttle is not None:
            budget = PowerBudget(address, config.budget_w, reports_to)
            from workers.decode.step_governor import DecodeGovernor

            self._governor = DecodeGovernor(throttle, budget, self._batch.expected, self._meter)
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            **self._reservations.handlers,
            ReportUsage: self._on_report_usage,
            StartDecode: self._on_start,
            SetPowerBudget: self._on_set_power_budget,
            RunEnded: self._on_run_ended,
            LinkShare: self._on_link_share,
            CancelRequests: self._on_cancel,
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command; whatever changes membership cuts the run of steps at its next boundary."""
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """One boundary between runs of steps."""
        run = self._run
        if run.num_steps:
            self._end_run()
            busy_until_ns = now_ns
        else:
            run.clock_ps = now_ns * PS_PER_NS
            busy_until_ns = self._meter.end_ns
        events = self._event_steps
        left = self._meet_events() if events and events[0] <= run.step else None
        started = self._join() if self._joining else []
        if self._tight:
            left = self._make_room(left or Departures())
        batch = self._batch
        kv_tokens = batch.kv_tokens
        outputs: list[Output] = []
        if left or started or now_ns - self._reported_ns >= self._config.report_interval_ns:
            report = self._report(now_ns, started, left or NOBODY, kv_tokens, busy_until_ns)
            outputs.append((self._reports_to, report))
            if left and self.memory.num_waiting:
                outputs += self._reservations.serve_waiting()
        has_changed = bool(left or started or self._is_share_new)
        if has_changed and batch.num_running:
            batch.use(self._cost.form(batch.num_running, kv_tokens))
            self._is_share_new = False
        if self._governor is not None:
            outputs += self._governor.take_on(now_ns, is_busy=True)
            self._governor.at_boundary(now_ns, run.step, has_changed=has_changed)
        self._plan()
        if self._expert_load is not None:
            outputs += self._tell_load(self._expert_load, now_ns)
        return outputs

    def _tell_load(self, expert_load: ExpertLoad[DecodeCost], now_ns: int) -> Outputs:
        run = self._run
        if not run.num_steps:
            return expert_load.tell(now_ns, now_ns, 0, 0)
        step_ns = max(1, run.first_ps // PS_PER_NS)
        # Steps go on beyond this run of them, and if they do not, that is told at once.
        until_ns = max(self.deadline_ns, now_ns + 2 * REFRESH_NS)
        return expert_load.tell(now_ns, until_ns, step_ns, self._batch.num_running)

    def _on_link_share(self, now_ns: int, message: LinkShare) -> Outputs:
        """Steps have another length from the next boundary on."""
        assert self._expert_load is not None
        self._cost = self._expert_load.cost(message.share_ppm)
        self._is_share_new = True
        self._cut_run(now_ns)
        return NOTHING

    def _on_start(self, now_ns: int, message: StartDecode) -> Outputs:
        self._joining.extend(zip(message.ids, message.produced_tokens, message.payloads))
        if self._run.num_steps:
            self._cut_run(now_ns)
        else:
            self.deadline_ns = now_ns
        return NOTHING

    def _on_cancel(self, now_ns: int, message: CancelRequests) -> Outputs:
        running = [on_die[i] for on_die in self._on_die for i in message.ids if i in on_die]
        if running:
            self._cut_run(now_ns)
        step = self._run.step + self._run.num_steps
        for sequence in running:
            if sequence.finish_step != step:
                sequence.finish_step = step
                self._at_step(step, sequence)
        return NOTHING

    def _on_set_power_budget(self, now_ns: int, message: SetPowerBudget) -> Outputs:
        governor = self._governor
        assert governor is not None, "only who keeps a budget is given one"
        governor.ask(message)
        if not self._run.num_steps:
            return governor.take_on(now_ns, is_busy=False)
        self._cut_run(now_ns)
        return NOTHING

    def _cut_run(self, target_ns: int) -> None:
        run = self._run
        if run.num_steps > 1:
            run.cut(target_ns)
            self.deadline_ns = run.end_ps // PS_PER_NS

    def _end_run(self) -> None:
        """Count the steps and tokens of the run that ended, and move the clock."""
        run, batch = self._run, self._batch
        steps = run.num_steps
        if not self._reported_steps:
            self._first_step_ps = run.first_ps
        self._reported_steps += steps
        self._meter.add(steps, batch.num_running * steps, batch.end_run())

    def _meet_events(self) -> Departures | None:
        """Let sequences leave that have finished, then give those room that are about to outgrow theirs; returns who
        left, if anybody did."""
        step, events = self._run.step, self._event_steps
        left = Departures()
        needy: list[Sequence] = []
        while events and events[0] <= step:
            for sequence in self._calendar.pop(heappop(events)):
                # The calendar may still name sequences that were preempted since.
                if not sequence.running:
                    continue
                if sequence.finish_step > step:
                    needy.append(sequence)
                    continue
                output, produced = sequence.output_tokens, self._leave(sequence)
                left.finished_ids.append(sequence.request_id)
                # Fewer than all that it was to produce where it was cancelled.
                left.finished_tokens.append(produced if produced < output else output)
        if needy:
            self._grow(needy, left)
        return left if left.finished_ids or left.preempted_ids else None

    def _make_room(self, left: Departures) -> Departures | None:
        """For those who need more than what they were given; returns who left at this boundary, if anybody did."""
        while self._tight:
            needy, self._tight = self._tight, []
            self._grow(needy, left)
        return left if left.finished_ids or left.preempted_ids else None

    def _leave(self, sequence: Sequence) -> int:
        """It runs no longer; returns the output tokens that it has."""
        die = sequence.die
        sequence.running = False
        self.memory.free(die, sequence.blocks)
        del self._on_die[die][sequence.request_id]
        return self._batch.remove(sequence)

    def _grow(self, needy: list[Sequence], left: Departures) -> None:
        """Give each sequence that outgrew its blocks more of them; note who is preempted for it and who is cut."""
        for sequence in sorted(needy, key=lambda s: s.join_order):
            while sequence.running:
                blocks = self.memory.grow(sequence.die)
                if blocks:
                    sequence.blocks += blocks
                    self._schedule_growth(sequence)
                    break
                victim = next(reversed(self._on_die[sequence.die].values()))
                produced = self._leave(victim)
                is_alone = self.memory.free_blocks[sequence.die] == self._config.blocks_per_die
                if victim is sequence and is_alone:
                    left.finished_ids.append(victim.request_id)
                    left.finished_tokens.append(produced)
                    left.cut_ids.append(victim.request_id)
                else:
                    left.preempted_ids.append(victim.request_id)
                    left.preempted_tokens.append(produced)

    def _schedule_growth(self, sequence: Sequence) -> None:
        """Note the first step after which the next step's tokens might not fit, unless it finishes before."""
        most_tokens = sequence.blocks * KV_BLOCK_TOKENS - self._batch.most_tokens
        step = self._batch.step_holding(sequence, most_tokens + 1)
        if step >= sequence.finish_step:
            return
        if step > self._run.step:
            self._at_step(step, sequence)
        else:
            self._tight.append(sequence)

    def _at_step(self, step: int, sequence: Sequence) -> None:
        entries = self._calendar.get(step)
        if entries is None:
            self._calendar[step] = [sequence]
            heappush(self._event_steps, step)
        else:
            entries.append(sequence)

    def _join(self) -> list[int]:
        """Let in those whose KV is in place."""
        batch, joined = self._batch, self._num_joined
        started: list[int] = []
        for request_id, produced, payload in self._joining:
            die, blocks, kv_tokens = self.memory.claim(request_id)
            output = output_tokens(payload)
            sequence = Sequence(request_id, die, joined, output, blocks)
            joined += 1
            batch.add(sequence, kv_tokens, produced)
            self._on_die[die][request_id] = sequence
            self._at_step(sequence.finish_step, sequence)
            if kv_tokens + output - produced + batch.most_tokens > blocks * KV_BLOCK_TOKENS:
                self._schedule_growth(sequence)
            started.append(request_id)
        self._num_joined = joined
        self._joining = []
        return started

    def _plan(self) -> None:
        """Plan the run of steps up to the next step at which a sequence finishes or grows."""
        if not self._batch.num_running:
            self.deadline_ns = NEVER_NS
            return
        run, config = self._run, self._config
        self._batch.plan(min(self._event_steps[0] - run.step, config.max_run_steps), self._governor)
        if config.report_interval_ns != NEVER_NS:
            run.cut(self._reported_ns + config.report_interval_ns)
        self.deadline_ns = run.end_ps // PS_PER_NS

    def _report(
        self, now_ns: int, started: list[int], left: Departures, kv_tokens: int, busy_until_ns: int
    ) -> DecodeStepped:
        """What happened since the last report."""
        run, batch, steps = self._run, self._batch, self._reported_steps
        tokens, more_tokens, running_tokens = batch.take_report()
        report = DecodeStepped(
            self.address,
            now_ns,
            now_ns - self._reported_ns if steps else 0,
            steps,
            self._first_step_ps // PS_PER_NS if steps else 0,
            run.last_ps // PS_PER_NS if steps else 0,
            self._reported_running if steps else 0,
            tokens,
            kv_tokens,
            started,
            left.finished_ids,
            left.finished_tokens,
            left.cut_ids,
            left.preempted_ids,
            left.preempted_tokens,
            self._meter.account(now_ns, busy_until_ns),
            more_tokens,
            running_tokens,
        )
        self._reported_ns = now_ns
        self._reported_steps = 0
        self._reported_running = batch.num_running
        return report

    def is_empty(self) -> bool:
        """Whether it has nothing to do and holds no KV."""
        return self.memory.is_empty()

    def _on_report_usage(self, now_ns: int, message: ReportUsage) -> Outputs:
        if self._run.num_steps:
            return NOTHING
        return [(self._reports_to, UsageReported(self.address, self._meter.account(now_ns, self._meter.end_ns)))]

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        # A run that was cut short may end inside a step: that step's share is counted as idle time.
        busy_until_ns, run = self._meter.end_ns, self._run
        if run.num_steps:
            # Where the boundary was due at the instant of the stop, all of it has run.
            whole_steps = run.num_steps if self.deadline_ns <= now_ns else run.steps_until(now_ns + 1) - 1
            if whole_steps:
                run.aim(whole_steps)
                self._end_run()
            busy_until_ns = max(busy_until_ns, run.clock_ps // PS_PER_NS)
        self.deadline_ns = NEVER_NS
        usage = self._meter.account(now_ns, busy_until_ns)
        return [(self._reports_to, UsageReported(self.address, usage))]


def _make_batch(config: DecodeConfig) -> Batch:
    if config.sampling is None:
        return Batch(config.num_dies, config.tokens_per_step_num, config.tokens_per_step_den)
    # Few runs sample what is accepted.
    from workers.decode.sampled_batch import SampledBatch

    return SampledBatch(config.num_dies, config.sampling)
