"""The one way to listen to the core.

A guest is told of messages before and after the core has handled them, and wakes the core at its own deadline. What it
returns goes out with what the core says: what comes `before` first, what comes `after` last. The scheduler asks its
guests in the order in which they were added, and asks a guest only for the messages that it hears; a message that no
guest hears costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.messages import Message


class Guest:
    """Whoever acts on what the core is told, or on time; it overrides what it needs.

    `hears`: types of messages that `before` and `after` are called for; None for all of them. `deadline_ns`: when `wake`
    is to be called next; it may change in any of the three calls, and is read after each message to the core.
    """

    hears: Collection[type] | None = None
    deadline_ns: int = NEVER_NS

    def before(self, now_ns: int, message: Message) -> Outputs:
        """The core is about to be told this; all its columns are as they were."""
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """The core has taken note of this."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """`deadline_ns` has come."""
        return NOTHING
