"""The prefill instance: token-budget passes over all its dies, long prompts in chunks.

Main loop: `wake` ends the pass that ran, fills the next from the queue, and reports both in one message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import (
    CancelRequests,
    LinkShare,
    Message,
    PrefillStepped,
    ReleaseKv,
    ReportUsage,
    RequestsCancelled,
    RunEnded,
    SetPowerBudget,
    StartPrefill,
    Usage,
    UsageReported,
)
from sim_hw.engine.kv_room import KV_BLOCK_TOKENS
from workers.cache.store import BlockStore
from workers.exchange_load import ExchangeLoad
from workers.oracle import output_tokens
from workers.power_budget import PowerBudget

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from sim_hw.engine.throttle import ThrottledPass


class PrefillCost(Protocol):
    """Length of one pass of a whole instance."""

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        """Nanoseconds for tokens computed, (query, key) pairs attended to, and cached tokens expanded."""
        ...


class PrefillEnergy(Protocol):
    """Joules of a whole instance from integer totals."""

    def joules(self, *, busy_ns: int, passes: int, computed_tokens: int, attention_pairs: int, idle_ns: int) -> float:
        """Energy of busy and idle time in which that much was computed."""
        ...


class PassThrottle(Protocol):
    """How a pass is slowed to keep a budget."""

    def run(self, budget_w: float, full_ns: int, tokens: int, pairs: int) -> ThrottledPass:
        """Time and energy of a pass that lasts `full_ns` at the full clock."""
        ...


@dataclass(frozen=True, slots=True)
class PrefillConfig:
    """`token_budget` bounds the computed tokens of one pass of the whole instance, `kv_blocks` its KV memory.

    `budget_w` is the power budget that it begins with, if it keeps one.
    """

    token_budget: int
    kv_blocks: int
    budget_w: int = 0


@dataclass(slots=True)
class _Prompt:
    """A prompt being computed; `position` tokens of its KV exist."""

    request_id: Final[int]
    total_tokens: Final[int]
    cached_tokens: int
    resumed_tokens: Final[int]
    output_left: Final[int]
    blocks: Final[int]
    position: int = 0


class PrefillInstance:
    """A `Component`; the rules it follows are in docs/architecture.md, "Rules of the two engines".

    Its account begins at `began_ns`. With `exchange` the fabric hears what the exchange between its dies takes of
    their lines, and says what share of them it has.
    """

    priority = Priority.PREFILL

    def __init__(
        self,
        address: str,
        config: PrefillConfig,
        cost: PrefillCost,
        energy: PrefillEnergy,
        cache: BlockStore | None = None,
        reports_to: str = "core",
        *,
        began_ns: int = 0,
        exchange: ExchangeLoad[PrefillCost] | None = None,
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
        self._exchange = exchange
        self._queue: deque[_Prompt] = deque()
        self._blocks_held: dict[int, int] = {}
        # Prefix blocks of queued prompts, kept only for an instance with a cache of its own.
        self._prefixes: dict[int, tuple[list[int], int]] = {}
        self._is_running = False
        self._closing: list[_Prompt] = []
        self._pass_tokens = 0
        self._pass_pairs = 0
        self._pass_cached = 0
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
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one command."""
        return self._handlers[type(message)](now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """One boundary between passes."""
        done, was_running = self._closing, self._is_running
        usage_tokens, usage_pairs = self._pass_tokens, self._pass_pairs
        stopped: list[int] = []
        for prompt in done:
            if prompt.output_left == 1:
                stopped.append(prompt.request_id)
                self.free_blocks += self._blocks_held.pop(prompt.request_id)
        if self.cache is not None:
            self._store(self.cache, done, now_ns)
        ran, confirmed = self._throttled, self._budget.take_on(now_ns)
        started = self._fill_pass(now_ns)
        if not was_running and not self._is_running:
            return NOTHING
        report = PrefillStepped(
            self.address,
            now_ns,
            [prompt.request_id for prompt in started],
            [] if self.cache is None else [prompt.cached_tokens for prompt in started],
            [prompt.request_id for prompt in self._closing],
            [prompt.request_id for prompt in done],
            stopped,
            usage_tokens,
            self._account(now_ns, usage_tokens, usage_pairs, is_busy=was_running, throttled=ran),
        )
        outputs: Outputs = ((self._reports_to, report),)
        if confirmed is not None:
            outputs += (confirmed,)
        if self._exchange is not None and self._is_running:
            outputs += self._tell_load(self._exchange, now_ns, self.deadline_ns - now_ns)
        return outputs

    def _tell_load(self, exchange: ExchangeLoad[PrefillCost], now_ns: int, pass_ns: int) -> Outputs:
        return exchange.tell(now_ns, self.deadline_ns, pass_ns, self._pass_tokens, self._pass_cached)

    def _on_link_share(self, now_ns: int, message: LinkShare) -> Outputs:
        """What is left of the pass that runs takes the same part of the new length as it would have of the old."""
        exchange = self._exchange
        assert exchange is not None
        before, self._cost = self._cost, exchange.cost(message.share_ppm)
        if not self._is_running:
            return NOTHING
        totals = self._pass_tokens, self._pass_pairs, self._pass_cached
        before_ns, pass_ns = before.prefill_ns(*totals), self._cost.prefill_ns(*totals)
        left_ns = self.deadline_ns - now_ns
        if self._throttle is not None and self._throttled is not None:
            was, becomes = (self._slowed(self._throttle, full_ns) for full_ns in (before_ns, pass_ns))
            self._throttled = self._throttled.with_rest(left_ns, was, becomes)
            before_ns, pass_ns = was.length_ns, becomes.length_ns
        self.deadline_ns = now_ns - (-left_ns * pass_ns // before_ns)
        return self._tell_load(exchange, now_ns, pass_ns)

    def _on_start(self, now_ns: int, message: StartPrefill) -> Outputs:
        for request_id, prompt_tokens, cached, resumed, payload in zip(
            message.ids,
            message.prompt_tokens,
            message.cached_tokens,
            message.resumed_tokens,
            message.payloads,
            strict=True,
        ):
            total = prompt_tokens + resumed
            blocks = -(-total // KV_BLOCK_TOKENS)
            left = output_tokens(payload) - resumed
            self._queue.append(_Prompt(request_id, total, cached, resumed, left, blocks))
        if self.cache is not None:
            prefixes = zip(message.prefixes, message.namespaces, strict=True)
            self._prefixes.update(zip(message.ids, prefixes, strict=True))
        self._begin_if_idle(now_ns)
        return NOTHING

    def _on_release(self, now_ns: int, message: ReleaseKv) -> Outputs:
        for request_id in message.ids:
            self.free_blocks += self._blocks_held.pop(request_id)
        if self._queue:
            self._begin_if_idle(now_ns)
        return NOTHING

    def _on_cancel(self, now_ns: int, message: CancelRequests) -> Outputs:
        """Who has begun goes on: what a pass computes of it is no more than the pass."""
        wanted = set(message.ids)
        held = self._blocks_held
        dropped = {p.request_id for p in self._queue if p.request_id in wanted and p.request_id not in held}
        if not dropped:
            return NOTHING
        self._queue = deque(p for p in self._queue if p.request_id not in dropped)
        for request_id in dropped:
            self._prefixes.pop(request_id, None)
        if self._queue:  # one that needs less memory may be the first now
            self._begin_if_idle(now_ns)
        return ((self._reports_to, RequestsCancelled(self.address, sorted(dropped))),)

    def _on_set_power_budget(self, now_ns: int, message: SetPowerBudget) -> Outputs:
        self._budget.ask(message)
        confirmed = None if self._is_running else self._budget.take_on(now_ns)
        return NOTHING if confirmed is None else (confirmed,)

    def _begin_if_idle(self, now_ns: int) -> None:
        # The wake comes after everything of this instant was delivered, so that all of it takes part in the pass.
        if not self._is_running:
            self.deadline_ns = now_ns

    def _fill_pass(self, now_ns: int) -> list[_Prompt]:
        """Take prompts in order of arrival up to the token budget; answers those whose first chunk is in the pass."""
        queue, budget = self._queue, self._config.token_budget
        started: list[_Prompt] = []
        closing: list[_Prompt] = []
        tokens = pairs = cached = 0
        while queue and tokens < budget:
            prompt = queue[0]
            if not prompt.position:
                if prompt.blocks > self.free_blocks:
                    break
                self.free_blocks -= prompt.blocks
                self._blocks_held[prompt.request_id] = prompt.blocks
                if self.cache is not None:
                    prompt.cached_tokens = self._look_up(self.cache, prompt, now_ns)
                prompt.position = prompt.cached_tokens
                cached += prompt.cached_tokens
                started.append(prompt)
            position = prompt.position
            take = min(prompt.total_tokens - position, budget - tokens)
            tokens += take
            pairs += take * position + take * (take + 1) // 2
            prompt.position = position + take
            if prompt.position == prompt.total_tokens:
                closing.append(queue.popleft())
        self._closing = closing
        self._pass_tokens = tokens
        self._pass_pairs = pairs
        self._pass_cached = cached
        self._is_running = tokens > 0
        self.deadline_ns = now_ns + self._pass_ns(tokens, pairs, cached) if tokens else NEVER_NS
        return started

    def _pass_ns(self, tokens: int, pairs: int, cached: int) -> int:
        full_ns = self._cost.prefill_ns(tokens, pairs, cached)
        if self._throttle is None:
            return full_ns
        self._throttled = self._slowed(self._throttle, full_ns)
        return self._throttled.length_ns

    def _slowed(self, throttle: PassThrottle, full_ns: int) -> ThrottledPass:
        return throttle.run(self._budget.watts, full_ns, self._pass_tokens, self._pass_pairs)

    def _look_up(self, cache: BlockStore, prompt: _Prompt, now_ns: int) -> int:
        """Cached tokens of a prompt that enters its first pass; one token is always computed."""
        prefix, namespace = self._prefixes.pop(prompt.request_id)
        prompt_tokens = prompt.total_tokens - prompt.resumed_tokens
        # Its servers are the instance's own nodes: nothing has to be fetched, whatever the tier.
        found, _ = cache.look_up(prompt.request_id, prefix, namespace, prompt_tokens, now_ns)
        return min(found, prompt_tokens - 1)

    def _store(self, cache: BlockStore, done: list[_Prompt], now_ns: int) -> None:
        """Blocks of prompts that are done become visible; recomputed prompts have stored theirs before."""
        for prompt in done:
            if prompt.resumed_tokens:
                cache.release(prompt.request_id, now_ns)
            else:
                cache.store(prompt.request_id, now_ns)

    def _account(
        self, now_ns: int, tokens: int, pairs: int, *, is_busy: bool, throttled: ThrottledPass | None = None
    ) -> Usage:
        start_ns = self._account_end_ns
        busy_ns = now_ns - start_ns if is_busy else 0
        if throttled is not None and is_busy:
            # What is cut short draws until then what it draws on average.
            self._account_end_ns = now_ns
            return Usage(start_ns, now_ns, busy_ns, throttled.joules * busy_ns / throttled.length_ns)
        joules = self._energy.joules(
            busy_ns=busy_ns,
            passes=1 if tokens else 0,
            computed_tokens=tokens,
            attention_pairs=pairs,
            idle_ns=now_ns - start_ns - busy_ns,
        )
        self._account_end_ns = now_ns
        return Usage(start_ns, now_ns, busy_ns, joules)

    def _on_report_usage(self, now_ns: int, message: ReportUsage) -> Outputs:
        if self._is_running:
            return NOTHING
        return ((self._reports_to, UsageReported(self.address, self._account(now_ns, 0, 0, is_busy=False))),)

    def _on_run_ended(self, now_ns: int, message: RunEnded) -> Outputs:
        # A pass that was cut short is counted as busy time without the work that it had not finished.
        usage = self._account(now_ns, 0, 0, is_busy=self._is_running, throttled=self._throttled)
        return ((self._reports_to, UsageReported(self.address, usage)),)
