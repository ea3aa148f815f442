"""Reads of the cache pool in the naive simulation, and when they are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.fabric import Flow
from tests.naive.request import Request
from tests.naive.world import Actor, World

if TYPE_CHECKING:
    from tests.naive.simulation import Core


class Read:
    """What some requests wait for, in one or two flows; nobody waits for `is_more`, beyond what was found first."""

    def __init__(self, prefill: int, requests: list[Request], flows: list[Flow], *, is_more: bool) -> None:
        self.prefill = prefill
        self.requests = requests
        self.flows = flows
        self.is_more = is_more
        self.due_ns: int | None = None


class Reads(Actor):
    """Gives up reads that take longer than computing what they bring would, by the mean time of a token so far."""

    priority = 3

    def __init__(self, world: World, core: Core) -> None:
        super().__init__(world)
        self.core = core
        self.open: list[Read] = []
        self.slow: list[int] = []

    def are_tried(self, prefill: int) -> bool:
        """Not more than one at a time to where the last that ended was given up."""
        return prefill not in self.slow or all(read.prefill != prefill for read in self.open)

    def begin(self, read: Read) -> None:
        """It is waited for from now on."""
        self.open.append(read)
        if self.core.computed_tokens:
            tokens = sum(read.flows[0].tokens)
            compute_ns = tokens * self.core.computing_ns // self.core.computed_tokens
            read.due_ns = self.world.now_ns + max(1, compute_ns)
        self._await_next()

    def end(self, read: Read) -> None:
        """All of it is there."""
        self.open.remove(read)
        self.slow = [prefill for prefill in self.slow if prefill != read.prefill]
        self._await_next()

    def _await_next(self) -> None:
        self.due_ns = min((read.due_ns for read in self.open if read.due_ns is not None), default=None)

    def fall_due(self) -> None:
        """Who waited for it computes."""
        for read in [read for read in self.open if read.due_ns == self.world.now_ns]:
            self.open.remove(read)
            self.slow.append(read.prefill)
            for flow in read.flows:
                self.world.say(self.core.fabric.cancel, flow)
            if not read.is_more:
                for request in read.requests:
                    request.cached = 0
                self.core.start_prefill(read.prefill, read.requests)
        self._await_next()
