"""Ray Serve LLM's router by prefix (ray-project/ray, `llm/_internal/serve/routing_policies/prefix_aware/`)."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.load_based import better_of_two
from scheduler.policies.routing.scoring import lowest
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageKind, StageView


@routing_policy(
    "prefix_affinity",
    formula="load spread > threshold: power of two; match >= 10 %: longest match; else smallest tree",
    source="Ray Serve PrefixCacheAffinityRouter; threshold as its documentation has it",
    chooses="prefill by match, decode by power of two",
)
@dataclass(slots=True)
class PrefixAffinity:
    """Longest match while queues are balanced.

    ```
    if max_queue - min_queue > imbalanced_threshold: power of two choices
    elif longest match / prompt >= match_rate:       who holds the longest match
    else:                                            who holds least
    ```
    A decode choice, which has no match to go by, is power of two choices, Ray's default.
    """

    context: PolicyContext
    imbalanced_threshold: float = 10.0
    match_rate: float = 0.1
    reason = "prefix_affinity: longest match while queues are balanced"
    reads = Reads.REQUEST | Reads.OWN_CACHES

    def choose(self, stage: StageView, request: RequestView) -> int:
        """By match or by two draws."""
        queues, held = stage.outstanding_requests, request.held_tokens
        if self.context.stage is StageKind.DECODE or max(queues) - min(queues) > self.imbalanced_threshold:
            return better_of_two(self.context, stage)
        longest = max(held)
        if longest and longest >= self.match_rate * request.total_tokens:
            return held.index(longest)
        return lowest(stage.cached_blocks)
