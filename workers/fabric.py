"""The fabric, first form: three planes of constant bandwidth, no contention."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import Message, Plane, RunEnded, StartTransfer, TransferDone, TransferKind


@dataclass(frozen=True, slots=True)
class ChannelRate:
    """What one kind of transfer gets on one plane.

    `stream_bytes_per_s` bounds one request's data, `total_bytes_per_s` all that one transfer moves.
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
    """A `Component` that turns `StartTransfer` into `TransferDone` at the time the last byte arrives.

    Nobody waits for writes to the cache: their ends are reported with the next end that somebody waits for, or when
    the run ends, each with the time at which it fell due.
    """

    address = "fabric"
    priority = Priority.FABRIC

    def __init__(self, config: FabricConfig, reports_to: str = "core") -> None:
        self.deadline_ns = NEVER_NS
        self._bytes_per_token = config.kv_bytes_per_token
        self._num_layers = config.num_layers
        self._reports_to = reports_to
        self._waited: list[tuple[int, int, TransferDone]] = []
        self._unwaited: list[tuple[int, int, TransferDone]] = []
        # Nanoseconds per token of one request, per token of all requests, and latency, by channel.
        self._paces: dict[tuple[int, int, str], tuple[float, float, int]] = {
            channel: (
                config.kv_bytes_per_token / rate.stream_bytes_per_s * 1e9,
                config.kv_bytes_per_token / rate.total_bytes_per_s * 1e9,
                rate.latency_ns,
            )
            for channel, rate in config.channels.items()
        }

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one transfer."""
        if isinstance(message, StartTransfer):
            self._start(now_ns, message)
        elif isinstance(message, RunEnded):
            # A run that was not cut short has seen all it waited for; writes under way will end unhindered.
            horizon_ns = now_ns if message.interrupted else NEVER_NS
            self.deadline_ns = NEVER_NS
            return tuple(self._ended(self._waited, horizon_ns) + self._ended(self._unwaited, horizon_ns))
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Report every transfer that is done by now."""
        outputs = self._ended(self._waited, now_ns)
        if self._unwaited:
            outputs += self._ended(self._unwaited, now_ns)
        self.deadline_ns = self._waited[0][0] if self._waited else NEVER_NS
        return tuple(outputs)

    def _start(self, now_ns: int, message: StartTransfer) -> None:
        kind, tokens = message.kind, message.num_tokens
        # The prefill side names the channel: it is the end that both hand-over and cache traffic have in common.
        instance = message.destination if kind == TransferKind.CACHE_READ else message.source
        stream_ns, total_ns, latency_ns = self._paces[kind, message.plane, instance]
        num_tokens = sum(tokens)
        moving_ns = max(max(tokens) * stream_ns, num_tokens * total_ns)
        # Whatever was hidden, the last layer's share can only flow when the pass has ended.
        # Live, a sender may be told of the opening later than the transfer falls due: then nothing was hidden.
        hidden_ns = max(0, now_ns - message.open_ns)
        exposed_ns = max(moving_ns / self._num_layers, moving_ns - hidden_ns)
        duration_ns = latency_ns + round(exposed_ns)
        done_ns = now_ns + duration_ns
        num_bytes = num_tokens * self._bytes_per_token
        done = TransferDone(message.transfer_id, kind, message.plane, done_ns, num_bytes, duration_ns)
        if kind == TransferKind.CACHE_WRITE:
            heappush(self._unwaited, (done_ns, message.transfer_id, done))
        else:
            heappush(self._waited, (done_ns, message.transfer_id, done))
            self.deadline_ns = self._waited[0][0]

    def _ended(self, transfers: list[tuple[int, int, TransferDone]], now_ns: int) -> list[tuple[str, Message]]:
        outputs: list[tuple[str, Message]] = []
        while transfers and transfers[0][0] <= now_ns:
            outputs.append((self._reports_to, heappop(transfers)[2]))
        return outputs
