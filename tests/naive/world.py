"""Time and messages of the naive simulation: a list of things to say, and a scan for whose time comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAX_EVENTS = 1_000_000
"""A naive run that is longer than this has lost its way."""


class Actor:
    """Something that may fall due; `priority` and then the order of making decide who goes first at one instant."""

    priority = 0

    def __init__(self, world: World) -> None:
        self.world = world
        self.due_ns: int | None = None
        world.actors.append(self)

    def fall_due(self) -> None:
        """What was awaited has come."""
        raise NotImplementedError


class World:
    """Says everything in order, then moves to whatever comes next."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.actors: list[Actor] = []
        self.sayings: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def say(self, to: Callable[..., None], *arguments: Any) -> None:
        """Deliver after everything that was said before."""
        self.sayings.append((to, arguments))

    def run(self) -> None:
        """Until nothing is due."""
        for _ in range(MAX_EVENTS):
            first: Actor | None = None
            for actor in self.actors:
                if actor.due_ns is None:
                    continue
                if first is None or (actor.due_ns, actor.priority) < (first.due_ns, first.priority):
                    first = actor
            if first is None or first.due_ns is None:
                return
            assert first.due_ns >= self.now_ns
            self.now_ns = first.due_ns
            first.due_ns = None
            first.fall_due()
            while self.sayings:
                to, arguments = self.sayings.pop(0)
                to(*arguments)
        raise AssertionError("the naive simulation does not end")
