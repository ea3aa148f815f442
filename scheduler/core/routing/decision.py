"""A decision as data: which instance serves a request in one stage, and why; and who keeps decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from scheduler.policies.view import StageKind
from scheduler.protocol.messages import TransferDone


class Decision(Struct, frozen=True):
    """`instance` (index within the stage) serves a request, for a `reason` in a few words.

    `partner`: the decode instance that a policy of pairs chose together with a prefill instance.
    """

    instance: int
    reason: str
    partner: int | None = None


class DecisionLog(Protocol):
    """Who keeps what the core decides: the core appends to each of `SchedulerState.decision_logs`."""

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """An instance was chosen for a request; a request that is routed again is chosen for again."""
        ...

    def started(
        self, stage: StageKind, now_ns: int, instance: int, ids: Sequence[int], flow: TransferDone | None
    ) -> None:
        """The instance is told to begin with these requests, when the `flow` that they waited for, if any, has
        ended."""
        ...
