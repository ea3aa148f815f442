"""What travels between the control plane and a host of workers: several messages in one envelope, in order.

A carrier may swap envelopes (calls of an async Ray actor do); `Inbound` restores their order. Both ends bound what
waits (INV-12): `Outbox` what is to be sent, `Inbound` what came too early.
"""

from __future__ import annotations

from typing import Any, Final, cast

from msgspec import Struct

from scheduler.protocol.codec import VERSION, from_array, pack, to_array, unpack
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import ClusterError, CodecError
from scheduler.protocol.messages import Message

MAX_ITEMS: Final = 1024
"""Messages in one envelope; the rest goes with the next."""

MAX_IN_FLIGHT: Final = 1
"""Envelopes on their way from one sender to one receiver; what is said meanwhile waits and goes with the next. A call
costs the same however much it carries, so that more of them, on few cores, make every message later (docs/live.md)."""

MAX_WAITING_ITEMS: Final = 200_000
"""Messages that wait for a receiver; beyond it the receiver is hopelessly behind, and the run ends with an error."""

MAX_EARLY_ENVELOPES: Final = 64
"""Envelopes kept until those before them have come."""

Item = tuple[str, int, Message]
"""(address, emulated time at which it fell due, message)."""


class Envelope(Struct, frozen=True):
    """Messages from one sender, numbered from 0 without gaps, and how the sender stands after them.

    `num_received`: envelopes it has taken from this receiver. `deadline_ns`: when it will act by itself. `last_ns`: the
    latest emulated time of its components. `lateness_ns`: how late, in emulated time, the messages came that this
    envelope answers.
    """

    sender: str
    sequence: int
    num_received: int
    deadline_ns: int
    last_ns: int
    lateness_ns: list[int]
    items: list[Item]


def encode_envelope(envelope: Envelope) -> bytes:
    """One envelope as bytes."""
    e = envelope
    items = [(address, due_ns, to_array(message)) for address, due_ns, message in e.items]
    return pack((VERSION, e.sender, e.sequence, e.num_received, e.deadline_ns, e.last_ns, e.lateness_ns, items))


def decode_envelope(data: bytes) -> Envelope:
    """The envelope that `encode_envelope` was given; `CodecError` for anything else."""
    array = unpack(data)
    if type(array) is not list or not array:
        raise CodecError("not an envelope: no array [version, sender, ...]")
    values = cast("list[Any]", array)
    if values[0] != VERSION:
        raise CodecError(f"an envelope of protocol version {values[0]!r:.20}; this program speaks {VERSION}")
    if tuple(map(type, values)) != (int, str, int, int, int, int, list, list):
        raise CodecError("not an envelope: its fields are of other types")
    _, sender, sequence, num_received, deadline_ns, last_ns, lateness_ns, items = values
    if not set(map(type, lateness_ns)) <= {int}:
        raise CodecError("not an envelope: lateness is no list of integers")
    read = [_read_item(item) for item in items]
    return Envelope(sender, sequence, num_received, deadline_ns, last_ns, lateness_ns, read)


def _read_item(item: object) -> Item:
    if type(item) is not list:
        raise CodecError("not an envelope: an item is no array [address, due_ns, message]")
    values = cast("list[Any]", item)
    if tuple(map(type, values)) != (str, int, list):
        raise CodecError("not an envelope: an item is no array [address, due_ns, message]")
    return (values[0], values[1], from_array(values[2]))


class Inbound:
    """Puts one sender's envelopes back in order. One that was seen before is dropped: a carrier may repeat itself."""

    def __init__(self) -> None:
        self.num_received = 0
        self._early: dict[int, Envelope] = {}

    def take(self, envelope: Envelope) -> list[Envelope]:
        """Those that can be read now, in order: none while one before them is missing."""
        if envelope.sequence < self.num_received:
            return []
        self._early[envelope.sequence] = envelope
        if len(self._early) > MAX_EARLY_ENVELOPES:
            raise ClusterError(
                f"envelope {self.num_received} of {envelope.sender} is lost: {MAX_EARLY_ENVELOPES} later ones have come"
            )
        ready: list[Envelope] = []
        while (following := self._early.pop(self.num_received, None)) is not None:
            ready.append(following)
            self.num_received += 1
        return ready


class Outbox:
    """What one sender has to say to one receiver; counts the envelopes made of it."""

    def __init__(self, sender: str) -> None:
        self.num_sent = 0
        self._sender = sender
        self._waiting: list[Item] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: Item) -> None:
        """Keep one message for the next envelope."""
        if len(self._waiting) >= MAX_WAITING_ITEMS:
            raise ClusterError(
                f"{item[0]} is too far behind: {MAX_WAITING_ITEMS} messages wait for it; take a lower --speed"
            )
        self._waiting.append(item)

    def next(
        self, num_received: int = 0, deadline_ns: int = NEVER_NS, last_ns: int = 0, lateness_ns: list[int] | None = None
    ) -> Envelope:
        """The next envelope, with up to `MAX_ITEMS` of the messages that wait."""
        items, self._waiting = self._waiting[:MAX_ITEMS], self._waiting[MAX_ITEMS:]
        envelope = Envelope(self._sender, self.num_sent, num_received, deadline_ns, last_ns, lateness_ns or [], items)
        self.num_sent += 1
        return envelope
