"""xllm-service's cache-aware routing (xLLM-AI/xllm-service, `scheduler/loadbalance_policy/cache_aware_routing.cpp`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.scoring import at_hand_tokens, kv_usages, waiting_requests
from scheduler.policies.view import READS_ALL, PolicyContext, Reads, RequestView, StageView

START: Final = -2.0
"""A score must be above this to be chosen at all."""


@routing_policy(
    "xllm_car",
    formula="max matched / prompt blocks - KV usage - waiting / max waiting",
    source="xllm-service cache_aware_routing.cpp; integer_division=true as it is written there",
)
@dataclass(slots=True)
class XllmCar:
    """Highest `matched blocks / prompt blocks - KV usage - waiting / max waiting`.

    The source divides integers, so that both ratios are 0 or 1; `integer_division` does so too, and then chooses nobody
    if all have the lowest score there can be (no match, no KV left, the longest queue): the core's fallback takes over.
    """

    context: PolicyContext
    integer_division: bool = False
    reason = "xllm_car: most match for least KV used and queue"
    reads = READS_ALL & ~Reads.PREDICTIONS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """The first highest score."""
        scores = self.scores(stage, request)
        best = max(scores)
        return -1 if self.integer_division and best <= START else scores.index(best)

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        """The score of each instance."""
        block, waiting = request.block_tokens, waiting_requests(stage)
        num_blocks, most = -(-request.total_tokens // block), max(waiting) or 1
        matches = [-(-matched // block) for matched in at_hand_tokens(request)]
        columns = zip(matches, kv_usages(stage), waiting)
        if self.integer_division:
            return [matched // num_blocks - usage - number // most for matched, usage, number in columns]
        return [matched / num_blocks - usage - number / most for matched, usage, number in columns]
