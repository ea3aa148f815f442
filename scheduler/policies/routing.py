"""Routing policies that need no knowledge of caches."""

from __future__ import annotations

from scheduler.policies.registry import routing_policy
from scheduler.policies.view import StageView


@routing_policy("round_robin")
class RoundRobin:
    """Instances in turn, whatever their load."""

    reason = "round_robin: next in turn"

    def __init__(self) -> None:
        self._last = -1

    def choose(self, view: StageView, num_tokens: int) -> int:
        """The instance after the one chosen last."""
        self._last = (self._last + 1) % len(view.outstanding_requests)
        return self._last


@routing_policy("least_loaded")
class LeastLoaded:
    """Fewest outstanding requests; the lowest index wins a tie."""

    reason = "least_loaded: fewest outstanding requests"

    def choose(self, view: StageView, num_tokens: int) -> int:
        """Index of the smallest count."""
        loads = view.outstanding_requests
        return loads.index(min(loads))


@routing_policy("cloudmatrix")
class CloudMatrix:
    """Fewest outstanding tokens: uncached prompt tokens for prefill, KV tokens for decode.

    Peer-to-peer scheduling: over UB every NPU reaches every cached block at the same cost, so where KV lies is
    ignored and load alone decides (CloudMatrix paper, arXiv 2506.12708 v3, section 4.1).
    """

    reason = "cloudmatrix: fewest outstanding tokens"

    def choose(self, view: StageView, num_tokens: int) -> int:
        """Index of the smallest count."""
        loads = view.outstanding_tokens
        return loads.index(min(loads))
