"""What a fabric was told and told itself: every transfer ends once, in one way (INV-10)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.protocol.messages import (
    CancelTransfer,
    Message,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferOverdue,
)
from tests.checkers.checkers import check_links
from workers.fabric.fabric import Fabric


class FabricAccount:
    """Bytes put on one fabric, by what became of them. `note` after each step of the fabric."""

    def __init__(self, bytes_per_token: int) -> None:
        self._bytes_per_token = bytes_per_token
        self._under_way: dict[int, int] = {}
        self._cancelled: dict[int, int] = {}
        self.put_bytes = 0
        self.delivered_bytes = 0
        self.failed_bytes = 0

    @property
    def cancelled_bytes(self) -> int:
        """Of those that were given up before their last byte had left."""
        return sum(self._cancelled.values())

    def note(self, fabric: Fabric, heard: Message | None, outputs: Sequence[tuple[str, Message]]) -> None:
        """A message was handled, or a deadline met, with this answer."""
        check_links(fabric)
        if isinstance(heard, StartTransfer):
            num_bytes = sum(heard.num_tokens) * self._bytes_per_token
            self._under_way[heard.transfer_id] = num_bytes
            self.put_bytes += num_bytes
        elif isinstance(heard, CancelTransfer) and heard.transfer_id in self._under_way:
            self._cancelled[heard.transfer_id] = self._under_way.pop(heard.transfer_id)
        for _, said in outputs:
            if isinstance(said, TransferDone):
                # What had left when it was given up arrives nevertheless.
                num_bytes = self._end(said.transfer_id)
                assert num_bytes == said.num_bytes
                self.delivered_bytes += num_bytes
            elif isinstance(said, TransferOverdue):
                self._cancelled[said.transfer_id] = self._under_way.pop(said.transfer_id)
            elif isinstance(said, TransferFailed):
                assert said.transfer_id in self._under_way
                self.failed_bytes += self._end(said.transfer_id)

    def _end(self, transfer_id: int) -> int:
        owner = self._under_way if transfer_id in self._under_way else self._cancelled
        return owner.pop(transfer_id)

    def check(self) -> None:
        """At the end of a run."""
        assert not self._under_way
        assert self.put_bytes == self.delivered_bytes + self.failed_bytes + self.cancelled_bytes
