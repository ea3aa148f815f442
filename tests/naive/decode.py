"""The decode instance of the naive simulation, one step and one sequence at a time.

Written from "Rules of the two engines" in docs/engine-rules.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.blocks import KV_BLOCK, blocks_for
from tests.naive.case import SEQUENCE_JOULES, STEP_JOULES, Case, lines_of, most_tokens, way_of
from tests.naive.drafts import num_right
from tests.naive.request import Request
from tests.naive.world import Actor, World
from tests.sim.throttled import CLOCK_STEPS, level_for, step_heat

if TYPE_CHECKING:
    from tests.naive.simulation import Core


class Sequence:
    """A sequence on a die, or the room kept for one that has not started."""

    def __init__(self, request: Request, tokens: int, blocks: int) -> None:
        self.request = request
        self.tokens = tokens
        self.blocks = blocks
        self.produced = 0


class Step:
    """What one step was: its length, who ran, the KV read, the tokens brought to each sequence."""

    def __init__(self, length_ps: int, num_running: int, kv_tokens: int, brought: list[int]) -> None:
        self.length_ps = length_ps
        self.num_running = num_running
        self.kv_tokens = kv_tokens
        self.brought = brought


class Die:
    """Running sequences in order of joining, and room kept."""

    def __init__(self) -> None:
        self.running: list[Sequence] = []
        self.reserved: list[Sequence] = []


class Decode(Actor):
    """A decode instance."""

    priority = 5

    def __init__(self, world: World, case: Case, index: int, core: Core) -> None:
        super().__init__(world)
        self.case = case
        self.index = index
        self.core = core
        self.dies = [Die() for _ in range(case.num_dies)]
        self.waiting: list[Sequence] = []
        self.joining: list[Request] = []
        self.joined: list[Sequence] = []
        self.is_stepping = False
        self.lines: list[tuple[int, int, int]] = []
        self.num_steps = 0
        self.clock_ps = 0
        self.step_ps = 0
        self.step_began_ns = 0
        self.busy_ns = 0
        self.steps: list[Step] = []
        self.level: int | None = None
        self.level_joules = 0

    def work_joules(self) -> int:
        """What all the steps cost beside the power."""
        return self.level_joules + sum(
            STEP_JOULES + SEQUENCE_JOULES * step.num_running + step.kv_tokens for step in self.steps
        )

    def is_empty(self) -> bool:
        """Has it nothing to do and nothing of anybody?"""
        held = any(die.running or die.reserved for die in self.dies)
        return not (held or self.waiting or self.joining or self.joined)

    def free_blocks(self, die: Die) -> int:
        """Blocks of a die that nobody has."""
        return self.case.blocks_per_die - sum(s.blocks for s in die.running) - sum(s.blocks for s in die.reserved)

    def free_slots(self, die: Die) -> int:
        """Sequences that a die could take yet."""
        return self.case.slots_per_die - len(die.running) - len(die.reserved)

    def reserve(self, asked: list[tuple[Request, int]]) -> None:
        """Keep room."""
        for request, tokens in asked:
            blocks = min(blocks_for(tokens) + self.case.extent_blocks, self.case.blocks_per_die)
            self.waiting.append(Sequence(request, tokens, blocks))
        self._try_waiting()

    def release(self, requests: list[Request]) -> None:
        """Room is no longer wanted."""
        self.waiting = [s for s in self.waiting if s.request not in requests]
        for die in self.dies:
            die.reserved = [s for s in die.reserved if s.request not in requests]
        self._try_waiting()

    def start(self, requests: list[Request]) -> None:
        """Their KV is in place."""
        self.joining += requests
        if not self.is_stepping:
            self.due_ns = self.world.now_ns

    def _try_waiting(self) -> None:
        if granted := self._grant():
            self.world.say(self.core.on_reserved, granted)

    def _grant(self) -> list[Request]:
        granted: list[Request] = []
        while self.waiting:
            first = self.waiting[0]
            best: Die | None = None
            for die in self.dies:
                if self.free_slots(die) and (best is None or self.free_blocks(die) > self.free_blocks(best)):
                    best = die
            if best is None or self.free_blocks(best) < first.blocks:
                break
            best.reserved.append(first)
            self.waiting.remove(first)
            first.request.decode_die = self.dies.index(best)
            granted.append(first.request)
        return granted

    def fall_due(self) -> None:
        """One boundary between steps."""
        if self.is_stepping:
            self._count_step()
        else:
            self.clock_ps = self.world.now_ns * 1000
        finished = self._let_finished_leave()
        preempted, cut = self._take_extents()
        started = self._join()
        # Room that was capped at the size of a die may lack at once.
        more_preempted, more_cut = self._take_extents()
        preempted += more_preempted
        cut += more_cut
        kv_tokens = sum(s.tokens for s in self.joined)
        if finished or preempted or cut or started or self.num_steps % CLOCK_STEPS == 0:
            self.level = None
        if finished or preempted or cut or started:
            self.world.say(self.core.on_decode_boundary, self.index, kv_tokens, started, finished, cut, preempted)
            num_running = len(self.joined)
            self.lines = lines_of(self.case, way_of(self.case, num_running, kv_tokens), num_running)
        self._try_waiting()
        self._begin_step()

    def _begin_step(self) -> None:
        self.is_stepping = bool(self.joined)
        if not self.is_stepping:
            return
        self.step_ps = slope_ps = 0
        for die in self.dies:
            tokens = sum(s.tokens for s in die.running)
            for constant_ps, sequence_ps, kv_ps in self.lines:
                line_ps = constant_ps + sequence_ps * len(die.running) + kv_ps * tokens
                self.step_ps, slope_ps = max((self.step_ps, slope_ps), (line_ps, kv_ps * len(die.running)))
        if self.level is None:
            self.level = self._choose_level(slope_ps)
        self.step_ps *= 1 + self.level
        self.step_began_ns = self.world.now_ns
        self.due_ns = (self.clock_ps + self.step_ps) // 1000

    def _choose_level(self, slope_ps: int) -> int:
        """By the hotter of this step and the last before the next choice, as if its cost went on as in this."""
        if self.case.budget_w is None:
            return 0
        last = (self.num_steps // CLOCK_STEPS + 1) * CLOCK_STEPS - 1
        if self.case.sampled is not None:
            # As long as this step, over all the tokens that there may be at the last.
            most = most_tokens(self.case) * (last - self.num_steps)
            kv_tokens = sum(sequence.tokens + most for sequence in self.joined)
            return level_for(self.case.budget_w, step_heat(self.step_ps, len(self.joined), kv_tokens))
        numerator, denominator = self.case.step_tokens
        grown = last * numerator // denominator - self.num_steps * numerator // denominator
        heats: list[int] = []
        for more in (0, grown):
            kv_tokens = sum(sequence.tokens + more for sequence in self.joined)
            heats.append(step_heat(self.step_ps + slope_ps * more, len(self.joined), kv_tokens))
        return level_for(self.case.budget_w, max(heats))

    def _count_step(self) -> None:
        brought = [self._brought(sequence) for sequence in self.joined]
        self.num_steps += 1
        self.clock_ps += self.step_ps
        self.busy_ns += self.world.now_ns - self.step_began_ns
        assert self.level is not None
        self.level_joules += self.level * (self.world.now_ns - self.step_began_ns)
        kv_tokens = sum(sequence.tokens for sequence in self.joined)
        self.steps.append(Step(self.step_ps, len(self.joined), kv_tokens, brought))
        for sequence, tokens in zip(self.joined, brought, strict=True):
            sequence.tokens += tokens
            sequence.produced += tokens

    def _brought(self, sequence: Sequence) -> int:
        """By the step that ends, which has not been counted yet."""
        if self.case.sampled is not None:
            left = sequence.request.output_tokens - sequence.produced
            return min(left, 1 + num_right(*self.case.sampled, sequence.request.number, sequence.produced))
        numerator, denominator = self.case.step_tokens
        return (self.num_steps + 1) * numerator // denominator - self.num_steps * numerator // denominator

    def _leave(self, sequence: Sequence) -> None:
        self.joined.remove(sequence)
        for die in self.dies:
            if sequence in die.running:
                die.running.remove(sequence)

    def _let_finished_leave(self) -> list[Request]:
        finished: list[Request] = []
        for sequence in list(self.joined):
            if sequence.produced >= sequence.request.output_tokens:
                self._leave(sequence)
                finished.append(sequence.request)
        return finished

    def _take_extents(self) -> tuple[list[tuple[Request, int]], list[tuple[Request, int]]]:
        """Answers whom this preempted and whom it cut short, each with the tokens produced."""
        preempted: list[tuple[Request, int]] = []
        cut: list[tuple[Request, int]] = []
        most = most_tokens(self.case)
        for sequence in list(self.joined):
            if sequence not in self.joined or sequence.tokens + most <= sequence.blocks * KV_BLOCK:
                continue
            die = next(die for die in self.dies if sequence in die.running)
            while sequence in self.joined:
                if self.free_blocks(die):
                    sequence.blocks += min(self.case.extent_blocks, self.free_blocks(die))
                    break
                youngest = die.running[-1]
                is_alone = len(die.running) == 1 and not die.reserved
                self._leave(youngest)
                if is_alone:
                    cut.append((youngest.request, youngest.produced))
                else:
                    preempted.append((youngest.request, youngest.produced))
        return preempted, cut

    def _join(self) -> list[Request]:
        started = self.joining
        self.joining = []
        for request in started:
            for die in self.dies:
                for sequence in list(die.reserved):
                    if sequence.request is request:
                        die.reserved.remove(sequence)
                        die.running.append(sequence)
                        self.joined.append(sequence)
                        sequence.produced = request.produced
        return started
