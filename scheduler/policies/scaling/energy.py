"""Scaling by the price of energy: the fewer instances, the dearer it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.estimates import demand, role_loads
from scheduler.policies.scaling.parts import CalmByRole, require_above_0, require_below_1, there, whole
from scheduler.policies.scaling_view import COMPUTING, ScalingSample, ScalingView, Wanted


@scaling_policy(
    "energy",
    formula="ceil(load / (use * pace)), use from cheap_use to dear_use as the price of energy is from least to most",
    source="own; fewer and fuller instances within the limits as DynamoLLM (HPCA 2025), by the price of the hour",
)
class Energy:
    """An instance that waits draws a good part of what one at work does, so that fewer and fuller ones need less energy
    for the same work; that leaves less room for bursts, which is worth it when energy is dear.

    `load` is that of the last `window_s`, of an aggregated instance that of its prompts or of its outputs, whichever is
    more. While requests wait for longer than their limit nothing goes down, and who computes prompts goes up by one at
    least. It goes down only to what would have had a share `rest` to spare throughout `cool_down_s`.
    """

    def __init__(
        self,
        cheap_use: float = 0.4,
        dear_use: float = 0.7,
        window_s: float = 180.0,
        lead_s: float = 60.0,
        tolerance: float = 0.1,
        rest: float = 0.2,
        cool_down_s: float = 480.0,
    ) -> None:
        require_above_0(cheap_use=cheap_use, dear_use=dear_use)
        require_below_1(rest=rest)
        self._cheap_use = cheap_use
        self._dear_use = dear_use
        self._window_s = window_s
        self._lead_s = lead_s
        self._tolerance = tolerance
        self._rest = rest
        self._cool_down_s = cool_down_s
        self._tpot_limit_s = 0.0
        self._calm = CalmByRole(lambda role, samples: self._loads(samples).get(role, inf))

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        self._tpot_limit_s = view.tpot_limit_s
        loads, use = self._loads(view.samples), self._use(view)
        if not loads or inf in loads.values():
            return Wanted({}, "too little is known yet")
        instances = {role: self._count(view, role, load, use) for role, load in loads.items()}
        told = f"{view.now.usd_per_kwh:.3g} USD/kWh, so a use of {use:.2f}"
        of_roles = " and ".join(f"{load:.2f} {role}" for role, load in loads.items())
        return Wanted(instances, f"{told}: work for {of_roles}")

    def _loads(self, samples: Sequence[ScalingSample]) -> Mapping[str, float]:
        """Instances of each role that would do, were each at work all the time, without end if none would; empty where
        too little is known yet."""
        comes = demand(samples, self._window_s, self._lead_s)
        loads = role_loads(samples, comes)
        if comes is None or loads is None:
            return {}
        found: dict[str, float] = {}
        for role, load in loads.items():
            prefill = decode = 0.0
            if load.prefill is not None:
                prefill = load.prefill_tokens_per_s / load.prefill.tokens_per_s
            if load.decode is not None:
                made = load.decode.tokens_per_s(self._tpot_limit_s, comes.context_tokens)
                decode = load.decode_tokens_per_s / made if made else inf
            found[role] = max(prefill, decode)
        return found

    def _use(self, view: ScalingView) -> float:
        least, most = view.usd_per_kwh
        dear = (view.now.usd_per_kwh - least) / (most - least) if most > least else 0.5
        return self._cheap_use + (self._dear_use - self._cheap_use) * dear

    def _count(self, view: ScalingView, role: str, load: float, use: float) -> int:
        have, most, is_late = there(view.now.roles[role]), view.roles[role].most, bool(view.now.late_requests)
        needed = min(load / use, most)
        if is_late and role in COMPUTING:
            return max(whole(needed), have + 1)
        if needed > have * (1.0 + self._tolerance):
            return whole(needed)
        left = self._calm.most(role, view.samples, self._cool_down_s) / (use * (1.0 - self._rest))
        return have if is_late or left > have else min(have, whole(left))
