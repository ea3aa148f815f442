"""Scaling by utilisation, as the Horizontal Pod Autoscaler of Kubernetes does it."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.parts import most_wanted, require_above_0, require_below_1, there, whole, within
from scheduler.policies.scaling_view import DECODE, RoleSample, ScalingSample, ScalingView, Wanted


@scaling_policy(
    "threshold",
    formula="ceil(instances in use / target) unless within tolerance; down to the most of the last down_window_s",
    source="Kubernetes HorizontalPodAutoscaler: ceil(current * metric / target), tolerance 0.1, stabilisation 300 s",
)
class Threshold:
    """As many as bring use back to its target: of prefill the busy share of time, of decode the share of KV, each
    averaged over `use_window_s`. It goes down only to what would be below the target by the tolerance, and `tolerance`
    must be below 1."""

    def __init__(
        self,
        prefill_target: float = 0.6,
        decode_target: float = 0.6,
        tolerance: float = 0.1,
        use_window_s: float = 120.0,
        down_window_s: float = 300.0,
    ) -> None:
        require_below_1(tolerance=tolerance)
        require_above_0(prefill_target=prefill_target, decode_target=decode_target)
        self._prefill_target = prefill_target
        self._decode_target = decode_target
        self._tolerance = tolerance
        self._use_window_s = use_window_s
        self._down_window_s = down_window_s

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        instances: dict[str, int] = {}
        reasons: list[str] = []
        for role in view.roles:
            target = self._decode_target if role == DECODE else self._prefill_target
            have, in_use = there(view.now.roles[role]), self._in_use(view.samples, role)
            instances[role] = self._count(view, role, target, have)
            reasons.append(f"{role} {in_use:.2f} of {have} in use, target {target:g}")
        return Wanted(instances, ", ".join(reasons))

    def _count(self, view: ScalingView, role: str, target: float, have: int) -> int:
        def without_rest(samples: Sequence[ScalingSample]) -> int:
            # What is left must not be told to grow again at once.
            return whole(self._in_use(samples, role) / (target * (1.0 - self._tolerance)))

        if not have or abs(self._in_use(view.samples, role) / (have * target) - 1.0) <= self._tolerance:
            return have
        count = whole(self._in_use(view.samples, role) / target)
        return count if count > have else most_wanted(view, self._down_window_s, without_rest, have)

    def _in_use(self, samples: Sequence[ScalingSample], role: str) -> float:
        """Instances that would do, were each in use all the time."""
        window = [sample.roles[role] for sample in within(samples, self._use_window_s)]
        return sum(_use(role, sample) * sample.serving for sample in window) / len(window)


def _use(role: str, sample: RoleSample) -> float:
    if role != DECODE:
        return sample.busy_share
    return sample.kv_tokens / sample.kv_capacity_tokens if sample.kv_capacity_tokens else 0.0
