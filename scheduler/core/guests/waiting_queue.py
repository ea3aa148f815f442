"""Where requests wait in front of the prefill stage while every instance has more than enough to do.

Once a request is sent, its order is that of the instance's own queue; so an order of one's own needs requests to wait
here. The room is the only queue of the core, and bounded by `max_open_requests`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scheduler.core.fleet import Stage
from scheduler.policies.ordering import Order
from scheduler.policies.waiting import WaitingRequest


class WaitingQueue:
    """Lets requests through while some instance that is eligible has fewer than `backlog_tokens` outstanding.

    The bound is looked at before each request, so an instance may go over it by one prompt, and none idles for want of
    prompts that are shorter than the bound. Nobody overtakes who waits: what comes while somebody waits, waits too.
    """

    def __init__(self, stage: Stage, order: Order, backlog_tokens: int) -> None:
        self._stage: Final = stage
        self._order: Final = order
        self._backlog_tokens: Final = backlog_tokens

    def __len__(self) -> int:
        return len(self._order)

    @property
    def is_open(self) -> bool:
        """Would somebody be let through now?"""
        tokens, limit = self._stage.outstanding_tokens, self._backlog_tokens
        return any(tokens[index] < limit for index in self._stage.eligible)

    def push(self, requests: Sequence[WaitingRequest]) -> None:
        """These wait, until `pop_ready` names them."""
        for request in requests:
            self._order.add(request)

    def pop_ready(self) -> WaitingRequest | None:
        """Who may go now; None if nobody waits or nobody may. Ask again once it is counted where it went."""
        return self._order.take() if len(self._order) and self.is_open else None

    def remove(self, request_id: int) -> None:
        """This request has ended, by cancellation or for want of time."""
        self._order.remove(request_id)
