"""The fabric, first form: three planes of constant bandwidth, no contention."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import Message, Plane, StartTransfer, TransferDone, TransferKind


@dataclass(frozen=True, slots=True)
class ChannelRate:
    """What one kind of transfer gets on one plane.

    `stream_bytes_per_s` bounds one request's data, `total_bytes_per_s` all that moves between two components at once.
    """

    stream_bytes_per_s: float
    total_bytes_per_s: float
    latency_ns: int


@dataclass(frozen=True, slots=True)
class FabricConfig:
    """`channels[kind, plane, instance]` is the rate between that instance and its peer; `num_layers` lets KV flow as
    the layers are made: all but the last layer's share can be hidden behind the pass that makes it."""

    channels: dict[tuple[TransferKind, Plane, str], ChannelRate]
    kv_bytes_per_token: int
    num_layers: int


class Fabric:
    """A `Component` that turns `StartTransfer` into `TransferDone` at the time the last byte arrives."""

    address = "fabric"
    priority = Priority.FABRIC

    def __init__(self, config: FabricConfig, reports_to: str = "core") -> None:
        self.deadline_ns = NEVER_NS
        self._config = config
        self._reports_to = reports_to
        self._arrivals: list[tuple[int, int, TransferDone]] = []

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one transfer."""
        if not isinstance(message, StartTransfer):
            return NOTHING
        # The prefill side names the channel: it is the end that both hand-over and cache traffic have in common.
        instance = message.destination if message.kind == TransferKind.CACHE_READ else message.source
        rate = self._config.channels[message.kind, message.plane, instance]
        tokens, per_token = message.num_tokens, self._config.kv_bytes_per_token
        num_bytes = sum(tokens) * per_token
        hidden_ns = now_ns - message.open_ns
        seconds = max(
            self._exposed_bytes(max(tokens) * per_token, rate.stream_bytes_per_s, hidden_ns) / rate.stream_bytes_per_s,
            self._exposed_bytes(num_bytes, rate.total_bytes_per_s, hidden_ns) / rate.total_bytes_per_s,
        )
        duration_ns = rate.latency_ns + round(seconds * 1e9)
        done_ns = now_ns + duration_ns
        done = TransferDone(message.transfer_id, message.kind, message.plane, done_ns, num_bytes, duration_ns)
        heappush(self._arrivals, (done_ns, message.transfer_id, done))
        self.deadline_ns = self._arrivals[0][0]
        return NOTHING

    def _exposed_bytes(self, num_bytes: int, bytes_per_s: float, hidden_ns: int) -> float:
        """Bytes that are still to move when the pass has ended."""
        layers = self._config.num_layers
        hidable = num_bytes * (layers - 1) / layers
        return num_bytes - min(hidable, bytes_per_s * hidden_ns * 1e-9)

    def wake(self, now_ns: int) -> Outputs:
        """Report every transfer that is done by now."""
        arrivals = self._arrivals
        outputs: list[tuple[str, Message]] = []
        while arrivals and arrivals[0][0] <= now_ns:
            outputs.append((self._reports_to, heappop(arrivals)[2]))
        self.deadline_ns = arrivals[0][0] if arrivals else NEVER_NS
        return tuple(outputs)
