"""How a decode instance keeps its power budget: it slows runs of steps, by a clock that it chooses now and then."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Protocol

from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import SetPowerBudget
from sim_hw.instance.throttle import StepClock, StepLoad, stretched_ps
from workers.decode.expected_tokens import ExpectedTokens
from workers.decode.meter import DecodeMeter
from workers.power_budget import PowerBudget

CLOCK_STEPS: Final = 32
"""The clock is chosen anew when membership or budget change and at every step number that this divides, whether a run
of steps ends there or not, so that grouping steps changes nothing."""


class StepThrottle(Protocol):
    """How steps are slowed to keep a budget."""

    def clock(self, budget_w: float, loads: tuple[StepLoad, ...]) -> StepClock:
        """For steps whose watts are nowhere above those at the highest of these loads."""
        ...


class StepGovernor(ABC):
    """Keeps the power budget of one instance, whose steps `meter` counts."""

    def __init__(self, budget: PowerBudget, expected: ExpectedTokens, meter: DecodeMeter) -> None:
        self._budget = budget
        self._expected = expected
        self._meter = meter
        self._stretch = 0
        """Of the clock that was chosen; 0 where it is to be chosen anew."""
        self._busy_until_ns = 0

    @abstractmethod
    def _choose(self, loads: tuple[StepLoad, ...]) -> int:
        """The stretch of steps whose watts are nowhere above those at the highest of these loads; they are accounted
        for by its energy from now on."""

    def ask(self, message: SetPowerBudget) -> None:
        """Take note of another budget, which holds from the next boundary on."""
        self._budget.ask(message)

    def at_boundary(self, now_ns: int, step: int, *, has_changed: bool) -> None:
        """Forget the clock before the next run is planned if it is to be chosen anew."""
        if has_changed or step % CLOCK_STEPS == 0:
            self._stretch = 0
        self._busy_until_ns = now_ns

    def take_on(self, now_ns: int, *, is_busy: bool) -> Outputs:
        """At a boundary: confirm a budget that is kept from now on, and account for what was drawn under the last one,
        so that no account mixes the two."""
        confirmed = self._budget.take_on()
        if not confirmed:
            return NOTHING
        self._stretch = 0
        usage = self._meter.account(now_ns, now_ns if is_busy else self._meter.end_ns)
        return [*self._budget.account(usage), *confirmed]

    def steps_ahead(self, step: int) -> int:
        """Steps until the clock is chosen anew."""
        return CLOCK_STEPS - step % CLOCK_STEPS

    def slowed(self, step: int, offset_ps: int, slope_ps: int, num_running: int, base_tokens: int) -> tuple[int, int]:
        """Offset and slope of a run from `step` on at the clock of the budget; that is chosen for its first step and
        the last before the next choice.

        Between the two no step draws more than at one of them: energy is affine in G, and a step lasts at least as long
        as the piece of the envelope that the first is on says.
        """
        stretch, at = self._stretch, self._expected.at
        if not stretch:
            last = step + self.steps_ahead(step) - 1
            loads = (
                StepLoad(offset_ps + slope_ps * accepted, num_running, base_tokens + num_running * accepted)
                for accepted in (at(step), at(last))
            )
            stretch = self.stretch_for(tuple(loads))
        return stretched_ps(offset_ps, stretch), stretched_ps(slope_ps, stretch)

    def stretch_for(self, loads: tuple[StepLoad, ...]) -> int:
        """That of the clock until it is chosen anew; it is chosen for these loads if that is now."""
        if not self._stretch:
            self._stretch = self._choose(loads)
        return self._stretch


class DecodeGovernor(StepGovernor):
    """Of a decode instance."""

    def __init__(
        self, throttle: StepThrottle, budget: PowerBudget, expected: ExpectedTokens, meter: DecodeMeter
    ) -> None:
        super().__init__(budget, expected, meter)
        self._throttle = throttle

    def _choose(self, loads: tuple[StepLoad, ...]) -> int:
        clock = self._throttle.clock(self._budget.watts, loads)
        self._meter.use(clock.energy, self._busy_until_ns)
        return clock.stretch
