"""How an aggregated instance keeps a budget of watts: runs of steps over sequences as a decode instance does, and each
step that computes prompts by itself.

Such a step reads weights once for both of its parts, which shortens what memory binds: what the clock binds of it is
the sum of what it binds of the parts alone.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.instance.clock_levels import CLOCKS
from sim_hw.instance.power import AggregatedPower
from sim_hw.instance.throttle import (
    SLACK,
    BudgetRange,
    DecodeThrottle,
    PrefillThrottle,
    StepLoad,
    highest_level,
    paused,
    range_of,
    stretch_at,
    whole_stretch,
)


class MixedLoad(Struct, frozen=True):
    """A step that computes prompts, beside sequences or not, at the full clock: its time, that of its two parts alone,
    and what all dies have to do."""

    length_ps: int
    prefill_ps: int
    decode_ps: int
    computed_tokens: int
    attention_pairs: int
    sequences: int
    kv_tokens: int


class MixedClock(Struct, frozen=True):
    """How steps of an aggregated instance run: as of `StepClock`."""

    stretch: int
    energy: AggregatedPower


class MixedThrottle:
    """Of the aggregated instance whose parts these are."""

    def __init__(self, decode: DecodeThrottle, prefill: PrefillThrottle) -> None:
        self._decode = decode
        self._prefill = prefill
        self._levels = [AggregatedPower(*parts) for parts in zip(decode.levels, prefill.levels, strict=True)]

    def clock(self, budget_w: float, loads: tuple[StepLoad, ...]) -> MixedClock:
        """For steps without prompts, as of a decode instance."""
        clock = self._decode.clock(budget_w, loads)
        return MixedClock(clock.stretch, AggregatedPower(clock.energy, self._prefill.levels[-1]))

    def mixed_clock(self, budget_w: float, load: MixedLoad) -> MixedClock:
        """For one step that computes prompts.

        `budget_w` is above what the instance draws idle.
        """
        share = self._share(load)

        def watts(level: int) -> float:
            return self._watts(level, load, share)

        budget_w *= 1.0 - SLACK
        level = highest_level(watts, budget_w)
        if level is not None:
            return MixedClock(whole_stretch(stretch_at(share, CLOCKS[level])), self._levels[level])
        least = self._levels[0]
        pauses, draw = paused(least.decode.draw, watts(0), budget_w)
        energy = replace(least, decode=replace(least.decode, draw=draw))
        return MixedClock(whole_stretch(stretch_at(share, CLOCKS[0]) * pauses), energy)

    def budget_range(self, steps: StepLoad, heaviest: tuple[MixedLoad, ...]) -> BudgetRange:
        """For instances that are as full as `steps`, and whose steps with prompts draw no more than one of these."""
        of_steps, draw = self._decode.budget_range(steps), self._levels[-1].decode.draw
        least_w, full_w = (
            max(self._watts(level, load, self._share(load)) for load in heaviest) for level in (0, len(CLOCKS) - 1)
        )
        return range_of(draw, max(of_steps.floor_w, least_w), max(of_steps.peak_w, full_w))

    def _share(self, load: MixedLoad) -> float:
        bound_ps = self._prefill.clock_bound_share(load.computed_tokens) * load.prefill_ps
        if load.sequences:
            bound_ps += self._decode.clock_bound_share(load.sequences) * load.decode_ps
        return min(1.0, bound_ps / load.length_ps)

    def _watts(self, level: int, load: MixedLoad, share: float) -> float:
        energy = self._levels[level]
        decode, prefill, draw = energy.decode, energy.prefill, energy.decode.draw
        work_j = prefill.pass_j + prefill.token_j * load.computed_tokens + prefill.pair_j * load.attention_pairs
        work_j += decode.sequence_j * load.sequences + decode.kv_token_j * load.kv_tokens
        length_s = load.length_ps * stretch_at(share, CLOCKS[level]) * 1e-12
        return min(draw.cap_w, draw.floor_w + work_j / length_s)
