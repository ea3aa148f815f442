"""Budgets of watts, and made-up laws by which engines keep them: the hotter the work, the more it is stretched."""

from __future__ import annotations

from typing import Any, Final

from sim_hw.instance.mixed_throttle import MixedClock, MixedLoad
from sim_hw.instance.throttle import STRETCH_BITS, StepClock, StepLoad, ThrottledPass
from tests.checkers.linear_energy import LinearEnergy
from tests.naive.case import BUSY_WATTS, COMPUTED_JOULES, PAIR_JOULES, PASS_JOULES

LEVELS: Final = 8
"""Level k stretches work 1 + k times, and draws k watts more: any difference shows that a level was missed."""

CLOCK_STEPS = 32
"""An instance that keeps a budget chooses its clock anew at every step number that this divides."""


def level_for(budget_w: float, heat: int) -> int:
    """The least level that the budget allows, or the last."""
    return next((level for level in range(LEVELS) if heat <= budget_w * (1 + level)), LEVELS - 1)


def pass_heat(tokens: int, pairs: int) -> int:
    """Of a pass; the unit is the case's own."""
    return tokens // 8 + pairs // 4096


def step_heat(length_ps: int, sequences: int, kv_tokens: int) -> int:
    """Of a step."""
    return length_ps // 20_000 + 3 * sequences + kv_tokens // 2


def mixed_heat(length_ps: int, sequences: int, kv_tokens: int, tokens: int, pairs: int) -> int:
    """Of a step that computes prompts."""
    return step_heat(length_ps, sequences, kv_tokens) + pass_heat(tokens, pairs)


class WholePassThrottle:
    """Of a prefill instance."""

    def run(self, budget_w: float, full_ns: int, tokens: int, pairs: int) -> ThrottledPass:
        """A whole number of times as long."""
        level = level_for(budget_w, pass_heat(tokens, pairs))
        length_ns = full_ns * (1 + level)
        work = PASS_JOULES + COMPUTED_JOULES * tokens + PAIR_JOULES * pairs
        return ThrottledPass(length_ns, float((BUSY_WATTS + level) * length_ns + work))


class WholeStepThrottle:
    """Of a decode instance."""

    def clock(self, budget_w: float, loads: tuple[StepLoad, ...]) -> Any:
        """By the hottest load."""
        heat = max(step_heat(load.length_ps, load.sequences, load.kv_tokens) for load in loads)
        level = level_for(budget_w, heat)
        energy: Any = LinearEnergy(BUSY_WATTS + level)  # whole joules, which a `DecodePower` does not have
        return StepClock((1 + level) << STRETCH_BITS, energy)


class WholeMixedThrottle(WholeStepThrottle):
    """Of an aggregated instance."""

    def mixed_clock(self, budget_w: float, load: MixedLoad) -> MixedClock:
        """By the heat of both parts."""
        work = load.sequences, load.kv_tokens, load.computed_tokens, load.attention_pairs
        level = level_for(budget_w, mixed_heat(load.length_ps, *work))
        energy: Any = LinearEnergy(BUSY_WATTS + level)
        return MixedClock((1 + level) << STRETCH_BITS, energy)
