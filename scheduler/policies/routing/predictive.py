"""Policies that go by predicted times, learned from reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.scoring import lowest
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageKind, StageView


@routing_policy(
    "mooncake",
    formula="prefill: min predicted queue + prefill time; decode: min predicted TPOT",
    source="Mooncake, FAST 2025, algorithm 1",
)
@dataclass(slots=True)
class Mooncake:
    """Least predicted TTFT: `T_queue + T_prefill(prompt, what is at hand there)`; then least predicted TPOT.

    Algorithm 1 may also plan to fetch a longer match from another instance. Here instances' own caches cannot be read
    by others, and the pool is as far from each, so the time to fetch is the same for all and is left out.
    """

    context: PolicyContext
    reason = "mooncake: least predicted time"
    reads = Reads.REQUEST | Reads.OWN_CACHES | Reads.PREDICTIONS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the least time."""
        return lowest(self.scores(stage, request))

    def scores(self, stage: StageView, request: RequestView) -> Sequence[float]:
        """Predicted nanoseconds: to the first token, or per output token."""
        if self.context.stage is StageKind.DECODE:
            return request.work_ns
        return [backlog + work for backlog, work in zip(request.backlog_ns, request.work_ns)]


@routing_policy(
    "slo_aware",
    formula="prefill: min predicted backlog; decode: the first with predicted TPOT <= target, else the least",
    source="xllm-service SLO_AWARE, managers/instance_mgr.cpp, common/time_predictor.cpp",
)
@dataclass(slots=True)
class SloAware:
    """Least predicted backlog for prefill; the first decode instance that stays within the target, so that they fill
    one after the other, else the one with the least predicted TPOT.

    xllm-service may also send a prompt to a decode instance and change roles; here an instance keeps its role.
    """

    context: PolicyContext
    target_tpot_ms: float = 50.0
    reason = "slo_aware: least backlog, or first within the TPOT target"
    reads = Reads.REQUEST | Reads.PREDICTIONS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """By the rule of the stage."""
        if self.context.stage is StageKind.PREFILL:
            return lowest(request.backlog_ns)
        target_ns = self.target_tpot_ms * 1e6
        within = (index for index, tpot_ns in enumerate(request.work_ns) if tpot_ns <= target_ns)
        return next(within, lowest(request.work_ns))

    def scores(self, stage: StageView, request: RequestView) -> Sequence[float]:
        """Predicted nanoseconds: of the backlog, or per output token."""
        return request.backlog_ns if self.context.stage is StageKind.PREFILL else request.work_ns
