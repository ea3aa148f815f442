"""What transfers and broken parts of the fabric have come to while a system lives, over all its sessions."""

from __future__ import annotations

from typing import Final

from scheduler.metrics.buckets import TRANSFER_BOUNDS_S, BucketCounts
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.live.snapshot import FLOWS, FabricSeen
from scheduler.protocol.messages import PartsChanged, Plane, TransferDone, TransferFailed, TransferKind

_NUM_KINDS: Final = len(TransferKind)


class FabricTotals:
    """Told of each end of a transfer and of each change of the parts; a session begins with all parts whole."""

    def __init__(self) -> None:
        self._transfer_s: Final = [BucketCounts(TRANSFER_BOUNDS_S) for _ in TransferKind]
        self._hidden_ns: Final = [0] * len(TransferKind)
        # All three by plane and kind, in the order of FLOWS.
        self.flow_bytes: Final = [0] * len(FLOWS)
        self.flow_transfers: Final = [0] * len(FLOWS)
        self._num_failed: Final = [0] * len(FLOWS)
        self.failed_parts: list[str] = []
        self._lost_bytes_per_s: list[int] = [0] * len(Plane)

    def begin(self) -> None:
        """A session begins, with a fabric of its own."""
        self.failed_parts = []
        self._lost_bytes_per_s = [0] * len(Plane)

    def on_done(self, message: TransferDone) -> None:
        """A transfer has ended."""
        kind, duration_s = message.kind, message.duration_ns / NS_PER_S
        flow = message.plane * _NUM_KINDS + kind
        self.flow_bytes[flow] += message.num_bytes
        self.flow_transfers[flow] += 1
        self._transfer_s[kind].add(duration_s, 1, duration_s)
        self._hidden_ns[kind] += message.hidden_ns

    def on_failed(self, message: TransferFailed) -> None:
        """A transfer was given up."""
        self._num_failed[message.plane * _NUM_KINDS + message.kind] += 1

    def on_parts_changed(self, message: PartsChanged) -> None:
        """Parts broke or were mended."""
        self.failed_parts = message.failed_parts
        self._lost_bytes_per_s = message.lost_bytes_per_s

    def seen(self) -> FabricSeen:
        """As it stands."""
        return FabricSeen(
            tuple(counts.totals() for counts in self._transfer_s),
            tuple(hidden_ns / NS_PER_S for hidden_ns in self._hidden_ns),
            tuple(self._num_failed),
            tuple(self.failed_parts),
            tuple(self._lost_bytes_per_s),
        )
