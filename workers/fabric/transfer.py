"""A transfer under way through the fabric."""

from __future__ import annotations

from scheduler.protocol.messages import StartTransfer
from workers.fabric.routes import Route

Part = tuple[Route, int]
"""What one request, or all of a transfer, has on the links: its route, and the `rest` that each stream cannot move
before all of the data is there."""


class Transfer:
    """A `StartTransfer` that has not ended. `made_ns`: since when all of its data is there, None as long as it is not.

    Its parts are flows by number, `first_flow` and on; `num_moving` of them are still on the links. `end_ns`: when the
    last of those that are off them had left. `hidden_ns`: for how long it had flowed when all of its data was there.
    """

    __slots__ = ("end_ns", "first_flow", "hidden_ns", "made_ns", "message", "num_moving", "parts", "started_ns")

    def __init__(self, message: StartTransfer, now_ns: int) -> None:
        self.message = message
        self.started_ns = now_ns
        self.made_ns = now_ns if message.is_made and message.made_ns <= now_ns else None
        self.first_flow = 0
        self.parts: list[Part] = []
        self.num_moving = 0
        self.end_ns = now_ns
        self.hidden_ns = 0

    def make(self, now_ns: int) -> None:
        """All of its data is there since now.

        Live, a pass may be told to have ended as of a time before the transfer began, or before what it had made had
        left; nothing was hidden then.
        """
        self.made_ns = now_ns
        flowed_until_ns = now_ns if self.num_moving else min(now_ns, self.end_ns)
        self.hidden_ns = max(0, flowed_until_ns - self.started_ns)
