"""The contract between anything that holds state and the runtime that gives it time and messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from scheduler.protocol.messages import Message

NEVER_NS: Final = 2**63 - 1
"""A deadline that does not come."""

Output = tuple[str, Message]
"""A message and the address that it goes to."""

Outputs = Sequence[Output]
"""What a component returns: the messages that it sends, in order. Nobody changes them once they are returned."""

NOTHING: Final[Outputs] = ()


class TimerDue:
    """No message, but handled like one: a timer of the core's own has fallen due."""


TIMER_DUE: Final = TimerDue()


class Priority:
    """Order of components whose deadlines fall on one instant; lower wakes first.

    A trace source comes first, so that everything that arrives at an instant is known when work is formed; decode comes
    last, so that a step boundary sees all that was delivered at its instant.
    """

    SOURCE: Final = 0
    FABRIC: Final = 1
    CACHE: Final = 2
    CORE: Final = 3
    PREFILL: Final = 4
    DECODE: Final = 5


class Component(Protocol):
    """A sans-IO state machine: it is handed the time and answers with messages and its next deadline.

    `deadline_ns` is read by the runtime after each call; the runtime calls `wake` when that time has come. A wake that
    comes early (the deadline moved meanwhile) is dropped by the runtime, never delivered. Between two calls a deadline
    may go to `NEVER_NS`, never come nearer. Times are integer nanoseconds of emulated time and never fall from one call
    to the next; but live, messages come late, and who sets `takes_late` is given each as of the time at which it fell
    due, however late that is, and is woken as of its deadline. What one who sets `answers_late` answers falls due
    with what it was told, even if its own time has gone on: its timers are no part of what it answers.
    """

    address: str
    priority: int

    @property
    def deadline_ns(self) -> int:
        """When to wake it next."""
        ...

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one message."""
        ...

    def wake(self, now_ns: int) -> Outputs:
        """Do what fell due at `deadline_ns`."""
        ...
