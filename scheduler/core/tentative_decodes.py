"""Decode instances that were chosen together with a prefill instance, until room is asked for there."""

from __future__ import annotations

from typing import Final

from scheduler.policies.view import Columns


class TentativeDecodes:
    """What is on its way to each decode instance and not counted there yet, so that pairs do not herd.

    A promise ends when it is kept, or with its request.
    """

    def __init__(self, num_instances: int) -> None:
        self._of: dict[int, tuple[int, int]] = {}
        self._requests: Final = [0] * num_instances
        self._tokens: Final = [0] * num_instances

    def __len__(self) -> int:
        return len(self._of)

    def make(self, request_id: int, index: int, num_tokens: int) -> None:
        """The request will decode there, with so many tokens of KV; an older promise to it is void."""
        self.take(request_id)
        self._of[request_id] = (index, num_tokens)
        self._requests[index] += 1
        self._tokens[index] += num_tokens

    def take(self, request_id: int) -> int | None:
        """Where the request was to decode, which is promised no more; None if nothing was promised."""
        promised = self._of.pop(request_id, None)
        if promised is None:
            return None
        index, num_tokens = promised
        self._requests[index] -= 1
        self._tokens[index] -= num_tokens
        return index

    def added_to(self, columns: Columns, shown: list[int]) -> Columns:
        """Columns of the instances `shown`, with what is promised counted as outstanding."""
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
