"""A function as a guest of a core: it is shown each message before the core is, and says nothing."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.core.guest import Guest
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import Message

Look = Callable[[int, Message], None]


class Tap(Guest):
    """Shows every (time, message) to `look`."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Show one message."""
        self._look(now_ns, message)
        return NOTHING


def as_guest(listener: Look | Guest) -> Guest:
    """A guest as it is, a function as a `Tap`."""
    return listener if isinstance(listener, Guest) else Tap(listener)
