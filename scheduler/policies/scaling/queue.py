"""Scaling by what waits, with a stable and a panic window, as the Knative Pod Autoscaler does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.estimates import DecodePace, Demand, RoleLoad, demand, role_loads
from scheduler.policies.scaling.parts import CalmByRole, require_above_0, require_below_1, there, whole, within
from scheduler.policies.scaling_view import RoleSample, ScalingSample, ScalingView, Wanted


@scaling_policy(
    "queue",
    formula="ceil(load over stable_s / target); in panic, from queues of panic_ratio * target on, ceil(queue / target)",
    source="Knative KPA as in AIBrix: 180 s and 60 s, panic at 2.0, tolerance 0.1, rate 2, cool-down 300 s",
)
class Queue:
    """As many as keep queues at their target, for prefill the time that an instance would need for its outstanding
    prompt tokens, at `wait_share` of the TTFT limit; for decode the sequences at `pace_share` of what it makes within
    the TPOT limit; for aggregated whichever of the two needs more.

    A queue does not grow in proportion: that of half as many instances is more than twice as long. So the load is
    counted that makes a queue so long, by use = wait / (wait + service) for prefill and by the learned line of step
    times for decode. Panic counts queues as they are, if they were so long throughout `panic_s`; as long as `stable_s`
    has not passed since, nothing goes down. In one step no role becomes more than `rate` times as large or small. It
    goes down only to what would have had the share `rest` to spare throughout `cool_down_s`.
    """

    def __init__(
        self,
        wait_share: float = 0.2,
        pace_share: float = 0.8,
        stable_s: float = 180.0,
        panic_s: float = 60.0,
        panic_ratio: float = 2.0,
        tolerance: float = 0.1,
        rest: float = 0.2,
        rate: float = 2.0,
        cool_down_s: float = 480.0,
    ) -> None:
        require_above_0(wait_share=wait_share, pace_share=pace_share, panic_ratio=panic_ratio, rate=rate)
        require_below_1(rest=rest)
        self._wait_share = wait_share
        self._pace_share = pace_share
        self._stable_s = stable_s
        self._panic_s = panic_s
        self._panic_ratio = panic_ratio
        self._tolerance = tolerance
        self._rest = rest
        self._rate = rate
        self._cool_down_s = cool_down_s
        self._targets: dict[str, list[_Target]] = {}
        self._calm = CalmByRole(self._stable)

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        comes = demand(view.samples, self._stable_s, 0.0)
        loads = role_loads(view.samples, comes)
        if comes is None or loads is None:
            return Wanted({}, "too little is known yet")
        self._targets = {role: self._targets_of(view, comes, load) for role, load in loads.items()}
        counts = {role: self._of_role(view, role) for role in self._targets}
        told = ", ".join(f"{role}: {reason}" for role, (_, reason) in counts.items())
        return Wanted({role: count for role, (count, _) in counts.items()}, told)

    def _targets_of(self, view: ScalingView, comes: Demand, load: RoleLoad) -> list[_Target]:
        """Of each kind of work that it does."""
        targets: list[_Target] = []
        if load.prefill is not None:
            pace = load.prefill.tokens_per_s
            targets.append(_PrefillTarget(self._wait_share * view.ttft_limit_s, comes.prompt_tokens / pace, pace))
        if load.decode is not None:
            made = load.decode.tokens_per_s(view.tpot_limit_s, comes.context_tokens)
            targets.append(_DecodeTarget(self._pace_share * made, load.decode))
        return targets

    def _of_role(self, view: ScalingView, role: str) -> tuple[int, str]:
        samples, have = view.samples, there(view.now.roles[role])
        stable, panic = self._stable(role, samples), self._panic(role, samples)
        told = f"load for {stable:.2f} of {have}, queue for {panic:.2f}"
        first = len(samples) - len(within(samples, self._stable_s))
        ends = range(first + 1, len(samples) + 1)
        if any(
            self._panic(role, samples[:end]) >= self._panic_ratio * there(samples[end - 1].roles[role]) for end in ends
        ):
            return max(have, min(whole(panic), int(self._rate * have))), f"{told}, panic"
        if stable > have * (1.0 + self._tolerance):
            return min(whole(stable), max(have + 1, int(self._rate * have))), told
        most = self._calm.most(role, samples, self._cool_down_s)
        return max(min(have, whole(most / (1.0 - self._rest))), whole(have / self._rate)), told

    def _stable(self, role: str, samples: Sequence[ScalingSample]) -> float:
        window = within(samples, self._stable_s)
        return max(
            (sum(target.load(sample.roles[role]) for sample in window) / len(window) for target in self._targets[role]),
            default=0.0,
        )

    def _panic(self, role: str, samples: Sequence[ScalingSample]) -> float:
        """What lasts: one long prompt is no reason to panic."""
        window = within(samples, self._panic_s)
        return max(
            (min(target.queue(sample.roles[role]) for sample in window) for target in self._targets[role]), default=0.0
        )


class _Target(Protocol):
    """How long a queue may be; both count instances that would do."""

    def load(self, sample: RoleSample) -> float: ...

    def queue(self, sample: RoleSample) -> float: ...


class _PrefillTarget:
    def __init__(self, wait_s: float, service_s: float, tokens_per_s: float) -> None:
        self._wait_s = wait_s
        self._service_s = service_s
        self._tokens_per_s = tokens_per_s
        self._use = _use(wait_s, service_s)

    def load(self, sample: RoleSample) -> float:
        if not sample.serving:
            return 0.0
        wait_s = sample.prompts.backlog_tokens / self._tokens_per_s / sample.serving
        return sample.serving * _use(wait_s, self._service_s) / self._use

    def queue(self, sample: RoleSample) -> float:
        return sample.prompts.backlog_tokens / self._tokens_per_s / self._wait_s


class _DecodeTarget:
    def __init__(self, tokens_per_s: float, pace: DecodePace) -> None:
        self._tokens_per_s = max(1e-9, tokens_per_s)
        self._sequences = tokens_per_s * pace.constant_s / max(1e-9, 1.0 - tokens_per_s * pace.sequence_s)
        self._pace = pace

    def load(self, sample: RoleSample) -> float:
        if not sample.serving:
            return 0.0
        each = sample.outputs.num_sequences / sample.serving
        return sample.outputs.num_sequences / self._pace.step_s(each) / self._tokens_per_s

    def queue(self, sample: RoleSample) -> float:
        return sample.outputs.num_sequences / max(1.0, self._sequences)


def _use(wait_s: float, service_s: float) -> float:
    """The share of time for which an instance works in front of which so much waits."""
    return wait_s / (wait_s + service_s) if wait_s else 0.0
