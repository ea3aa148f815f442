"""Routing policies that need no worker_state of caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.policies.registry import routing_policy
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageView


@routing_policy("random", formula="any, uniformly", source="the null hypothesis of all others")
@dataclass(slots=True)
class Random:
    """Any instance, uniformly."""

    context: PolicyContext
    reason = "random: drawn uniformly"
    reads = Reads.LOAD

    def choose(self, stage: StageView, request: RequestView) -> int:
        """One draw."""
        return int(self.context.generator().integers(len(stage.outstanding_requests)))


@routing_policy("round_robin", formula="the next in turn", source="folklore")
@dataclass(slots=True)
class RoundRobin:
    """Instances in turn, whatever their load."""

    context: PolicyContext
    last: int = field(default=-1, init=False)
    reason = "round_robin: next in turn"
    reads = Reads.LOAD

    def choose(self, stage: StageView, request: RequestView) -> int:
        """The instance after the one chosen last."""
        self.last = (self.last + 1) % len(stage.outstanding_requests)
        return self.last


@routing_policy("least_loaded", formula="min outstanding requests", source="folklore")
@dataclass(slots=True)
class LeastLoaded:
    """Fewest outstanding requests; the lowest index wins a tie."""

    context: PolicyContext
    reason = "least_loaded: fewest outstanding requests"
    reads = Reads.LOAD

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the smallest count."""
        loads = stage.outstanding_requests
        return loads.index(min(loads))

    def scores(self, stage: StageView, request: RequestView) -> Sequence[float]:
        """The counts."""
        return stage.outstanding_requests


@routing_policy(
    "power_of_two",
    formula="of two drawn at random, min outstanding requests",
    source="Ray Serve PowerOfTwo; SGLang power_of_two; Mitzenmacher, The power of two choices, 2001",
)
@dataclass(slots=True)
class PowerOfTwo:
    """Two distinct instances at random, the one with fewer outstanding requests; the first drawn wins a tie."""

    context: PolicyContext
    reason = "power_of_two: fewer outstanding requests of two drawn"
    reads = Reads.LOAD

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Two draws, without replacement."""
        return better_of_two(self.context, stage)


def better_of_two(context: PolicyContext, stage: StageView) -> int:
    """Two distinct instances at random, the one with fewer outstanding requests; the only one if there is one."""
    loads = stage.outstanding_requests
    num = len(loads)
    if num == 1:
        return 0
    pair = int(context.generator().integers(num * (num - 1)))
    first, other = divmod(pair, num - 1)
    second = other + (other >= first)
    return first if loads[first] <= loads[second] else second


@routing_policy(
    "cloudmatrix",
    formula="min outstanding tokens (prefill: uncached prompt tokens; decode: KV tokens)",
    source="CloudMatrix paper, arXiv 2506.12708 v3, section 4.1",
)
@dataclass(slots=True)
class CloudMatrix:
    """Fewest outstanding tokens: uncached prompt tokens for prefill, KV tokens for decode.

    Peer-to-peer scheduling: over UB every NPU reaches every cached block at the same cost, so where KV lies is
    ignored and load alone decides (CloudMatrix paper, arXiv 2506.12708 v3, section 4.1).
    """

    context: PolicyContext
    reason = "cloudmatrix: fewest outstanding tokens"
    reads = Reads.LOAD

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the smallest count."""
        loads = stage.outstanding_tokens
        return loads.index(min(loads))

    def scores(self, stage: StageView, request: RequestView) -> Sequence[float]:
        """The counts."""
        return stage.outstanding_tokens
