"""How an instance keeps a budget of watts by its own model.

It runs at the highest clock that keeps it; where not even the least clock does, it pauses, and idles meanwhile.

A pass or step of which a share c is bound by the clock lasts `c / f + 1 - c` of its time at the full clock
(`clock_scaling`); c is that of its computed tokens, or of its number of requests at the context of the operating point.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from math import ceil
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.instance.clock_levels import CLOCKS, MARGIN_SHARE, decode_levels, prefill_levels
from sim_hw.instance.geometric_grid import GeometricGrid
from sim_hw.instance.power import DecodePower, Draw
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.prefill_pass import prefill_pass
from sim_hw.steps.work import decode_work, prefill_work

STRETCH_BITS: Final = 20
"""A stretch is a whole number of 2**-20, so that step times stay integers."""

SLACK: Final = 1e-6
"""Of a budget that is not used: times are rounded to whole nanoseconds."""


class BudgetRange(Struct, frozen=True):
    """Watts of an instance between which a budget matters."""

    floor_w: int
    """The least budget that it can keep and still work."""
    peak_w: int
    """What it draws at most."""


class ThrottledPass(Struct, frozen=True):
    """Time and energy of one pass, pauses included."""

    length_ns: int
    joules: float

    def with_rest(self, left_ns: int, was: ThrottledPass, becomes: ThrottledPass) -> ThrottledPass:
        """The last `left_ns`, which ran as `was`, run as `becomes` instead: the same part of it, rounded up."""
        rest_ns = -(-left_ns * becomes.length_ns // was.length_ns)
        more_j = (becomes.joules - was.joules) * left_ns / was.length_ns
        return ThrottledPass(self.length_ns - left_ns + rest_ns, self.joules + more_j)


class StepLoad(Struct, frozen=True):
    """A step at the full clock: its time, and what all dies hold."""

    length_ps: int
    sequences: int
    kv_tokens: int


class StepClock(Struct, frozen=True):
    """How steps run: `stretch` times as long, in units of 2**-`STRETCH_BITS`, with this energy."""

    stretch: int
    energy: DecodePower


class PrefillThrottle:
    """Of the prefill instance of `point`."""

    def __init__(self, point: PrefillPoint) -> None:
        self.levels = prefill_levels(point)
        self._num_ranks = point.num_ranks
        dies = point.chip.num_dies.value

        def clock_bound_share(tokens_per_rank: float) -> tuple[float]:
            load = replace(point, batch_tokens_per_npu=max(1, round(tokens_per_rank * dies)), reuse=0.0)
            return (min(1.0, prefill_work(load).clock_bound_s / prefill_pass(load).whole.seconds),)

        self._share = GeometricGrid(clock_bound_share, 1.0, max(2.0, point.tokens_per_rank))

    def run(self, budget_w: float, full_ns: int, tokens: int, pairs: int) -> ThrottledPass:
        """A pass that lasts `full_ns` at the full clock, over so many computed tokens and attention pairs.

        `budget_w` is above what the instance draws idle.
        """

        def watts(level: int) -> float:
            found = self._at(level, full_ns, tokens, pairs)
            return found.joules / (found.length_ns * 1e-9)

        budget_w *= 1.0 - SLACK
        level = highest_level(watts, budget_w)
        if level is not None:
            return self._at(level, full_ns, tokens, pairs)
        least, idle_w = self._at(0, full_ns, tokens, pairs), self.levels[0].draw.idle_w
        length_ns = ceil((least.joules * 1e9 - idle_w * least.length_ns) / (budget_w - idle_w))
        return ThrottledPass(length_ns, least.joules + idle_w * (length_ns - least.length_ns) * 1e-9)

    def _at(self, level: int, full_ns: int, tokens: int, pairs: int) -> ThrottledPass:
        length_ns = ceil(full_ns * stretch_at(self.clock_bound_share(tokens), CLOCKS[level]))
        joules = self.levels[level].joules(
            busy_ns=length_ns, passes=1, computed_tokens=tokens, attention_pairs=pairs, idle_ns=0
        )
        return ThrottledPass(length_ns, joules)

    def clock_bound_share(self, tokens: int) -> float:
        """Of the time of a pass over so many computed tokens."""
        return self._share.at(max(1.0, tokens / self._num_ranks))[0]

    def budget_range(self, token_budget: int, longest_tokens: int, full_ns: int) -> BudgetRange:
        """For passes of `token_budget` tokens, `full_ns` long, that attend to `longest_tokens` each."""
        pairs = token_budget * longest_tokens
        passes = [self._at(level, full_ns, token_budget, pairs) for level in (0, -1)]
        watts = [one.joules / (one.length_ns * 1e-9) for one in passes]
        return range_of(self.levels[-1].draw, *watts)


class DecodeThrottle:
    """Of the decode instance of `point`."""

    def __init__(self, point: DecodePoint) -> None:
        self.levels = decode_levels(point)
        self._num_ranks = point.num_ranks
        dies = point.chip.num_dies.count

        def clock_bound_share(requests: float) -> tuple[float]:
            load = replace(point, batch_per_npu=max(1, round(requests)) * dies)
            step = decode_step(load)
            return (min(1.0, decode_work(load, is_split=step.is_split).clock_bound_s / step.step.seconds),)

        self._share = GeometricGrid(clock_bound_share, 1.0, 512.0)

    def clock(self, budget_w: float, loads: tuple[StepLoad, ...]) -> StepClock:
        """For steps whose watts are nowhere above those at the highest of `loads`, all of as many sequences.

        `budget_w` is above what the instance draws idle.
        """
        share = self.clock_bound_share(loads[0].sequences)

        def watts(level: int) -> float:
            return max(_step_watts(self.levels[level], load, stretch_at(share, CLOCKS[level])) for load in loads)

        budget_w *= 1.0 - SLACK
        level = highest_level(watts, budget_w)
        if level is not None:
            return StepClock(whole_stretch(stretch_at(share, CLOCKS[level])), self.levels[level])
        least = self.levels[0]
        pauses, draw = paused(least.draw, watts(0), budget_w)
        return StepClock(whole_stretch(stretch_at(share, CLOCKS[0]) * pauses), replace(least, draw=draw))

    def clock_bound_share(self, sequences: int) -> float:
        """Of the time of a step over so many sequences."""
        return self._share.at(max(1.0, sequences / self._num_ranks))[0]

    def budget_range(self, load: StepLoad) -> BudgetRange:
        """For instances that are as full as `load`."""
        share = self.clock_bound_share(load.sequences)
        watts = [_step_watts(self.levels[level], load, stretch_at(share, CLOCKS[level])) for level in (0, -1)]
        return range_of(self.levels[-1].draw, *watts)


def stretched_ps(full_ps: int, stretch: int) -> int:
    """So many times as long, in units of 2**-`STRETCH_BITS`, rounded up."""
    return -(-full_ps * stretch >> STRETCH_BITS)


def stretch_at(share: float, clock: float) -> float:
    """How many times as long work takes of which that share is bound by the clock."""
    return share / clock + (1.0 - share)


def whole_stretch(stretch: float) -> int:
    """In units of 2**-`STRETCH_BITS`, rounded up."""
    return ceil(stretch * (1 << STRETCH_BITS))


def _step_watts(energy: DecodePower, load: StepLoad, stretch: float) -> float:
    length_s = load.length_ps * stretch * 1e-12
    work_j = energy.step_j + energy.sequence_j * load.sequences + energy.kv_token_j * load.kv_tokens
    return min(energy.draw.cap_w, energy.draw.floor_w + work_j / length_s)


def paused(draw: Draw, least_w: float, budget_w: float) -> tuple[float, Draw]:
    """Where even the least clock, at which work draws `least_w`, does not keep the budget: how many times as long work
    takes with the pauses that do, and what it draws. Pauses count as busy time, so that floor and cap are means over
    work and pauses."""
    pauses = (least_w - draw.idle_w) / (budget_w - draw.idle_w)

    def mean_w(watts: float) -> float:
        return draw.idle_w + (watts - draw.idle_w) / pauses

    return pauses, Draw(draw.idle_w, mean_w(draw.floor_w), mean_w(draw.cap_w))


def highest_level(watts: Callable[[int], float], budget_w: float) -> int | None:
    """The highest level within the budget; watts never fall from level to level."""
    top = len(CLOCKS) - 1
    if watts(top) <= budget_w:
        return top
    return bisect_right(range(top), budget_w, key=watts) - 1 if watts(0) <= budget_w else None


def range_of(draw: Draw, least_w: float, full_w: float) -> BudgetRange:
    """Of an instance whose heaviest work draws so much at the least clock and at the full one."""
    floor_w = max(least_w, draw.idle_w + MARGIN_SHARE.value * (draw.cap_w - draw.idle_w))
    return BudgetRange(ceil(floor_w), ceil(max(floor_w, min(draw.cap_w, full_w))))
