"""Scaling by the price of energy: the fewer instances, the dearer it is."""

from __future__ import annotations

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.estimates import decode_pace, demand, prefill_pace
from scheduler.policies.scaling.parts import changed_within, require_above_0, require_below_1, there, whole
from scheduler.policies.scaling_view import DECODE, PREFILL, ScalingView, Wanted


@scaling_policy(
    "energy",
    formula="ceil(load / (use * pace)), use from cheap_use to dear_use as the price of energy is from least to most",
    source="own; fewer and fuller instances within the limits as DynamoLLM (HPCA 2025), by the price of the hour",
)
class Energy:
    """An instance that waits draws a good part of what one at work does, so that fewer and fuller ones need less energy
    for the same work; that leaves less room for bursts, which is worth it when energy is dear.

    `load` is that of the last `window_s`. While requests wait for longer than their limit nothing goes down, and
    prefill goes up by one at least.
    """

    def __init__(
        self,
        cheap_use: float = 0.4,
        dear_use: float = 0.7,
        window_s: float = 180.0,
        lead_s: float = 60.0,
        tolerance: float = 0.1,
        cool_down_s: float = 300.0,
    ) -> None:
        require_below_1(tolerance=tolerance)
        require_above_0(cheap_use=cheap_use, dear_use=dear_use)
        self._cheap_use = cheap_use
        self._dear_use = dear_use
        self._window_s = window_s
        self._lead_s = lead_s
        self._tolerance = tolerance
        self._cool_down_s = cool_down_s

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        comes, pace, steps = (
            demand(view, self._window_s, self._lead_s),
            prefill_pace(view.samples),
            decode_pace(view.samples),
        )
        if comes is None or pace is None or steps is None:
            return Wanted({}, "too little is known yet")
        made = steps.tokens_per_s(view.tpot_limit_s, comes.context_tokens)
        loads = {PREFILL: comes.prefill_tokens_per_s / pace.tokens_per_s}
        loads[DECODE] = comes.decode_tokens_per_s / made if made else view.roles[DECODE].most
        use = self._use(view)
        instances = {role: self._count(view, role, loads[role] / use) for role in view.roles if role in loads}
        told = f"{view.now.usd_per_kwh:.3g} USD/kWh, so a use of {use:.2f}"
        return Wanted(instances, f"{told}: work for {loads[PREFILL]:.2f} prefill and {loads[DECODE]:.2f} decode")

    def _use(self, view: ScalingView) -> float:
        least, most = view.usd_per_kwh
        dear = (view.now.usd_per_kwh - least) / (most - least) if most > least else 0.5
        return self._cheap_use + (self._dear_use - self._cheap_use) * dear

    def _count(self, view: ScalingView, role: str, needed: float) -> int:
        have, most, is_late = there(view.now.roles[role]), view.roles[role].most, bool(view.now.late_requests)
        if is_late and role == PREFILL:
            return max(min(whole(needed), most), have + 1)
        if needed > have * (1.0 + self._tolerance):
            return min(whole(needed), most)
        # What is left must not be told to grow again at once.
        left = whole(needed / (1.0 - self._tolerance))
        return have if is_late or left >= have or changed_within(view, role, self._cool_down_s) else left
