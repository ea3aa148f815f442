"""Counts what a core decides while it runs: how often each policy chose an instance, by stage and reason."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from scheduler.core.routing.decision import Decision
from scheduler.core.routing.router import FALLBACK_REASON
from scheduler.policies import ROUTING
from scheduler.policies.view import StageKind
from scheduler.protocol.messages import TransferDone

OWN: Final = ("own", "its own choice")
"""Policy and reason of whatever is in no list: a policy of the user, which may give any reason."""


@lru_cache(maxsize=1)
def decision_series() -> tuple[tuple[str, str, str], ...]:
    """Stage, policy and reason of each count: those known by name, what takes the place of a policy that fails, and all
    others as one."""
    reasons = [getattr(known.make, "reason", "") for known in ROUTING.values()]
    pairs = [_split(reason) for reason in (*dict.fromkeys(reasons), FALLBACK_REASON) if reason]
    return tuple((stage.value, policy, why) for stage in StageKind for policy, why in (*pairs, OWN))


class DecisionCounts:
    """A `DecisionLog` of a live system, over all its sessions."""

    def __init__(self) -> None:
        self._counts: Final = dict.fromkeys(decision_series(), 0)

    def totals(self) -> tuple[int, ...]:
        """In the order of `decision_series`."""
        return tuple(self._counts.values())

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """Count one choice."""
        key = (stage.value, *_split(decision.reason))
        self._counts[key if key in self._counts else (stage.value, *OWN)] += 1

    def started(
        self, stage: StageKind, now_ns: int, instance: int, ids: Sequence[int], flow: TransferDone | None
    ) -> None:
        """That a choice is carried out is no further choice."""


def _split(reason: str) -> tuple[str, str]:
    """A reason begins with the name of its policy."""
    policy, _, why = reason.partition(": ")
    return policy, why
