"""What a policy may see: a read-only view of one stage's instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class StageView(Protocol):
    """Columns by instance index, as the core counts them at the moment of the decision.

    `outstanding_tokens`: uncached prompt tokens for a prefill stage, tokens of KV for a decode stage.
    """

    @property
    def outstanding_requests(self) -> Sequence[int]:
        """Requests sent and not yet done."""
        ...

    @property
    def outstanding_tokens(self) -> Sequence[int]:
        """Tokens of those requests."""
        ...


class RoutingPolicy(Protocol):
    """Picks the instance that serves a request in one stage; one object per stage and run."""

    reason: str
    """Why this policy picks as it does, in a few words; travels with each decision."""

    def choose(self, view: StageView, num_tokens: int) -> int:
        """Index of the instance for a request that brings `num_tokens`; the view has at least one instance."""
        ...
