"""Scaling by utilisation, as the Horizontal Pod Autoscaler of Kubernetes does it."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.parts import CalmByRole, require_above_0, require_below_1, there, whole, within
from scheduler.policies.scaling_view import AGGREGATED, DECODE, PREFILL, RoleSample, ScalingSample, ScalingView, Wanted


@scaling_policy(
    "threshold",
    formula="ceil(instances in use / target) unless within tolerance; down to the most of the last down_window_s",
    source="Kubernetes HorizontalPodAutoscaler: ceil(current * metric / target), tolerance 0.1, stabilisation 300 s",
)
class Threshold:
    """As many as bring use back to its target: of prefill the busy share of time, of decode the share of KV or the time
    between tokens over its limit, whichever is more, of aggregated these two and the share of its step budget that
    prompts take, each averaged over `use_window_s`. It goes down only to what would be below the target by the share
    `rest`: fewer instances are slower, and hold what they have for longer."""

    def __init__(
        self,
        prefill_target: float = 0.6,
        decode_target: float = 0.6,
        aggregated_target: float = 0.6,
        tolerance: float = 0.1,
        rest: float = 0.3,
        use_window_s: float = 120.0,
        down_window_s: float = 480.0,
    ) -> None:
        targets = {"prefill_target": prefill_target, "decode_target": decode_target}
        require_above_0(**targets, aggregated_target=aggregated_target)
        require_below_1(rest=rest)
        self._targets = {PREFILL: prefill_target, DECODE: decode_target, AGGREGATED: aggregated_target}
        self._tolerance = tolerance
        self._rest = rest
        self._use_window_s = use_window_s
        self._down_window_s = down_window_s
        self._tpot_limit_s = 0.0
        self._calm = CalmByRole(self._in_use)

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        self._tpot_limit_s = view.tpot_limit_s
        instances: dict[str, int] = {}
        reasons: list[str] = []
        for role, target in self._targets.items():
            if role not in view.roles:
                continue
            have, in_use = there(view.now.roles[role]), self._in_use(role, view.samples)
            instances[role] = self._count(role, view.samples, have, in_use)
            reasons.append(f"{role} {in_use:.2f} of {have} in use, target {target:g}")
        return Wanted(instances, ", ".join(reasons))

    def _count(self, role: str, samples: Sequence[ScalingSample], have: int, in_use: float) -> int:
        target = self._targets[role]
        if in_use > have * target * (1.0 + self._tolerance):
            return whole(in_use / target)
        most = self._calm.most(role, samples, self._down_window_s)
        return min(have, whole(most / (target * (1.0 - self._rest))))

    def _in_use(self, role: str, samples: Sequence[ScalingSample]) -> float:
        """Instances that would do, were each in use all the time."""
        window = [sample.roles[role] for sample in within(samples, self._use_window_s)]
        return sum(self._use(role, sample) * sample.serving for sample in window) / len(window)

    def _use(self, role: str, sample: RoleSample) -> float:
        if role == PREFILL:
            return sample.busy_share
        of_room = sample.kv_tokens / sample.kv_capacity_tokens if sample.kv_capacity_tokens else 0.0
        return max(of_room, sample.outputs.step_s / self._tpot_limit_s, sample.prompts.budget_share)
