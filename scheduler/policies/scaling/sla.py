"""Scaling to the latency limits, in the manner of Dynamo's planner, with what went wrong there taken care of."""

from __future__ import annotations

from math import inf
from typing import Final

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.estimates import Demand, PrefillPace, decode_pace, demand, prefill_pace
from scheduler.policies.scaling.parts import changed_within, there, whole
from scheduler.policies.scaling_view import DECODE, PREFILL, ScalingView, Wanted

MAX_CORRECTION: Final = 20.0
"""Beyond it waits are no matter of use."""


@scaling_policy(
    "sla",
    formula="prefill ceil(tokens/s / (use * pace)), own + c * wait(use) <= TTFT; decode ceil(tokens/s / pace at TPOT)",
    source="NVIDIA Dynamo planner: predicted load, corrected by what was seen, N/(N-1) check, cool-down",
)
class Sla:
    """As many as hold the limits for the load that is to come when they are there.

    The use that a prefill instance may have follows from its wait, c * (use / (1 - use)) * service / 2, and from the
    correction c, by how much waits were longer than that. Decode instances make as many tokens as they can within the
    limit. It goes down by one at a time, if what is left would hold `down_margin` of the limits (the N/(N-1) check),
    nothing is under way and nobody waits too long, and `cool_down_s` after the last change at the earliest.
    """

    def __init__(
        self,
        window_s: float = 180.0,
        lead_s: float = 60.0,
        margin: float = 0.9,
        down_margin: float = 0.7,
        cool_down_s: float = 180.0,
    ) -> None:
        self._window_s = window_s
        self._lead_s = lead_s
        self._margin = margin
        self._down_margin = down_margin
        self._cool_down_s = cool_down_s

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        comes, pace = demand(view, self._window_s, self._lead_s), prefill_pace(view.samples)
        steps = decode_pace(view.samples)
        if comes is None or pace is None or steps is None:
            return Wanted({}, "too little is known yet")
        correction = self._correction(view, comes, pace)

        def prefill(margin: float) -> float:
            use = _prefill_use(margin * view.ttft_limit_s, correction, comes, pace)
            backlog = view.now.roles[PREFILL].outstanding_tokens / view.interval_s
            return (comes.prefill_tokens_per_s + backlog) / (use * pace.tokens_per_s) if use else inf

        def decode(margin: float) -> float:
            made = steps.tokens_per_s(margin * view.tpot_limit_s, comes.context_tokens)
            return comes.decode_tokens_per_s / made if made else inf

        needs = {PREFILL: prefill, DECODE: decode}
        instances = {
            role: self._count(view, role, needs[role](self._margin), needs[role](self._down_margin))
            for role in view.roles
            if role in needs
        }
        told = f"{comes.prefill_tokens_per_s:,.0f} prompt and {comes.decode_tokens_per_s:,.0f} output tokens/s to come"
        reason = f"{told}, for {prefill(self._margin):.2f} prefill and {decode(self._margin):.2f} decode"
        return Wanted(instances, f"{reason}, waits {correction:.1f} times the model's")

    def _count(self, view: ScalingView, role: str, needed: float, needed_for_less: float) -> int:
        now = view.now.roles[role]
        have, most = there(now), view.roles[role].most
        if needed > have:
            return most if needed >= most else whole(needed)
        if now.starting or now.draining or changed_within(view, role, self._cool_down_s) or view.now.late_requests:
            return have
        return have - 1 if needed_for_less <= have - 1 else have

    def _correction(self, view: ScalingView, comes: Demand, pace: PrefillPace) -> float:
        """By how much waits were longer than the model has them, at least 1: what comes in bursts waits longer."""
        seen, modelled = 0.0, 0.0
        for sample in view.last(self._window_s):
            role = sample.roles[PREFILL]
            if not sample.first_tokens:
                continue
            use = min(0.95, role.busy_share)
            seen += sample.first_tokens * max(0.0, sample.ttft_s - pace.pass_s)
            modelled += sample.first_tokens * _wait_s(use, comes, pace)
        return max(1.0, min(MAX_CORRECTION, seen / modelled)) if modelled else 1.0


def _wait_s(use: float, comes: Demand, pace: PrefillPace) -> float:
    """In front of an instance that works for a share of the time: that of a queue with service of fixed length."""
    return comes.prompt_tokens / pace.tokens_per_s / 2 * use / (1.0 - use)


def _prefill_use(limit_s: float, correction: float, comes: Demand, pace: PrefillPace) -> float:
    """The share of time for which an instance may work so that mean waits keep a limit; 0 if none does."""
    slack_s = limit_s - pace.pass_s
    if slack_s <= 0:
        return 0.0
    half_s = correction * comes.prompt_tokens / pace.tokens_per_s / 2
    return slack_s / (slack_s + half_s)
