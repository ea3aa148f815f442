"""The aggregated instance: continuous batching of sequences and chunks of prompts over dies in lockstep.

Main loop: `wake` ends the step or the run of steps that ran, lets sequences leave, grow and join, takes chunks of
prompts into the step that begins, and reports.

Why it is a decode instance with a queue of prompts. Sequences, their room, their growth and preemption, and runs of
steps between two changes are what they are at a decode instance, down to the nanosecond, and it may be the end of KV
transfers from prefill instances like one. What comes to it are prompts that stay: they take room in the same memory
when their first chunk begins, as a reservation does, and run as sequences when their last chunk has ended. Nothing is
asked for and nothing moves.

Why a step with prompts is a step of its own. Its length follows from totals that differ from step to step, and with it
the time between two tokens of everybody who decodes: such a step is reported by itself. Between them nothing is
computed but tokens of sequences, and those steps are summed up in runs as ever.

Why sequences come first. A token budget bounds the rows of a step, so that its length is bounded: whoever decodes takes
a part of it in each step, and prompts what is left, in order of arrival, the last one cut where the step is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.messages import (
    CancelRequests,
    ExtendCached,
    Message,
    PrefillStepped,
    RequestsCancelled,
    RunEnded,
    StartPrefill,
    StoreAnswers,
    Usage,
)
from workers.aggregated.config import AggregatedConfig
from workers.aggregated.prompt_work import PromptWork
from workers.aggregated.step_cost import AggregatedCost, AggregatedEnergy
from workers.cache.store import BlockStore
from workers.decode.instance import DecodeInstance
from workers.decode.sequences import NOBODY, Departures
from workers.decode.step_run import PS_PER_NS
from workers.power_budget import PowerBudget
from workers.prefill.one_pass import NO_PASS, Pass
from workers.prefill.prompt_queue import PromptQueue

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from workers.aggregated.mixed_governor import MixedGovernor, MixedStepThrottle


class AggregatedInstance(DecodeInstance):
    """A `Component`; the rules it follows are in docs/engine-rules.md, "Rules of the aggregated engine"."""

    def __init__(
        self,
        address: str,
        config: AggregatedConfig,
        cost: AggregatedCost,
        energy: AggregatedEnergy,
        cache: BlockStore | None = None,
        reports_to: str = CORE_ADDRESS,
        *,
        began_ns: int = 0,
        throttle: MixedStepThrottle | None = None,
    ) -> None:
        work = PromptWork(energy)
        super().__init__(address, config.decode, cost, work, reports_to, began_ns=began_ns)
        self.cache = cache
        self._token_budget = config.token_budget
        self._rows_per_sequence = config.rows_per_sequence
        self._names_next = config.names_next
        self._mixed_cost = cost
        self._work = work
        self._mixed_governor: MixedGovernor | None = None
        if throttle is not None:
            budget = PowerBudget(address, config.decode.budget_w, reports_to)
            from workers.aggregated.mixed_governor import MixedGovernor

            self._governor = self._mixed_governor = MixedGovernor(
                throttle, budget, self._batch.expected, self._meter, work
            )
        self._prompts = PromptQueue(cache)
        self._chunks = NO_PASS
        # Output tokens before this computation, and payload, of those whose last chunk has not ended.
        self._coming: dict[int, tuple[int, bytes]] = {}
        # Whatever comes may have made room for a prompt that waits for some.
        may_make_room = {kind: self._with_prompts(handler) for kind, handler in self._reservations.handlers.items()}
        self._handlers.update(
            {
                **may_make_room,
                StartPrefill: self._on_start_prefill,
                ExtendCached: self._on_extend,
                StoreAnswers: self._on_store_answers,
            }
        )
        if cache is not None:
            self._handlers.update(cache.handlers)

    def is_empty(self) -> bool:
        """Whether it has nothing to do and holds no KV."""
        return not self._prompts and self.memory.is_empty()

    def wake(self, now_ns: int) -> Outputs:
        """One boundary between steps."""
        run, ended = self._run, self._chunks
        if run.num_steps:
            self._end_run()
            busy_until_ns = now_ns
        else:
            run.clock_ps = now_ns * PS_PER_NS
            busy_until_ns = self._meter.end_ns
        if ended.last_chunk_ids:
            self._take_in(ended, now_ns)
        events = self._event_steps
        left = self._meet_events() if events and events[0] <= run.step else None
        started = self._join() if self._joining else []
        if self._tight:
            left = self._make_room(left or Departures())
        batch = self._batch
        kv_tokens = batch.kv_tokens
        has_room = bool(left or ended.stopping_ids) and self.memory.num_waiting
        granted = self._reservations.serve_waiting() if has_room else NOTHING
        begun = self._chunks = self._fill(now_ns) if self._prompts else NO_PASS
        outputs: list[Output] = []
        is_due = now_ns - self._reported_ns >= self._config.report_interval_ns
        says_steps = bool(left or started or (self._reported_steps and (ended.tokens or begun.tokens or is_due)))
        if ended.tokens or begun.tokens:
            usage = self._meter.account(now_ns, busy_until_ns) if ended.tokens or not says_steps else None
            outputs.append((self._reports_to, self._report_chunks(now_ns, ended, usage)))
            busy_until_ns = busy_until_ns if usage is None else now_ns
        if says_steps:
            outputs.append((self._reports_to, self._report(now_ns, started, left or NOBODY, kv_tokens, busy_until_ns)))
        if (left or started) and batch.num_running:
            batch.use(self._cost.form(batch.num_running, kv_tokens))
        if self._governor is not None:
            outputs += self._governor.take_on(now_ns, is_busy=True)
            self._governor.at_boundary(now_ns, run.step, has_changed=bool(left or started))
        self._plan()
        return [*outputs, *granted]

    def _take_in(self, ended: Pass, now_ns: int) -> None:
        """The last chunks of these have ended: they are sequences from now on, after those whose KV has come, unless
        their output ends with the first token."""
        self._prompts.store(ended.last_chunk_ids, now_ns)
        for request_id in ended.last_chunk_ids:
            resumed, payload = self._coming.pop(request_id)
            if request_id in ended.stopping_ids:
                self.memory.cancel(request_id)
            else:
                self._joining.append((request_id, resumed + 1, payload))

    def _fill(self, now_ns: int) -> Pass:
        """Take chunks of prompts into the step that begins, as far as sequences leave room in it."""
        return self._prompts.fill(now_ns, self._budget_left(), self._enter)

    def _budget_left(self) -> int:
        return self._token_budget - self._rows_per_sequence * self._batch.num_running

    def _enter(self, request_id: int, tokens: int) -> bool:
        """Room for the KV of a prompt and of the token that it yields, and to grow, as a reservation has it."""
        return self.memory.place(request_id, tokens + 1)

    def _plan(self) -> None:
        """One step if it computes anything of prompts, else a run of them."""
        chunks, run, batch = self._chunks, self._run, self._batch
        if not chunks.tokens:
            super()._plan()
            return
        prefill_ns = self._mixed_cost.prefill_ns(chunks.tokens, chunks.pairs, chunks.cached_tokens)
        prefill_ps = length_ps = prefill_ns * PS_PER_NS
        decode_ps, num_running = 0, batch.num_running
        if num_running:
            decode_ps = batch.next_step_ps()
            length_ps = self._mixed_cost.mixed_ps(decode_ps, prefill_ns, num_running, chunks.tokens)
        if self._mixed_governor is not None:
            work = chunks.tokens, chunks.pairs, num_running, batch.kv_tokens
            length_ps = self._mixed_governor.slowed_mixed_ps(length_ps, prefill_ps, decode_ps, *work)
        batch.begin_step(length_ps)
        self.deadline_ns = run.end_ps // PS_PER_NS

    def _end_run(self) -> None:
        """Count what ran; a step over prompts alone is none of any sequence."""
        chunks, is_mixed = self._chunks, self._batch.num_running > 0
        if is_mixed:
            super()._end_run()
        else:
            self._batch.end_run()
            self._batch.take_report()
        if chunks.tokens:
            self._work.add(chunks.tokens, chunks.pairs, is_mixed=is_mixed)

    def _report_chunks(self, now_ns: int, ended: Pass, usage: Usage | None) -> PrefillStepped:
        """What became of prompts at this boundary; without `usage` the report of the steps accounts for the time."""
        begun, end_ns = self._chunks, self._meter.end_ns
        return PrefillStepped(
            self.address,
            now_ns,
            begun.started_ids,
            begun.started_cached,
            begun.last_chunk_ids,
            ended.last_chunk_ids,
            ended.stopping_ids,
            ended.tokens,
            usage or Usage(end_ns, end_ns, 0, 0.0),
            self._prompts.name_next(self._budget_left()) if self._names_next and begun.tokens else [],
        )

    def _on_start_prefill(self, now_ns: int, message: StartPrefill) -> Outputs:
        self._prompts.add(message)
        self._coming.update(zip(message.ids, zip(message.resumed_tokens, message.payloads, strict=True), strict=True))
        self._come_to_a_boundary(now_ns)
        return NOTHING

    def _on_extend(self, now_ns: int, message: ExtendCached) -> Outputs:
        self._prompts.extend(message)
        return NOTHING

    def _on_store_answers(self, now_ns: int, message: StoreAnswers) -> Outputs:
        assert self.cache is not None
        self.cache.insert_all(message, now_ns)
        return NOTHING

    def _on_cancel(self, now_ns: int, message: CancelRequests) -> Outputs:
        """Prompts that have not begun are dropped, sequences leave at the next boundary; who is computed goes on."""
        dropped = self._prompts.drop(message.ids)
        for request_id in dropped:
            del self._coming[request_id]
        if dropped and self._prompts:  # one that needs less memory may be the first now
            self._come_to_a_boundary(now_ns)
        super()._on_cancel(now_ns, message)
        return [(self._reports_to, RequestsCancelled(self.address, dropped))] if dropped else NOTHING

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        of_cache = () if self.cache is None else self.cache.policy_report(self.address)
        reports = super()._on_run_ended(now_ns, message)
        return [*reports, *((self._reports_to, report) for report in of_cache)]

    def _with_prompts(self, handler: Callable[[int, Any], Outputs]) -> Callable[[int, Any], Outputs]:
        """A message about room, after which the first prompt may find some."""

        def handle(now_ns: int, message: Message) -> Outputs:
            outputs = handler(now_ns, message)
            if self._prompts:
                self._come_to_a_boundary(now_ns)
            return outputs

        return handle

    def _come_to_a_boundary(self, now_ns: int) -> None:
        """At the next end of a step, or at once if none runs."""
        if self._run.num_steps:
            self._cut_run(now_ns)
        else:
            self.deadline_ns = now_ns
