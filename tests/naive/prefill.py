"""The prefill instance of the naive simulation, one token at a time.

Written from "Rules of the two engines" in docs/engine-rules.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.blocks import blocks_for
from tests.naive.cache import NaiveCache
from tests.naive.case import COMPUTED_JOULES, PAIR_JOULES, PASS_JOULES, Case
from tests.naive.request import Request
from tests.naive.world import Actor, World
from tests.sim.throttled import level_for, pass_heat

if TYPE_CHECKING:
    from tests.naive.simulation import Core


class Prompt:
    """A prompt at a prefill instance; `position` tokens of its KV are there."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.total = request.prompt_tokens + request.produced
        self.cached = request.cached
        self.position = 0
        self.has_started = False
        self.was_named = False


class Prefill(Actor):
    """A prefill instance."""

    priority = 4

    def __init__(self, world: World, case: Case, index: int, core: Core) -> None:
        super().__init__(world)
        self.case = case
        self.index = index
        self.core = core
        self.queue: list[Prompt] = []
        self.holding: list[Prompt] = []
        self.in_pass: list[Prompt] = []
        self.cache = None
        if case.cache_mode == "local":
            self.cache = NaiveCache(
                case.cache_blocks * case.block_tokens,
                case.block_tokens,
                ssd_tokens=case.cache_ssd_blocks * case.block_tokens,
                share=case.cache_namespace_share,
            )
        self.pass_began_ns = 0
        self.busy_ns = 0
        self.num_passes = 0
        self.computed_in_pass = 0
        self.num_computed = 0
        self.num_pairs = 0
        self.level_joules = 0

    def work_joules(self) -> int:
        """What all the computing cost beside the power."""
        work = COMPUTED_JOULES * self.num_computed + PAIR_JOULES * self.num_pairs
        return PASS_JOULES * self.num_passes + work + self.level_joules

    def is_empty(self) -> bool:
        """Has it nothing to do and nothing of anybody?"""
        return not (self.queue or self.holding or self.in_pass)

    def start(self, requests: list[Request]) -> None:
        """New work."""
        self.queue += [Prompt(request) for request in requests]
        if not self.in_pass:
            self.due_ns = self.world.now_ns

    def extend(self, extended: list[tuple[Request, int]]) -> None:
        """So much of these is cached."""
        for prompt in self.queue:
            for request, cached in extended:
                if prompt.request is request and not prompt.has_started:
                    prompt.cached = max(prompt.cached, cached)

    def release(self, requests: list[Request]) -> None:
        """The KV of these is no longer needed here."""
        self.holding = [prompt for prompt in self.holding if prompt.request not in requests]
        if not self.in_pass:
            self.due_ns = self.world.now_ns

    def fall_due(self) -> None:
        """A pass ends, the next begins."""
        was_running = bool(self.in_pass)
        if was_running:
            self.busy_ns += self.world.now_ns - self.pass_began_ns
        passed = (self.computed_in_pass, self.world.now_ns - self.pass_began_ns) if was_running else (0, 0)
        done = [prompt for prompt in self.in_pass if prompt.position == prompt.total]
        stopped = [prompt for prompt in done if prompt.request.produced + 1 == prompt.request.output_tokens]
        self.holding = [prompt for prompt in self.holding if prompt not in stopped]
        for prompt in done:
            self._keep_in_cache(prompt.request)
        started = self._fill()
        if not was_running and not self.in_pass:
            return
        closing = [prompt for prompt in self.in_pass if prompt.position == prompt.total]
        self.world.say(
            self.core.on_prefill_boundary,
            self.index,
            started,
            [prompt.request for prompt in closing],
            [prompt.request for prompt in done],
            [prompt.request for prompt in stopped],
            passed,
            self._name_next() if self.in_pass and self.case.cache_mode == "pool" else [],
        )

    def _name_next(self) -> list[Request]:
        """Whose first token would be in the pass after this one, if nothing changed; each is named once."""
        named: list[Request] = []
        budget = self.case.token_budget
        for prompt in self.queue:
            if budget > 0 and not prompt.has_started and not prompt.was_named:
                prompt.was_named = True
                named.append(prompt.request)
            budget -= prompt.total - (prompt.position if prompt.has_started else prompt.cached)
        return named

    def _keep_in_cache(self, request: Request) -> None:
        if self.cache is None:
            return
        if request.first_token_ns == -1:
            self.cache.store(request)
        else:
            self.cache.release(request)

    def _fill(self) -> list[tuple[Request, int]]:
        """Form the next pass; answers whose first chunk is in it, with the tokens each found cached."""
        started: list[tuple[Request, int]] = []
        self.in_pass = []
        budget, pairs, cached = self.case.token_budget, 0, 0
        num_computed = 0
        while self.queue and budget:
            prompt = self.queue[0]
            if not prompt.has_started:
                free = self.case.prefill_blocks - sum(blocks_for(other.total) for other in self.holding)
                if blocks_for(prompt.total) > free:
                    break
                self.holding.append(prompt)
                prompt.has_started = True
                found = self.cache.find(prompt.request)[0] if self.cache else prompt.cached
                prompt.position = min(found, prompt.request.prompt_tokens - 1)
                cached += prompt.position
                started.append((prompt.request, prompt.position))
            while budget and prompt.position < prompt.total:
                prompt.position += 1
                pairs += prompt.position
                num_computed += 1
                budget -= 1
            self.in_pass.append(prompt)
            if prompt.position == prompt.total:
                self.queue.remove(prompt)
        self.num_computed += num_computed
        self.computed_in_pass = num_computed
        self.num_passes += 1 if num_computed else 0
        self.num_pairs += pairs
        if self.in_pass:
            self.pass_began_ns = self.world.now_ns
            full_ns = self._pass_ns(num_computed, pairs, cached)
            budget_w = self.case.budget_w
            level = 0 if budget_w is None else level_for(budget_w, pass_heat(num_computed, pairs))
            self.level_joules += level * full_ns * (1 + level)
            self.due_ns = self.world.now_ns + full_ns * (1 + level)
        return started

    def _pass_ns(self, tokens: int, pairs: int, cached: int) -> int:
        case = self.case
        return case.pass_ns + case.token_ns * tokens + pairs // case.pairs_per_ns + case.cached_ns * cached
