"""NVIDIA Dynamo's KV router (ai-dynamo/dynamo, `docs/components/router/`), its linear cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.scoring import lowest
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageKind, StageView


@routing_policy(
    "dynamo_kv",
    formula="min scale * max(active prefill + prompt - credit * match, 0) + active decode, in KV blocks",
    source="Dynamo KV router, router-concepts.md and router-configuration.md",
)
@dataclass(slots=True)
class DynamoKv:
    """Least cost in KV blocks.

    ```
    adjusted = max(active_prefill_blocks + incoming_blocks - credit * matched_blocks, 0)
    cost     = prefill_load_scale * adjusted + active_decode_blocks + incoming_decode_blocks
    credit   = overlap_credit / (1 + credit_decay * e)
    ```
    e: excess of active prefill blocks over the least loaded / incoming blocks. A prefill instance has no decode blocks,
    a decode instance no prefill blocks. At `temperature` 0 the least cost wins; above, one is drawn by the softmax of
    -cost / temperature, costs scaled to 0..1.
    """

    context: PolicyContext
    overlap_credit: float = 1.0
    prefill_load_scale: float = 1.0
    temperature: float = 0.0
    credit_decay: float = 0.0
    reason = "dynamo_kv: least cost in KV blocks"
    reads = Reads.REQUEST | Reads.OWN_CACHES

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Least cost, or a draw."""
        costs = self.scores(stage, request)
        return lowest(costs) if self.temperature == 0 else self._draw(costs)

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        """Cost of each instance, in blocks."""
        block, active = request.block_tokens, stage.outstanding_tokens
        incoming = request.num_tokens / block
        if self.context.stage is StageKind.DECODE:
            return [tokens / block + incoming for tokens in active]
        scale, credit, least = self.prefill_load_scale, self.overlap_credit, min(active)
        costs: list[float] = []
        for tokens, held in zip(active, request.held_tokens):
            # What the pool has is taken off the incoming tokens already.
            hits = max(0, held - request.cached_tokens) / block
            decay = 1 + self.credit_decay * (tokens - least) / request.num_tokens
            costs.append(scale * max(tokens / block + incoming - credit / decay * hits, 0.0))
        return costs

    def _draw(self, costs: list[float]) -> int:
        least = min(costs)
        spread = max(costs) - least
        weights = [math.exp(-(cost - least) / (spread or 1.0) / self.temperature) for cost in costs]
        point = self.context.generator().random() * sum(weights)
        for index, weight in enumerate(weights):
            point -= weight
            if point < 0:
                return index
        return len(weights) - 1
