"""A transfer under way through the fabric."""

from __future__ import annotations

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import StartTransfer
from workers.fabric.routes import Route

Part = tuple[Route, int]
"""What one request, or all of a transfer, has on the links: its route, and the `rest` that each stream cannot move
before all of the data is there."""


class Transfer:
    """A `StartTransfer` that has not ended. `made_ns`: since when all of its data is there, None as long as it is not.

    Its parts are flows by number, `first_flow` and on; `num_moving` of them are still on the links. `end_ns`: when the
    last of those that are off them had left. `hidden_ns`: for how long it had flowed when all of its data was there.

    `done_ns`: when its last byte arrives. As long as flows are moving it is an estimate, too early if others come, or
    `NEVER_NS` where there is none. `give_up_ns`: if that has not come by then somebody is to be told; 0 for nobody.
    """

    __slots__ = (
        "done_ns",
        "end_ns",
        "first_flow",
        "give_up_ns",
        "hidden_ns",
        "made_ns",
        "message",
        "num_moving",
        "parts",
        "started_ns",
    )

    def __init__(self, message: StartTransfer, now_ns: int) -> None:
        self.message = message
        self.started_ns = now_ns
        self.made_ns = now_ns if message.is_made and message.made_ns <= now_ns else None
        self.first_flow = 0
        self.parts: list[Part] = []
        self.num_moving = 0
        self.end_ns = now_ns
        self.done_ns = NEVER_NS
        self.give_up_ns = message.give_up_ns
        self.hidden_ns = 0

    @property
    def has_left(self) -> bool:
        """Whether its last byte has, as far as the links were looked at."""
        return not self.num_moving and self.made_ns is not None

    def leave(self, known: list[Transfer]) -> None:
        """No part of it is on the links any more; it is among those whose `done_ns` is known now if that is news."""
        if self.made_ns is not None:
            done_ns = self.end_ns + self.parts[0][0].latency_ns
            if done_ns != self.done_ns:
                self.done_ns = done_ns
                known.append(self)

    def make(self, now_ns: int) -> None:
        """All of its data is there since now.

        Live, a pass may be told to have ended as of a time before the transfer began, or before what it had made had
        left; nothing was hidden then.
        """
        self.made_ns = now_ns
        flowed_until_ns = now_ns if self.num_moving else min(now_ns, self.end_ns)
        self.hidden_ns = max(0, flowed_until_ns - self.started_ns)
