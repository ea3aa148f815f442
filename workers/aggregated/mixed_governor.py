"""How an aggregated instance keeps its power budget: runs of steps over sequences by a clock that is chosen now and
then, each step that computes prompts by one of its own."""

from __future__ import annotations

from typing import Protocol

from sim_hw.instance.mixed_throttle import MixedClock, MixedLoad
from sim_hw.instance.throttle import StepLoad, stretched_ps
from workers.aggregated.prompt_work import PromptWork
from workers.decode.expected_tokens import ExpectedTokens
from workers.decode.meter import DecodeMeter
from workers.decode.step_governor import StepGovernor
from workers.power_budget import PowerBudget


class MixedStepThrottle(Protocol):
    """How steps are slowed to keep a budget."""

    def clock(self, budget_w: float, loads: tuple[StepLoad, ...]) -> MixedClock:
        """For steps without prompts whose watts are nowhere above those at the highest of these loads."""
        ...

    def mixed_clock(self, budget_w: float, load: MixedLoad) -> MixedClock:
        """For one step that computes prompts."""
        ...


class MixedGovernor(StepGovernor):
    """Of an aggregated instance; `work` is what its meter asks for joules."""

    def __init__(
        self,
        throttle: MixedStepThrottle,
        budget: PowerBudget,
        expected: ExpectedTokens,
        meter: DecodeMeter,
        work: PromptWork,
    ) -> None:
        super().__init__(budget, expected, meter)
        self._throttle = throttle
        self._work = work

    def _choose(self, loads: tuple[StepLoad, ...]) -> int:
        return self._use(self._throttle.clock(self._budget.watts, loads))

    def slowed_mixed_ps(
        self,
        length_ps: int,
        prefill_ps: int,
        decode_ps: int,
        computed_tokens: int,
        attention_pairs: int,
        num_running: int,
        kv_tokens: int,
    ) -> int:
        """The length of one step that computes prompts, as of `MixedLoad`; after it the clock is chosen anew."""
        self._stretch = 0
        load = MixedLoad(length_ps, prefill_ps, decode_ps, computed_tokens, attention_pairs, num_running, kv_tokens)
        return stretched_ps(load.length_ps, self._use(self._throttle.mixed_clock(self._budget.watts, load)))

    def _use(self, clock: MixedClock) -> int:
        self._meter.use(self._work, self._busy_until_ns)
        self._work.use(clock.energy)
        return clock.stretch
