"""What routers see of their stage where that is older than now: columns as they were when each last took them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scheduler.core.fleet import Stage
from scheduler.policies.routing.scoring import only
from scheduler.policies.view import Columns
from scheduler.protocol.component import NEVER_NS


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
        if self._stage.eligible is not self._eligible or now_ns - self._taken_ns >= self._age_ns:
            self.take(now_ns)
        elif self._sent is not None:
            self._add(*self._sent)
        self._sent = None
        if members is not self._members:
            self._members = members
            self.shown = self._all if len(members) == len(self._stage) else only(self._all, members)
        return self.shown

    def take(self, now_ns: int) -> None:
        """Look at all instances as they are."""
        self._taken_ns, self._eligible, self._members, self._sent = now_ns, self._stage.eligible, None, None
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


class AgeingViews:
    """Those of several routers. Each looks every `age_ns`, one after the other, whether it has anything to decide or
    not; a look is made up for when any of them decides next."""

    def __init__(self, live: Columns, stage: Stage, age_ns: int, num_routers: int, *, counts_sends: bool) -> None:
        looks_alone = num_routers == 1
        of_one = age_ns if looks_alone else NEVER_NS
        self._views: Final = [AgeingView(live, stage, of_one, counts_sends=counts_sends) for _ in range(num_routers)]
        self._step_ns: Final = NEVER_NS if looks_alone else max(1, age_ns // num_routers)
        self._due_ns = self._step_ns
        self._next = 0

    def of(self, now_ns: int, router: int) -> AgeingView:
        """The view of a router that is to decide now."""
        if now_ns >= self._due_ns:
            num_due = (now_ns - self._due_ns) // self._step_ns + 1
            self._due_ns += num_due * self._step_ns
            num_views = len(self._views)
            for _ in range(min(num_due, num_views)):
                self._views[self._next].take(now_ns)
                self._next = (self._next + 1) % num_views
        return self._views[router]
