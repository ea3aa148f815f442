"""The prefill instance: token-budget passes over all its dies, long prompts in chunks.

Main loop: `wake` ends the pass that ran, fills the next from the queue, and reports both in one message.

Why passes with a token budget. All dies of the instance work on one pass at a time, whose length follows from three
integer totals: tokens computed, (query, key) pairs attended to, and cached tokens whose latents are expanded. Many
short prompts together use the matrix units as well as one long prompt does, so a pass takes prompts until its budget
of computed tokens is full. A prompt that does not fit is cut there, and its next chunk is the first thing of the next
pass: no prompt delays those behind it by more than its own work, and since only the last prompt of a pass can be cut,
one number (of `PromptQueue`) says how far the one at the head of the queue has come. A chunk that begins behind
`position` tokens of its prompt attends to `take * position` pairs there and `take * (take + 1) / 2` within itself
(causal).

Why KV is taken whole. A prompt enters its first pass only if the KV of all of it fits, and keeps it until the core says
`ReleaseKv`: decode still has to read it. Prompts that hold a part each, and wait for the rest of each other, cannot
come about. Nobody overtakes the first that does not fit, or long prompts would wait as long as short ones come.

Why a pass begins in `wake`. A message only sets the deadline to now; the runtime delivers all messages of an instant
before it wakes anybody. So everything that arrives at an instant takes part in the pass, in whatever order it came.

Why one report for the end of one pass and the start of the next. What a pass does is settled when it begins, so the
report already names the prompts whose last chunk is in it (`last_chunk_ids`): the core reserves decode KV and lets
layers flow while they are still being computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import (
    CancelRequests,
    ExtendCached,
    LinkShare,
    Message,
    PrefillStepped,
    ReleaseKv,
    ReportUsage,
    RequestsCancelled,
    RunEnded,
    SetPowerBudget,
    StartPrefill,
    StoreAnswers,
    Usage,
    UsageReported,
)
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS
from workers.cache.store import BlockStore
from workers.fabric.expert_load import ExpertLoad
from workers.power_budget import PowerBudget
from workers.prefill.config import PrefillConfig
from workers.prefill.one_pass import NO_PASS, Pass
from workers.prefill.prompt_queue import PromptQueue
from workers.prefill.step_cost import PassThrottle, PrefillCost, PrefillEnergy

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from sim_hw.instance.throttle import ThrottledPass


class PrefillInstance(TimingFlags):
    """A `Component`; the rules it follows are in docs/engine-rules.md, "Rules of the two engines".

    Its account begins at `began_ns`. `expert_load` tells the fabric what the expert all-to-all between its dies takes
    of their links, and the fabric says what share of them it has; `throttle` keeps passes within a power budget.
    """

    priority = Priority.PREFILL
    runs_ahead = True

    def __init__(
        self,
        address: str,
        config: PrefillConfig,
        cost: PrefillCost,
        energy: PrefillEnergy,
        cache: BlockStore | None = None,
        reports_to: str = CORE_ADDRESS,
        *,
        began_ns: int = 0,
        expert_load: ExpertLoad[PrefillCost] | None = None,
        throttle: PassThrottle | None = None,
    ) -> None:
        self.address = address
        self.deadline_ns = NEVER_NS
        self.free_blocks = config.kv_blocks
        self.cache = cache
        self._config = config
        self._cost = cost
        self._energy = energy
        self._reports_to = reports_to
        self._expert_load = expert_load
        self._prompts = PromptQueue(cache)
        self._blocks_held: dict[int, int] = {}
        self._pass = NO_PASS
        self._account_end_ns = began_ns
        self._throttle = throttle
        self._budget = PowerBudget(address, config.budget_w, reports_to)
        self._throttled: ThrottledPass | None = None
        self._handlers: dict[type, Callable[[int, Any], Outputs]] = {
            StartPrefill: self._on_start,
            ReleaseKv: self._on_release,
            ReportUsage: self._on_report_usage,
            SetPowerBudget: self._on_set_power_budget,
            RunEnded: self._on_run_ended,
            LinkShare: self._on_link_share,
            CancelRequests: self._on_cancel,
            ExtendCached: self._on_extend,
            StoreAnswers: self._on_store_answers,
        }
        if cache is not None:
            self._handlers.update(cache.handlers)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command; a pass that runs is not changed by it, except in its length by `LinkShare`."""
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """One boundary between passes: end the one that ran, begin the next, report both."""
        ended, ran = self._pass, self._throttled
        for request_id in ended.stopping_ids:
            self.free_blocks += self._blocks_held.pop(request_id)
        if self.cache is not None:
            self._prompts.store(ended.last_chunk_ids, now_ns)
        confirmed = self._budget.take_on()
        begun = self._pass = self._fill_pass(now_ns) if self._prompts else NO_PASS
        if begun.tokens:
            self.deadline_ns = now_ns + self._pass_ns(begun)
        else:
            self.deadline_ns = NEVER_NS
            if not ended.tokens:
                return NOTHING
        report = PrefillStepped(
            self.address,
            now_ns,
            begun.started_ids,
            begun.started_cached,
            begun.last_chunk_ids,
            ended.last_chunk_ids,
            ended.stopping_ids,
            ended.tokens,
            self._account(now_ns, ended, ran, is_busy=ended.tokens > 0),
            self._name_next() if self._config.names_next and begun.tokens else [],
        )
        outputs: list[Output] = [(self._reports_to, report), *confirmed]
        if self._expert_load is not None and begun.tokens:
            outputs += self._tell_load(self._expert_load, now_ns, self.deadline_ns - now_ns)
        return outputs

    def _tell_load(self, expert_load: ExpertLoad[PrefillCost], now_ns: int, pass_ns: int) -> Outputs:
        return expert_load.tell(now_ns, self.deadline_ns, pass_ns, self._pass.tokens, self._pass.cached_tokens)

    def _on_link_share(self, now_ns: int, message: LinkShare) -> Outputs:
        """What is left of the pass that runs takes the same part of the new length as it would have of the old."""
        expert_load = self._expert_load
        assert expert_load is not None
        before, self._cost = self._cost, expert_load.cost(message.share_ppm)
        if not self._pass.tokens:
            return NOTHING
        totals = self._pass.tokens, self._pass.pairs, self._pass.cached_tokens
        before_ns, pass_ns = before.prefill_ns(*totals), self._cost.prefill_ns(*totals)
        left_ns = self.deadline_ns - now_ns
        if self._throttle is not None and self._throttled is not None:
            was, becomes = (self._slowed(self._throttle, full_ns) for full_ns in (before_ns, pass_ns))
            self._throttled = self._throttled.with_rest(left_ns, was, becomes)
            before_ns, pass_ns = was.length_ns, becomes.length_ns
        self.deadline_ns = now_ns - (-left_ns * pass_ns // before_ns)
        return self._tell_load(expert_load, now_ns, pass_ns)

    def _on_start(self, now_ns: int, message: StartPrefill) -> Outputs:
        self._prompts.add(message)
        self._begin_if_idle(now_ns)
        return NOTHING

    def _on_release(self, now_ns: int, message: ReleaseKv) -> Outputs:
        for request_id in message.ids:
            self.free_blocks += self._blocks_held.pop(request_id)
        if self._prompts:
            self._begin_if_idle(now_ns)
        return NOTHING

    def _on_cancel(self, now_ns: int, message: CancelRequests) -> Outputs:
        """Who has begun goes on: what a pass computes of it is no more than the pass."""
        dropped = self._prompts.drop(message.ids)
        if not dropped:
            return NOTHING
        if self._prompts:  # one that needs less memory may be the first now
            self._begin_if_idle(now_ns)
        return [(self._reports_to, RequestsCancelled(self.address, dropped))]

    def _on_extend(self, now_ns: int, message: ExtendCached) -> Outputs:
        self._prompts.extend(message)
        return NOTHING

    def _on_store_answers(self, now_ns: int, message: StoreAnswers) -> Outputs:
        assert self.cache is not None
        self.cache.insert_all(message, now_ns)
        return NOTHING

    def _name_next(self) -> list[int]:
        """Those whose first chunk fits in the pass after the one that begins, as far as they were not named before."""
        return self._prompts.name_next(self._config.token_budget)

    def _on_set_power_budget(self, now_ns: int, message: SetPowerBudget) -> Outputs:
        self._budget.ask(message)
        return NOTHING if self._pass.tokens else self._budget.take_on()

    def _begin_if_idle(self, now_ns: int) -> None:
        # The wake comes after everything of this instant was delivered, so that all of it takes part in the pass.
        if not self._pass.tokens:
            self.deadline_ns = now_ns

    def _fill_pass(self, now_ns: int) -> Pass:
        """Take prompts in order of arrival up to the token budget."""
        return self._prompts.fill(now_ns, self._config.token_budget, self._enter)

    def _enter(self, request_id: int, tokens: int) -> bool:
        blocks = -(-tokens // KV_BLOCK_TOKENS)
        if blocks > self.free_blocks:
            return False
        self.free_blocks -= blocks
        self._blocks_held[request_id] = blocks
        return True

    def _pass_ns(self, begun: Pass) -> int:
        full_ns = self._cost.prefill_ns(begun.tokens, begun.pairs, begun.cached_tokens)
        if self._throttle is None:
            return full_ns
        self._throttled = self._slowed(self._throttle, full_ns)
        return self._throttled.length_ns

    def _slowed(self, throttle: PassThrottle, full_ns: int) -> ThrottledPass:
        return throttle.run(self._budget.watts, full_ns, self._pass.tokens, self._pass.pairs)

    def _account(self, now_ns: int, done: Pass, throttled: ThrottledPass | None, *, is_busy: bool) -> Usage:
        """Usage since the last account."""
        start_ns = self._account_end_ns
        self._account_end_ns = now_ns
        busy_ns = now_ns - start_ns if is_busy else 0
        if throttled is not None and is_busy:
            # What is cut short draws until then what it draws on average.
            return Usage(start_ns, now_ns, busy_ns, throttled.joules * busy_ns / throttled.length_ns)
        joules = self._energy.joules(
            busy_ns=busy_ns,
            passes=1 if done.tokens else 0,
            computed_tokens=done.tokens,
            attention_pairs=done.pairs,
            idle_ns=now_ns - start_ns - busy_ns,
        )
        return Usage(start_ns, now_ns, busy_ns, joules)

    def is_empty(self) -> bool:
        """Whether it has nothing to do and holds no KV."""
        return not (self._prompts or self._blocks_held)

    def _on_report_usage(self, now_ns: int, message: ReportUsage) -> Outputs:
        if self._pass.tokens:
            return NOTHING
        return self._report(self._account(now_ns, NO_PASS, None, is_busy=False))

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        # A pass that was cut short is counted as busy time without the work that it had not finished.
        return self._report(self._account(now_ns, NO_PASS, self._throttled, is_busy=self._pass.tokens > 0))

    def _report(self, usage: Usage) -> Outputs:
        of_cache = () if self.cache is None else self.cache.policy_report(self.address)
        return [(self._reports_to, report) for report in (UsageReported(self.address, usage), *of_cache)]
