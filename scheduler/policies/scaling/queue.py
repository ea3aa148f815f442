"""Scaling by what waits, with a stable and a panic window, as the Knative Pod Autoscaler does it."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.estimates import prefill_pace
from scheduler.policies.scaling.parts import most_wanted, require_above_0, require_below_1, there, whole, within
from scheduler.policies.scaling_view import DECODE, ScalingSample, ScalingView, Wanted


@scaling_policy(
    "queue",
    formula="ceil(mean work / target per instance) over stable_s, or over panic_s if that is panic_ratio * have",
    source="Knative KPA as in AIBrix: 180 s and 60 s, panic at 2.0, tolerance 0.1, rate 2, cool-down 300 s",
)
class Queue:
    """Work is, for prefill, the seconds that one instance would need for all outstanding prompt tokens; for decode the
    KV of all that runs and waits, as a share of that of one instance.

    In panic, and as long as `stable_s` has not passed since, nothing goes down. In one step no role becomes more than
    `rate` times as large or small.
    """

    def __init__(
        self,
        prefill_wait_s: float = 0.4,
        decode_kv: float = 0.6,
        stable_s: float = 180.0,
        panic_s: float = 60.0,
        panic_ratio: float = 2.0,
        tolerance: float = 0.1,
        rate: float = 2.0,
        cool_down_s: float = 300.0,
    ) -> None:
        require_below_1(tolerance=tolerance)
        require_above_0(prefill_wait_s=prefill_wait_s, decode_kv=decode_kv, panic_ratio=panic_ratio, rate=rate)
        self._prefill_wait_s = prefill_wait_s
        self._decode_kv = decode_kv
        self._stable_s = stable_s
        self._panic_s = panic_s
        self._panic_ratio = panic_ratio
        self._tolerance = tolerance
        self._rate = rate
        self._cool_down_s = cool_down_s

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        pace = prefill_pace(view.samples)
        instances: dict[str, int] = {}
        reasons: list[str] = []
        for role in view.roles:
            have = there(view.now.roles[role])
            if role != DECODE and pace is None:
                instances[role] = have
                reasons.append(f"{role}: nothing is known of its pace")
                continue
            each = self._decode_kv if role == DECODE else self._prefill_wait_s * (pace.tokens_per_s if pace else 1.0)
            instances[role], reason = self._of_role(view, role, have, each)
            reasons.append(f"{role}: {reason}")
        return Wanted(instances, ", ".join(reasons))

    def _of_role(self, view: ScalingView, role: str, have: int, each: float) -> tuple[int, str]:
        def work(samples: Sequence[ScalingSample], window_s: float) -> float:
            window = within(samples, window_s)
            return sum(_work(role, sample) for sample in window) / len(window) / each

        def is_panic(samples: Sequence[ScalingSample]) -> bool:
            had = there(samples[-1].roles[role])
            return bool(had) and work(samples, self._panic_s) >= self._panic_ratio * had

        def without_rest(samples: Sequence[ScalingSample]) -> int:
            # What is left must not be told to grow again at once.
            return whole(work(samples, self._stable_s) / (1.0 - self._tolerance))

        samples = view.samples
        stable, panic = work(samples, self._stable_s), work(samples, self._panic_s)
        first = len(samples) - len(within(samples, self._stable_s))
        told = f"work for {stable:.2f} of {have}, lately {panic:.2f}"
        if any(is_panic(samples[: end + 1]) for end in range(first, len(samples))):
            return max(have, min(whole(panic), int(self._rate * have))), f"{told}, panic"
        if have and abs(stable / have - 1.0) <= self._tolerance:
            return have, told
        count = whole(stable)
        if count > have:
            return min(count, max(have + 1, int(self._rate * have))), told
        count = most_wanted(view, self._cool_down_s, without_rest, have)
        return max(count, whole(have / self._rate)), told


def _work(role: str, sample: ScalingSample) -> float:
    """Prompt tokens, or the KV of how many instances is taken or waited for."""
    one = sample.roles[role]
    if role != DECODE:
        return one.outstanding_tokens
    return one.outstanding_tokens * one.serving / one.kv_capacity_tokens if one.kv_capacity_tokens else 0.0
