"""llm-d's scheduler (llm-d/llm-d-inference-scheduler): a weighted sum of scorers in 0..1."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.scoring import at_hand_tokens, kv_usages, waiting_requests
from scheduler.policies.view import READS_ALL, PolicyContext, Reads, RequestView, StageView


@routing_policy(
    "llmd_weighted",
    formula="max prefix * match share + queue * (maxQ - q) / (maxQ - minQ) + kv * (1 - KV usage)",
    source="llm-d default chart: prefix 3, queue 2, kv-cache-utilization 2; its samples for P/D: 2, 1, 0",
)
@dataclass(slots=True)
class LlmdWeighted:
    """Highest weighted sum of three scorers.

    ```
    prefix: matched tokens / prompt tokens
    queue:  (max waiting - waiting) / (max waiting - min waiting), 1 if all wait alike
    kv:     1 - share of KV memory used
    ```
    A tie is broken by chance, as llm-d's picker shuffles first.
    """

    context: PolicyContext
    prefix: float = 3.0
    queue: float = 2.0
    kv: float = 2.0
    reason = "llmd_weighted: highest weighted sum of prefix, queue and KV scores"
    reads = READS_ALL & ~Reads.PREDICTIONS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the highest sum."""
        scores = self.scores(stage, request)
        best = max(scores)
        tied = [index for index, score in enumerate(scores) if score == best]
        return tied[0] if len(tied) == 1 else tied[int(self.context.generator().integers(len(tied)))]

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        """The sum of each instance."""
        waiting = waiting_requests(stage)
        most = max(waiting)
        spread = most - min(waiting)
        total, prefix, queue, kv = request.total_tokens, self.prefix, self.queue, self.kv
        return [
            prefix * matched / total + queue * ((most - number) / spread if spread else 1.0) + kv * (1 - usage)
            for matched, number, usage in zip(at_hand_tokens(request), waiting, kv_usages(stage))
        ]
