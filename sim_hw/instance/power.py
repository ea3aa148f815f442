"""Joules of a whole instance from integer totals of its work, so that they do not depend on how work was grouped.

Watts are those of `chip_power`, which is linear in work: a floor while anything runs, and so much for each second of
arithmetic and of memory traffic at peak (`work`). docs/validation.md holds them against what services draw.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import power_fit
from sim_hw.operators.layout import tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.power.chip_power import CAP_SHARE, PREFILL_FACTOR
from sim_hw.power.clock_scaling import floor_w, operation_energy
from sim_hw.steps.prefill_pass import PassTokens
from sim_hw.steps.work import Work, decode_work, pass_work


class Draw(Struct, frozen=True):
    """Of all NPUs of an instance."""

    idle_w: float
    """With the model loaded."""
    floor_w: float
    """While anything runs."""
    cap_w: float


class PrefillPower(Struct, frozen=True):
    """Joules of one prefill instance, all its NPUs together; those of work are above the floor."""

    draw: Draw
    pass_j: float
    """Per pass: weights are read."""
    token_j: float
    """Per computed token."""
    pair_j: float
    """Per (query, key) pair."""

    def joules(self, *, busy_ns: int, passes: int, computed_tokens: int, attention_pairs: int, idle_ns: int) -> float:
        """Of a span from its totals; additive as long as the cap does not bind.

        Handling of cached tokens draws the floor.
        """
        draw, busy_s = self.draw, busy_ns * 1e-9
        active_j = (
            draw.floor_w * busy_s
            + self.pass_j * passes
            + self.token_j * computed_tokens
            + self.pair_j * attention_pairs
        )
        if active_j > draw.cap_w * busy_s:
            active_j = draw.cap_w * busy_s
        return draw.idle_w * idle_ns * 1e-9 + active_j


class DecodePower(Struct, frozen=True):
    """Joules of one decode instance, all its NPUs together; those of work are above the floor."""

    draw: Draw
    step_j: float
    """Per step: weights are read, by each die once."""
    sequence_j: float
    """Per sequence and step: its token rows through all weights."""
    kv_token_j: float
    """Per KV token and step: read once, attended by each row."""

    def joules(self, *, busy_ns: int, steps: int, sequence_steps: int, kv_token_steps: int, idle_ns: int) -> float:
        """Of a span from its totals over all dies: sequences and KV tokens, each summed over the steps.

        Additive as long as the cap does not bind.
        """
        draw, busy_s = self.draw, busy_ns * 1e-9
        active_j = (
            draw.floor_w * busy_s
            + self.step_j * steps
            + self.sequence_j * sequence_steps
            + self.kv_token_j * kv_token_steps
        )
        if active_j > draw.cap_w * busy_s:
            active_j = draw.cap_w * busy_s
        return draw.idle_w * idle_ns * 1e-9 + active_j


class AggregatedPower(Struct, frozen=True):
    """Joules of one aggregated instance, all its NPUs together: of its two parts, whose draw is the same."""

    decode: DecodePower
    prefill: PrefillPower

    def joules(
        self,
        *,
        busy_ns: int,
        steps: int,
        sequence_steps: int,
        kv_token_steps: int,
        passes: int,
        computed_tokens: int,
        attention_pairs: int,
        idle_ns: int,
    ) -> float:
        """Of a span from its totals: `steps` in which nothing but sequences ran, and `passes` in which prompts were
        computed, beside sequences or not: of either, weights are read once. Additive as long as the cap does not
        bind."""
        draw, busy_s, decode, prefill = self.decode.draw, busy_ns * 1e-9, self.decode, self.prefill
        active_j = (
            draw.floor_w * busy_s
            + decode.step_j * steps
            + decode.sequence_j * sequence_steps
            + decode.kv_token_j * kv_token_steps
            + prefill.pass_j * passes
            + prefill.token_j * computed_tokens
            + prefill.pair_j * attention_pairs
        )
        if active_j > draw.cap_w * busy_s:
            active_j = draw.cap_w * busy_s
        return draw.idle_w * idle_ns * 1e-9 + active_j


def prefill_power(point: PrefillPoint, clock: float = 1.0) -> PrefillPower:
    """For the instance of `point`, whatever load that names, at a share of the full clock (above 0, at most 1).

    Joules are given the time that passes and work take at that clock (`sim_hw.power.clock_scaling`).
    """
    ranks = tensor_ranks(point) * point.pp

    def joules(computed: float, pairs: float) -> float:
        work = pass_work(point, PassTokens(computed, 0.0, pairs))
        return _joules_per_die(point.chip, replace(work, compute_s=PREFILL_FACTOR.value * work.compute_s), clock)

    # Ranks that share a layer do so with each token, and so do stages: each of them works for it.
    many = 1e6
    token_j = (joules(2 * many, 0.0) - joules(many, 0.0)) / many
    pair_j = (joules(many, many) - joules(many, 0.0)) / many
    pass_j = joules(many, 0.0) - many * token_j
    return PrefillPower(
        _draw(point.chip, point.num_npus, clock), point.num_ranks * pass_j, ranks * token_j, ranks * pair_j
    )


def decode_power(point: DecodePoint, clock: float = 1.0) -> DecodePower:
    """As `prefill_power`."""
    dies = point.chip.num_dies.count

    def joules(requests: int, context_tokens: int) -> float:
        load = replace(point, batch_per_npu=requests * dies, context_tokens=context_tokens)
        return _joules_per_die(point.chip, decode_work(load, is_split=False), clock)

    one = joules(1, 0)
    sequence_j = joules(2, 0) - one
    kv_token_j = joules(1, 1) - one
    return DecodePower(
        _draw(point.chip, point.num_npus, clock), point.num_ranks * (one - sequence_j), sequence_j, kv_token_j
    )


def _draw(chip: Chip, num_npus: int, clock: float) -> Draw:
    cap_w = CAP_SHARE.value * chip.tdp_w.value
    return Draw(num_npus * chip.waiting_w, num_npus * floor_w(chip, clock), num_npus * cap_w)


def _joules_per_die(chip: Chip, work: Work, clock: float) -> float:
    """Above the floor, of one die for work that it shares with the others of its package in equal parts."""
    fit = power_fit(chip)
    span_w = (1.0 - fit.floor_share.value) * chip.tdp_w.value / chip.num_dies.value
    operations_s = fit.flop_coefficient.value * operation_energy(clock) * work.compute_s
    return span_w * (operations_s + fit.hbm_coefficient.value * work.memory_s)
