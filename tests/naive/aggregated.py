"""The aggregated instance of the naive simulation, one step, one sequence and one token of a prompt at a time.

Written from "Rules of the aggregated engine" in docs/engine-rules.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.blocks import blocks_for
from tests.naive.cache import NaiveCache
from tests.naive.case import COMPUTED_JOULES, PAIR_JOULES, PASS_JOULES, STEP_JOULES, Case, lines_of, mixed_ps, way_of
from tests.naive.decode import Decode, Sequence
from tests.naive.prefill import Prompt
from tests.naive.request import Request
from tests.naive.world import World
from tests.sim.throttled import CLOCK_STEPS, level_for, mixed_heat

if TYPE_CHECKING:
    from tests.naive.simulation import Core


class Aggregated(Decode):
    """An instance of both stages; `prompts` is how the core speaks to it as one that computes prompts."""

    def __init__(self, world: World, case: Case, index: int, core: Core) -> None:
        super().__init__(world, case, case.num_decode + index, core)
        self.prompts = Prompts(self, case.num_prefill + index)
        self.queue: list[Prompt] = []
        self.in_step: list[Prompt] = []
        self.computed = 0
        self.pairs = 0
        self.cached = 0
        self.num_mixed = 0
        self.num_untold = 0
        self.num_passes = 0
        self.num_computed = 0
        self.num_pairs = 0

    def work_joules(self) -> int:
        """Weights are read once in each step, for prompts if there are any."""
        prompts = PASS_JOULES * self.num_passes + COMPUTED_JOULES * self.num_computed + PAIR_JOULES * self.num_pairs
        return super().work_joules() - STEP_JOULES * self.num_mixed + prompts

    def is_empty(self) -> bool:
        """Has it nothing to do and nothing of anybody?"""
        return super().is_empty() and not self.queue and not self.in_step

    def look_again(self) -> None:
        """Something came: a step begins now if none runs."""
        if not self.is_stepping:
            self.due_ns = self.world.now_ns

    def reserve(self, asked: list[tuple[Request, int]]) -> None:
        """Keep room."""
        super().reserve(asked)
        self.look_again()

    def release(self, requests: list[Request]) -> None:
        """Room is no longer wanted."""
        super().release(requests)
        self.look_again()

    def fall_due(self) -> None:
        """One boundary between steps."""
        was_computing = bool(self.in_step)
        passed = (self.computed, self.world.now_ns - self.step_began_ns) if was_computing else (0, 0)
        if self.is_stepping:
            self._count_both()
        else:
            self.clock_ps = self.world.now_ns * 1000
        done = [prompt for prompt in self.in_step if prompt.position == prompt.total]
        stopped = [prompt for prompt in done if prompt.request.produced + 1 == prompt.request.output_tokens]
        for prompt in done:
            self.prompts.keep_in_cache(prompt.request)
        for die in self.dies:
            die.reserved = [s for s in die.reserved if s.request not in [prompt.request for prompt in stopped]]
        finished = self._let_finished_leave()
        preempted, cut = self._take_extents()
        going_on = [prompt.request for prompt in done if prompt not in stopped]
        self.joining += going_on
        started = self._join()
        for sequence in self.joined:
            if sequence.request in going_on and sequence.request in started:
                sequence.produced = sequence.request.produced + 1
        more_preempted, more_cut = self._take_extents()
        preempted += more_preempted
        cut += more_cut
        kv_tokens = sum(s.tokens for s in self.joined)
        granted = self._grant()
        begun = self._fill()
        if was_computing or self.in_step:
            self.world.say(
                self.core.on_prefill_boundary,
                self.prompts.index,
                begun,
                [],
                [prompt.request for prompt in done],
                [prompt.request for prompt in stopped],
                passed,
                self._name_next() if self.in_step and self.case.cache_mode == "pool" else [],
            )
        has_changed = bool(finished or preempted or cut or started)
        # A step with prompts is told by itself, and so is what ran before it.
        if has_changed or (self.num_untold and (was_computing or self.in_step)):
            self.num_untold = 0
            self.world.say(self.core.on_decode_boundary, self.index, kv_tokens, started, finished, cut, preempted)
        if has_changed or was_computing or self.num_steps % CLOCK_STEPS == 0:
            self.level = None
        if has_changed:
            self.lines = lines_of(self.case, way_of(self.case, len(self.joined), kv_tokens), len(self.joined))
        if granted:
            self.world.say(self.core.on_reserved, granted)
        self._begin_step()
        if self.in_step:
            self._begin_mixed()

    def _begin_mixed(self) -> None:
        case = self.case
        prefill_ns = case.pass_ns + case.token_ns * self.computed
        prefill_ns += self.pairs // case.pairs_per_ns + case.cached_ns * self.cached
        if self.joined:
            assert self.level is not None
            decode_ps = self.step_ps // (1 + self.level)
            self.step_ps = mixed_ps(case, decode_ps, prefill_ns, len(self.joined), self.computed)
        else:
            self.step_ps = 1000 * prefill_ns
        self.level = 0
        if case.budget_w is not None:
            kv_tokens = sum(sequence.tokens for sequence in self.joined)
            heat = mixed_heat(self.step_ps, len(self.joined), kv_tokens, self.computed, self.pairs)
            self.level = level_for(case.budget_w, heat)
        self.step_ps *= 1 + self.level
        self.is_stepping = True
        self.step_began_ns = self.world.now_ns
        self.due_ns = (self.clock_ps + self.step_ps) // 1000

    def _count_both(self) -> None:
        """A step over prompts alone is none of any sequence, though it has its number."""
        if self.joined:
            self._count_step()
            self.num_untold += 1
            self.num_mixed += bool(self.in_step)
        else:
            self.num_steps += 1
            self.clock_ps += self.step_ps
            self.busy_ns += self.world.now_ns - self.step_began_ns
            assert self.level is not None
            self.level_joules += self.level * (self.world.now_ns - self.step_began_ns)
        self.num_passes += bool(self.in_step)
        self.num_computed += self.computed
        self.num_pairs += self.pairs

    def _fill(self) -> list[tuple[Request, int]]:
        """Chunks for the step that begins; answers whose first is in it, with the tokens each found cached."""
        begun: list[tuple[Request, int]] = []
        self.in_step = []
        self.computed = self.pairs = self.cached = 0
        budget = self.case.step_budget - self.case.rows_per_sequence * len(self.joined)
        while self.queue and budget > 0:
            prompt = self.queue[0]
            if not prompt.has_started:
                if not self._take_room(prompt):
                    break
                prompt.has_started = True
                cache = self.prompts.cache
                found = cache.find(prompt.request)[0] if cache else prompt.cached
                prompt.position = min(found, prompt.request.prompt_tokens - 1)
                self.cached += prompt.position
                begun.append((prompt.request, prompt.position))
            while budget > 0 and prompt.position < prompt.total:
                prompt.position += 1
                self.pairs += prompt.position
                self.computed += 1
                budget -= 1
            self.in_step.append(prompt)
            if prompt.position == prompt.total:
                self.queue.remove(prompt)
        return begun

    def _take_room(self, prompt: Prompt) -> bool:
        """On the die with the most free blocks, for the prompt, the token it yields, and one extent; behind all who
        wait for room."""
        if self.waiting:
            return False
        tokens = prompt.total + 1
        blocks = min(blocks_for(tokens) + self.case.extent_blocks, self.case.blocks_per_die)
        best = None
        for die in self.dies:
            if self.free_slots(die) and (best is None or self.free_blocks(die) > self.free_blocks(best)):
                best = die
        if best is None or self.free_blocks(best) < blocks:
            return False
        best.reserved.append(Sequence(prompt.request, tokens, blocks))
        return True

    def _name_next(self) -> list[Request]:
        named: list[Request] = []
        budget = self.case.step_budget - self.case.rows_per_sequence * len(self.joined)
        for prompt in self.queue:
            if budget > 0 and not prompt.has_started and not prompt.was_named:
                prompt.was_named = True
                named.append(prompt.request)
            budget -= prompt.total - (prompt.position if prompt.has_started else prompt.cached)
        return named


class Prompts:
    """An aggregated instance as one that computes prompts, `index` of these."""

    def __init__(self, engine: Aggregated, index: int) -> None:
        self.engine = engine
        self.index = index
        self.cache = None
        case = engine.case
        if case.cache_mode == "local":
            self.cache = NaiveCache(
                case.cache_blocks * case.block_tokens,
                case.block_tokens,
                ssd_tokens=case.cache_ssd_blocks * case.block_tokens,
                share=case.cache_namespace_share,
            )

    @property
    def num_computed(self) -> int:
        """Tokens of prompts so far."""
        return self.engine.num_computed

    def start(self, requests: list[Request]) -> None:
        """New work."""
        self.engine.queue += [Prompt(request) for request in requests]
        self.engine.look_again()

    def extend(self, extended: list[tuple[Request, int]]) -> None:
        """So much of these is cached."""
        for prompt in self.engine.queue:
            for request, cached in extended:
                if prompt.request is request and not prompt.has_started:
                    prompt.cached = max(prompt.cached, cached)

    def release(self, requests: list[Request]) -> None:
        """What is computed here stays here: nobody takes it away."""
        raise AssertionError(requests)

    def keep_in_cache(self, request: Request) -> None:
        """It is computed."""
        if self.cache is None:
            return
        if request.first_token_ns == -1:
            self.cache.store(request)
        else:
            self.cache.release(request)
