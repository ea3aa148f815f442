"""Scaling to the latency limits, in the manner of Dynamo's planner, with what went wrong there taken care of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from scheduler.policies.registry import scaling_policy
from scheduler.policies.scaling.estimates import Demand, PrefillPace, RoleLoad, demand, role_loads
from scheduler.policies.scaling.parts import CalmByRole, require_below_1, there, whole, within
from scheduler.policies.scaling_view import ScalingSample, ScalingView, Wanted

MAX_CORRECTION: Final = 20.0
"""Beyond it waits are no matter of use."""

NOTHING_KNOWN: Final = "too little is known yet"


@scaling_policy(
    "sla",
    formula="prefill ceil(tokens/s / (use * pace)), own + c * wait(use) <= TTFT; decode ceil(tokens/s / pace at TPOT)",
    source="NVIDIA Dynamo planner: predicted load, corrected by what was seen, N/(N-1) check, cool-down",
)
class Sla:
    """As many as hold the limits for the load that is to come when they are there.

    The use that a prefill instance may have follows from its wait, c * (use / (1 - use)) * service / 2, and from the
    correction c, by how much waits were longer than that. Decode instances make as many tokens as they can within the
    limit. Aggregated instances need whichever is more, where their steps get longer with the prompts that come with
    each output token. It goes down by one at a time, if what is left would have held `down_margin` of the limits
    throughout `cool_down_s` with a share `rest` to spare (the N/(N-1) check), nothing is under way and nobody waits too
    long.
    """

    def __init__(
        self,
        window_s: float = 180.0,
        lead_s: float = 60.0,
        margin: float = 0.9,
        down_margin: float = 0.7,
        rest: float = 0.2,
        cool_down_s: float = 480.0,
    ) -> None:
        require_below_1(rest=rest)
        self._window_s = window_s
        self._lead_s = lead_s
        self._margin = margin
        self._down_margin = down_margin
        self._rest = rest
        self._cool_down_s = cool_down_s
        self._limits_s = 0.0, 0.0
        self._calm = CalmByRole(self._for_less)

    def wanted(self, view: ScalingView) -> Wanted:
        """Of each role by itself."""
        self._limits_s = view.ttft_limit_s, view.tpot_limit_s
        needed, reason = self._needs(view.samples, self._margin)
        return Wanted({role: self._count(view, role, count) for role, count in needed.items()}, reason)

    def _count(self, view: ScalingView, role: str, needed: float) -> int:
        now = view.now.roles[role]
        have, most = there(now), view.roles[role].most
        if needed > have:
            return most if needed >= most else whole(needed)
        if now.starting or now.draining or view.now.late_requests:
            return have
        most_needed = self._calm.most(role, view.samples, self._cool_down_s) / (1.0 - self._rest)
        return have - 1 if most_needed <= have - 1 else have

    def _for_less(self, role: str, samples: Sequence[ScalingSample]) -> float:
        return self._needs(samples, self._down_margin)[0].get(role, inf)

    def _needs(self, samples: Sequence[ScalingSample], margin: float) -> tuple[Mapping[str, float], str]:
        """Instances of each role, without end if no number would do, and none of any if too little is known; and
        why."""
        comes = demand(samples, self._window_s, self._lead_s)
        loads = role_loads(samples, comes)
        if comes is None or loads is None:
            return {}, NOTHING_KNOWN
        corrections = [
            self._correction(samples, role, comes, load.prefill) for role, load in loads.items() if load.prefill
        ]
        needs = {role: self._need(samples, role, comes, load, margin) for role, load in loads.items()}
        told = f"{comes.prefill_tokens_per_s:,.0f} prompt and {comes.decode_tokens_per_s:,.0f} output tokens/s to come"
        of_roles = " and ".join(f"{need:.2f} {role}" for role, need in needs.items())
        return needs, f"{told}, for {of_roles}, waits {max(corrections):.1f} times the model's"

    def _need(self, samples: Sequence[ScalingSample], role: str, comes: Demand, load: RoleLoad, margin: float) -> float:
        """For its prompts or for its outputs, whichever is more."""
        ttft_s, tpot_s = self._limits_s
        prefill = decode = 0.0
        pace = load.prefill
        if pace is not None:
            use = _prefill_use(margin * ttft_s, self._correction(samples, role, comes, pace), comes, pace)
            now = samples[-1].roles[role]
            # What waits beyond half of the limit is to be worked off within an interval.
            usual = there(now) * pace.tokens_per_s * margin * ttft_s / 2
            backlog = max(0.0, now.prompts.backlog_tokens - usual) / samples[-1].length_s
            prefill = (load.prefill_tokens_per_s + backlog) / (use * pace.tokens_per_s) if use else inf
        if load.decode is not None:
            limit_s = margin * tpot_s / self._pace_correction(samples, role)
            made = load.decode.tokens_per_s(limit_s, comes.context_tokens)
            decode = load.decode_tokens_per_s / made if made else inf
        return max(prefill, decode)

    def _correction(self, samples: Sequence[ScalingSample], role: str, comes: Demand, pace: PrefillPace) -> float:
        """By how much waits were longer than the model has them, at least 1: what comes in bursts waits longer."""
        seen, modelled = 0.0, 0.0
        for sample in within(samples, self._window_s):
            use = min(0.95, sample.roles[role].prompts.busy_share)
            seen += sample.first_tokens * max(0.0, sample.ttft_s - pace.pass_s)
            modelled += sample.first_tokens * _wait_s(use, comes, pace)
        return max(1.0, min(MAX_CORRECTION, seen / modelled)) if modelled else 1.0

    def _pace_correction(self, samples: Sequence[ScalingSample], role: str) -> float:
        """By how much requests waited longer between tokens than steps took in the mean, at least 1: where steps
        compute prompts too, a request of few tokens may be there for just the long ones."""
        seen, modelled = 0.0, 0.0
        for sample in within(samples, self._window_s):
            outputs = sample.roles[role].outputs
            if outputs.mixed_steps:
                seen += sample.paced_requests * sample.tpot_s
                modelled += sample.paced_requests * outputs.step_s
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
