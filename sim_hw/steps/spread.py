"""How far a predicted step, pass or collective may be off."""

from __future__ import annotations

from sim_hw.chips.fit import ChipFit
from sim_hw.clusters.supernode import Supernode
from sim_hw.operators.collectives import CollectiveName
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.operators.spread import Spread, spread_of
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.predict import all_to_all_s
from sim_hw.steps.prefill_pass import prefill_pass


def decode_spread(point: DecodePoint) -> Spread:
    """Of the length of a step, its TPOT and its rate."""

    def step_s(fit: ChipFit) -> float:
        return decode_step(point, fit).step.seconds

    return spread_of(point.chip, "decode", step_s, point.model)


def prefill_spread(point: PrefillPoint) -> Spread:
    """Of the length of a pass, its TTFT and its rate."""

    def pass_s(fit: ChipFit) -> float:
        return prefill_pass(point, fit).whole.seconds

    return spread_of(point.chip, "prefill", pass_s, point.model)


def operator_spread(name: CollectiveName, cluster: Supernode, ep: int, tokens_per_rank: int) -> Spread:
    """Of the latency of dispatch or combine as `predict_operator` has it."""

    def latency_s(fit: ChipFit) -> float:
        return all_to_all_s(name, cluster, fit, ep, tokens_per_rank)

    return spread_of(cluster.chip, "operator", latency_s)
