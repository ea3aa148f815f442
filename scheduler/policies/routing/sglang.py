"""Policies of SGLang's gateway (sgl-project/sglang, `sgl-model-gateway/src/policies/`).

There the match is counted in characters of text, here in tokens of blocks. A decode instance holds no
prompts, so a decode choice sees no match.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.scoring import at_hand_tokens, lowest
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageKind, StageView


@routing_policy(
    "cache_aware",
    formula="load spread > abs and max > rel * min: min load; match > threshold: longest match; else min load",
    source="SGLang cache_aware.rs; defaults of its command line",
    chooses="prefill by match, decode by load",
)
@dataclass(slots=True)
class CacheAware:
    """Longest match while loads are balanced.

    ```
    if max_load - min_load > balance_abs and max_load > balance_rel * min_load: least loaded
    elif longest match / prompt > cache_threshold:                              who holds the longest match
    else:                            least loaded; with `cold_by_tree` who holds least (older versions)
    ```
    """

    context: PolicyContext
    cache_threshold: float = 0.3
    balance_abs: int = 64
    balance_rel: float = 1.5
    cold_by_tree: bool = False
    reason = "cache_aware: longest match while loads are balanced"
    reads = Reads.REQUEST | Reads.OWN_CACHES

    def choose(self, stage: StageView, request: RequestView) -> int:
        """By match or by load."""
        loads, held = stage.outstanding_requests, request.held_tokens
        least, most = min(loads), max(loads)
        if self.context.stage is StageKind.DECODE or (
            most - least > self.balance_abs and most > self.balance_rel * least
        ):
            return loads.index(least)
        longest = max(held)
        if longest > self.cache_threshold * request.total_tokens:
            return held.index(longest)
        return lowest(stage.cached_blocks) if self.cold_by_tree else loads.index(least)


@routing_policy(
    "lmetric",
    formula="min (prompt - match) * (load + 1)",
    source="SGLang lmetric.rs",
)
@dataclass(slots=True)
class LMetric:
    """Least product of new work and load: `(prompt - match) * (outstanding requests + 1)`.

    Ties go by load, then by new work, then by index.
    """

    context: PolicyContext
    reason = "lmetric: least new work times load"
    reads = Reads.REQUEST | Reads.OWN_CACHES

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the least product."""
        total = request.total_tokens
        rows = [
            ((total - matched) * (load + 1), load, total - matched)
            for load, matched in zip(stage.outstanding_requests, at_hand_tokens(request))
        ]
        return rows.index(min(rows))

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        """The products."""
        total, loads = request.total_tokens, stage.outstanding_requests
        return [(total - matched) * (load + 1) for load, matched in zip(loads, at_hand_tokens(request))]
