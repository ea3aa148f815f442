"""Fewest running requests: the routing policy of the exercise, as it would stand in `scheduler/policies/routing/`."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies import routing_policy
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageView


@routing_policy(
    "least_running",
    formula="min running + outstanding_weight * outstanding requests",
    source="the exercise of CONTRIBUTING.md",
)
@dataclass(slots=True)
class LeastRunning:
    """Least `running + outstanding_weight * outstanding` requests; the lowest index wins a tie."""

    context: PolicyContext
    outstanding_weight: float = 0.5
    reason = "least_running: fewest requests that run or wait to"
    reads = Reads.REPORTS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the least sum."""
        pairs = zip(stage.running_requests, stage.outstanding_requests)
        sums = [running + self.outstanding_weight * outstanding for running, outstanding in pairs]
        return sums.index(min(sums))
