"""AIBrix's two ways to route prefill and decode (vllm-project/aibrix, `pkg/plugins/gateway/algorithms/`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

from scheduler.policies.registry import routing_policy
from scheduler.policies.routing.scoring import at_hand_tokens, kv_usages, lowest, only, waiting_requests
from scheduler.policies.view import READS_ALL, PolicyContext, Reads, RequestView, StageKind, StageView


@routing_policy(
    "aibrix_pd",
    formula="prefill: min (100 - match %) * 0.1 + load / max load; decode: min load and throughput over free KV",
    source="AIBrix pd_disaggregation.go, pd/prefill_scorer.go (prefix_cache), pd/decode_scorer.go (load_balancing)",
)
@dataclass(slots=True)
class AibrixPd:
    """Least score, after fast paths for imbalance; instances of a supernode form a role set, whose best make a pair.

    ```
    prefill: spread of outstanding requests > prefill_spread: least loaded
             skip who has more than mean + k_sigma * sigma; score = (100 - match %) * 0.1 + requests / max requests
    decode:  spread of outstanding requests >= decode_spread: least loaded
             spread of tokens/s > throughput_spread: lowest throughput
             score = (running / max running + 1 - throughput / max throughput) / (free KV / max free KV)
    pair:    the best of each role set; min prefill score / max prefill score + decode score / max decode score
    ```
    When loads of prefill instances are spread too far, the least loaded is taken, with the best decode instance of its
    role set. The fast paths of decode are taken within a role set: how they meet role sets the source does not say.
    A decode instance that has not reported scores 1 + waiting requests while others have. The path by drain rates is
    left out: nobody reports them.
    """

    context: PolicyContext
    prefill_spread: int = 16
    decode_spread: int = 16
    throughput_spread: float = 2048.0
    k_sigma: float = 1.0
    reason = "aibrix_pd: least score of match, load and free KV"
    reads = READS_ALL & ~Reads.PREDICTIONS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """By the rule of the stage."""
        if self.context.stage is StageKind.DECODE:
            return self._choose_decode(stage)
        loads = stage.outstanding_requests
        return lowest(loads) if max(loads) - min(loads) > self.prefill_spread else lowest(self.prefill(stage, request))

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        """By the rule of the stage, fast paths aside."""
        return self.decode(stage) if self.context.stage is StageKind.DECODE else self.prefill(stage, request)

    def choose_pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        """Both of one supernode, if any has both."""
        loads, first = prefill.outstanding_requests, prefill.supernodes[0]
        if all(of.count(first) == len(of) for of in (prefill.supernodes, decode.supernodes)):  # one set: each its best
            is_uneven = max(loads) - min(loads) > self.prefill_spread
            return lowest(loads if is_uneven else self.prefill(prefill, request)), self._choose_decode(decode)
        sets = sorted(set(prefill.supernodes).intersection(decode.supernodes))
        if max(loads) - min(loads) > self.prefill_spread:
            least = lowest(loads)
            own = prefill.supernodes[least]
            return least, self._best_decode(decode, [own] if own in sets else sorted(set(decode.supernodes)))
        prefill_scores, decode_scores = self.prefill(prefill, request), self.decode(decode)
        if not sets:
            return lowest(prefill_scores), self._choose_decode(decode)
        pairs = [(_lowest_of(prefill_scores, prefill, one), self._best_decode(decode, [one])) for one in sets]
        of_prefill = _over_most([prefill_scores[index] for index, _ in pairs])
        of_decode = _over_most([decode_scores[index] for _, index in pairs])
        return pairs[lowest([one + other for one, other in zip(of_prefill, of_decode)])]

    def _best_decode(self, stage: StageView, sets: Sequence[int]) -> int:
        """By the rule of decode, as if there were no instances but those of these supernodes."""
        members = [index for index, supernode in enumerate(stage.supernodes) if supernode in sets]
        if len(members) == len(stage.supernodes):
            return self._choose_decode(stage)
        return members[self._choose_decode(only(stage, members))]

    def prefill(self, stage: StageView, request: RequestView) -> list[float]:
        """Scores; infinite for those with far too much to do."""
        loads = stage.outstanding_requests
        mean = sum(loads) / len(loads)
        limit = mean + self.k_sigma * sqrt(sum([(load - mean) ** 2 for load in loads]) / len(loads))
        most, total = max(loads) or 1, request.total_tokens
        # The slack keeps those that are all alike from being skipped by a rounding of the mean.
        return [
            (100 - 100 * matched / total) * 0.1 + load / most if load <= limit + 1e-9 else inf
            for load, matched in zip(loads, at_hand_tokens(request))
        ]

    def _choose_decode(self, stage: StageView) -> int:
        loads, rates = stage.outstanding_requests, stage.tokens_per_s
        if len(loads) == 1:
            return 0
        if max(loads) - min(loads) >= self.decode_spread:
            return lowest(loads)
        if max(rates) - min(rates) > self.throughput_spread:
            return lowest(rates)
        return lowest(self.decode(stage))

    def decode(self, stage: StageView) -> list[float]:
        """Scores; infinite for those without free KV."""
        rates, running = stage.tokens_per_s, stage.running_requests
        free = [max(0, capacity - used) for capacity, used in zip(stage.kv_capacity_tokens, stage.kv_tokens)]
        most_free, most_running, most_rate = max(free) or 1, max(running) or 1, max(rates) or 1.0
        any_reported = max(stage.reported_ns) >= 0
        return [
            1.0 + waiting
            if any_reported and reported_ns < 0
            else (number / most_running + 1 - rate / most_rate) / (room / most_free)
            if room
            else inf
            for waiting, reported_ns, number, rate, room in zip(
                waiting_requests(stage), stage.reported_ns, running, rates, free
            )
        ]


def _lowest_of(scores: Sequence[float], stage: StageView, supernode: int) -> int:
    members = [index for index, one in enumerate(stage.supernodes) if one == supernode]
    return min(members, key=scores.__getitem__)


def _over_most(scores: Sequence[float]) -> list[float]:
    """As shares of the largest that is finite."""
    most = max((score for score in scores if score < inf), default=0.0)
    return [score / most if most else score for score in scores]


UNKNOWN_TBT_MS = 20.0
CROWDED_KV = 0.9


@routing_policy(
    "conductor",
    formula="prefill: min queue + prefix + prefill times of fixed curves; decode: min scaled 1 / (tokens/s)",
    source="AIBrix pd/prefill_scorer.go and pd/decode_scorer.go, conductor; its constants are placeholders",
)
@dataclass(slots=True)
class Conductor:
    """Least estimated time, of curves that know nothing of the hardware.

    ```
    prefill: requests * mean_prefill_ms + (0.005 * matched + 1) + (0.001 * unmatched ** 1.5 + 5)   ms; 0 for none
    decode:  TBT * (1 + 1 / max(running, 1)) * (1.5 if KV usage > 0.9), TBT = 1000 / tokens per second, 20 if unknown
    ```
    `mean_prefill_ms` 0 stands for the curve at 512 tokens. Tokens per second are those of the whole instance, so that
    "TBT" shrinks as its batch grows.
    """

    context: PolicyContext
    mean_prefill_ms: float = 0.0
    reason = "conductor: least time of AIBrix's fixed curves"
    reads = READS_ALL & ~Reads.PREDICTIONS

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the least time."""
        return lowest(self.scores(stage, request))

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        """Milliseconds by instance."""
        return self.decode(stage) if self.context.stage is StageKind.DECODE else self.prefill(stage, request)

    def prefill(self, stage: StageView, request: RequestView) -> list[float]:
        """Milliseconds by instance."""
        mean_ms, total = self.mean_prefill_ms or prefill_ms(512), request.total_tokens
        return [
            load * mean_ms + (0.005 * matched + 1.0 if matched else 0.0) + prefill_ms(total - matched)
            for load, matched in zip(stage.outstanding_requests, at_hand_tokens(request))
        ]

    def decode(self, stage: StageView) -> list[float]:
        """Scaled milliseconds by instance."""
        columns: tuple[Sequence[float], ...] = (stage.tokens_per_s, stage.running_requests, kv_usages(stage))
        return [
            (1000 / rate if rate else UNKNOWN_TBT_MS) * (1 + 1 / max(running, 1)) * (1.5 if usage > CROWDED_KV else 1.0)
            for rate, running, usage in zip(*columns)
        ]


def prefill_ms(num_tokens: int) -> float:
    """AIBrix's placeholder curve."""
    return 0.001 * num_tokens**1.5 + 5.0 if num_tokens else 0.0
