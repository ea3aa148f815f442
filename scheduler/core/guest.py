"""The one way to listen to the core.

A guest is told of messages before and after the core has handled them and of requests that have ended, whatever ended
them, and wakes the core at its own deadline. What it returns goes out with the core's own outputs, in the order in
which it was returned; what must be known before any work is started goes out first (`goes_first`). The scheduler asks
its guests in the order in which they were added, and asks a guest only for the messages that it hears: a message that
no guest hears costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from scheduler.policies.failures import PolicyFailures
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.messages import Message

_NO_FAILURES: Final[Mapping[str, PolicyFailures]] = {}
_NO_PHASES: Final[Mapping[str, str]] = {}
_NO_COUNTS: Final[Mapping[str, int]] = {}


class Guest:
    """Whoever acts on what the core is told, or on time; it overrides what it needs.

    `hears`: types of messages that `before` and `after` are called for; None for all of them. `deadline_ns`: when
    `wake` is to be called next; it may change in any of the three calls, and is read after each message to the core.
    `goes_first`: what it returns goes out before the core's own outputs. `hears_last_ends_only`: it is told of requests
    that end when nobody arrives any more, and not of those before.
    """

    hears: Collection[type] | None = None
    goes_first: bool = False
    hears_last_ends_only: bool = False
    deadline_ns: int = NEVER_NS

    @property
    def policy_failures(self) -> Mapping[str, PolicyFailures]:
        """Of policies that it asks, or is told of, by what they are asked for."""
        return _NO_FAILURES

    def instance_phases(self) -> Mapping[str, str]:
        """Where instances are that come and go, in a word, by address."""
        return _NO_PHASES

    def wanted_instances(self) -> Mapping[str, int]:
        """How many instances of each role there shall be, where somebody decides that."""
        return _NO_COUNTS

    def notices(self) -> Sequence[str]:
        """Lines for a person, at the end of a run."""
        return ()

    def before(self, now_ns: int, message: Message) -> Outputs:
        """The core is about to be told this; all its columns are as they were."""
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """The core has taken note of this."""
        return NOTHING

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """These requests ended in the course of a message or a wake, in this order; the core has done with them."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """`deadline_ns` has come."""
        return NOTHING
