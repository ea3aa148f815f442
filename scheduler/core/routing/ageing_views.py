"""What a router sees of its stage where that is older than now: columns as they were when it last took them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scheduler.core.fleet import Stage
from scheduler.policies.routing.scoring import only
from scheduler.policies.view import Columns


class AgeingView:
    """One router's picture of a stage, taken anew when it is `age_ns` old or other instances are eligible.

    `counts_sends`: it adds what this router has sent since it was taken, as a gateway does that knows its own requests
    at once and those of others by their next exchange; what has left meanwhile it learns when it looks again.
    """

    def __init__(self, live: Columns, stage: Stage, age_ns: int, *, counts_sends: bool) -> None:
        self._live: Final = live
        self._stage: Final = stage
        self._age_ns: Final = age_ns
        self._counts_sends: Final = counts_sends
        self._taken_ns = 0
        self._eligible: list[int] | None = None
        self._requests: list[int] = []
        self._tokens: list[int] = []
        self._all = live
        self._members: list[int] | None = None
        self._sent: tuple[int, int] | None = None
        self.shown = live
        """What was shown last."""

    def columns(self, now_ns: int, members: list[int]) -> Columns:
        """Columns of these instances of the stage."""
        eligible = self._stage.eligible
        if eligible is not self._eligible or now_ns - self._taken_ns >= self._age_ns:
            self._take(now_ns, eligible)
        elif self._sent is not None:
            self._add(*self._sent)
        self._sent = None
        if members is not self._members:
            self._members = members
            self.shown = self._all if len(members) == len(self._stage) else only(self._all, members)
        return self.shown

    def _take(self, now_ns: int, eligible: list[int]) -> None:
        self._taken_ns, self._eligible, self._members = now_ns, eligible, None
        taken = only(self._live, range(len(self._stage)))
        self._requests, self._tokens = list(taken.outstanding_requests), list(taken.outstanding_tokens)
        self._all = replace(taken, outstanding_requests=self._requests, outstanding_tokens=self._tokens)

    def _add(self, index: int, num_tokens: int) -> None:
        self._requests[index] += 1
        self._tokens[index] += num_tokens
        if self.shown is not self._all:
            self._members = None  # what is shown of some is a copy

    def sent(self, index: int, num_tokens: int) -> None:
        """This router has sent a request that brings so many tokens to an instance; what is shown next tells it."""
        if self._counts_sends:
            self._sent = index, num_tokens
