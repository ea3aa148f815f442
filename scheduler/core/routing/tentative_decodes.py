"""Decode instances that were chosen together with a prefill instance, until KV room is asked for there."""

from __future__ import annotations

from typing import Final

from scheduler.core.routing.decision import Decision
from scheduler.policies.view import Columns


class TentativeDecodes:
    """What is on its way to each decode instance and not counted there yet, so that pairs do not herd.

    A tentative decision ends when it is taken, or with its request.
    """

    def __init__(self, num_instances: int) -> None:
        self._of: dict[int, tuple[Decision, int]] = {}
        self._requests: Final = [0] * num_instances
        self._tokens: Final = [0] * num_instances

    def __len__(self) -> int:
        return len(self._of)

    def make(self, request_id: int, decision: Decision, num_tokens: int) -> None:
        """The request will decode there, with so many tokens of KV; nothing older is decided for it."""
        self._of[request_id] = (decision, num_tokens)
        self._requests[decision.instance] += 1
        self._tokens[decision.instance] += num_tokens

    def take(self, request_id: int) -> Decision | None:
        """Where the request was to decode, which is tentative no more; None if nothing was decided."""
        decided = self._of.pop(request_id, None)
        if decided is None:
            return None
        decision, num_tokens = decided
        self._requests[decision.instance] -= 1
        self._tokens[decision.instance] -= num_tokens
        return decision

    def added_to(self, columns: Columns, shown: list[int]) -> Columns:
        """Columns of the instances `shown`, with what is tentative counted as outstanding."""
        if not self._of:
            return columns
        requests, tokens = self._requests, self._tokens
        return Columns(
            [one + requests[index] for one, index in zip(columns.outstanding_requests, shown, strict=True)],
            [one + tokens[index] for one, index in zip(columns.outstanding_tokens, shown, strict=True)],
            columns.running_requests,
            columns.kv_tokens,
            columns.kv_capacity_tokens,
            columns.tokens_per_s,
            columns.reported_ns,
            columns.cached_blocks,
            columns.supernodes,
        )
