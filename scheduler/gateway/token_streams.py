"""Tells whoever waits for an answer of each token as reports tell of it, once and in order (INV-15)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from scheduler.core.guest import Guest
from scheduler.core.request_table import RequestTable
from scheduler.gateway.gateway_source import GatewaySource
from scheduler.gateway.step_times import step_times
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import DecodeStepped, Message, PrefillStepped, RequestsArrived, WorkersLost
from scheduler.protocol.running_tokens import unpack_running

NO_LIMIT: Final = 2**62


class AnswerListener(Protocol):
    """Who is told of answers, by the keys of the gateway's source."""

    def produced(self, key: int, num_tokens: int, at_ns: int) -> None:
        """So many tokens of this answer are out in all, the last of them at that time; more than ever before."""
        ...

    def ended(self, key: int, request_id: int) -> None:
        """Nothing more comes; the row of the request's table tells why, and what came."""
        ...


def _most_tokens(message: DecodeStepped) -> dict[int, int]:
    """Output tokens in all by request, of those that finished; of each sequence where they do not produce alike."""
    told = dict(zip(message.finished_ids, message.finished_tokens, strict=True))
    if message.more_tokens:
        told.update(zip(message.preempted_ids, message.preempted_tokens, strict=True))
        if message.running_tokens:
            told.update(unpack_running(message.running_tokens))
    return told


class _Stream:
    """An open request whose client wants its tokens."""

    __slots__ = ("key", "num_told")

    def __init__(self, key: int) -> None:
        self.key: Final = key
        self.num_told = 0


class TokenStreams(Guest):
    """Follows the requests of one gateway through the reports of instances.

    A first token is out when the last pass over its prompt ends; a step of a decode instance brings each sequence that
    runs there its next ones. One that is requeued, because it was preempted or its instance was lost, goes on with the
    token after the last that was reported, which is the last that was told. What runs without a stream costs nothing.
    """

    hears = (RequestsArrived, PrefillStepped, DecodeStepped, WorkersLost)

    def __init__(self, table: RequestTable, source: GatewaySource, listener: AnswerListener) -> None:
        self._table = table
        self._source = source
        self._listener = listener
        # Key of each open request of this gateway, and the stream of those that have one, by request id.
        self._keys: dict[int, int] = {}
        self._streams: dict[int, _Stream] = {}
        # Streams that decode, by the address of their instance.
        self._running: dict[str, dict[int, _Stream]] = {}

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Tell what is new."""
        if isinstance(message, DecodeStepped):
            if self._streams:
                self._on_decode_stepped(message)
        elif isinstance(message, PrefillStepped):
            if self._streams and message.prefilled_ids:
                self._on_prefilled(message)
        elif isinstance(message, RequestsArrived):
            if message.reply_to == self._source.address:
                self._on_arrived(message)
        elif isinstance(message, WorkersLost):
            for address in message.addresses:
                self._running.pop(address, None)
        return NOTHING

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Those of this gateway are told, after their last tokens."""
        for request_id in ids:
            key = self._keys.pop(request_id, None)
            if key is not None:
                if self._streams.pop(request_id, None) is not None:
                    for running in self._running.values():
                        running.pop(request_id, None)
                self._listener.ended(key, request_id)
        return NOTHING

    def _on_arrived(self, message: RequestsArrived) -> None:
        end = self._table.num_requests
        for request_id, key in zip(range(end - len(message.keys), end), message.keys, strict=True):
            self._keys[request_id] = key
            if key in self._source.streaming:
                self._streams[request_id] = _Stream(key)

    def _on_prefilled(self, message: PrefillStepped) -> None:
        produced = self._table.output_tokens
        for request_id in message.prefilled_ids:
            stream = self._streams.get(request_id)
            if stream is not None:
                self._tell(stream, produced[request_id], message.boundary_ns)

    def _on_decode_stepped(self, message: DecodeStepped) -> None:
        running = self._running.get(message.instance)
        if running:
            self._tell_steps(running, message)
            for request_id in (*message.finished_ids, *message.preempted_ids):
                running.pop(request_id, None)
        for request_id in message.started_ids:
            stream = self._streams.get(request_id)
            if stream is not None:
                self._running.setdefault(message.instance, {})[request_id] = stream

    def _tell_steps(self, running: dict[int, _Stream], message: DecodeStepped) -> None:
        """Step by step, as a client of each sequence sees them; who left has so many tokens in all and no more."""
        num_steps, before = message.num_steps, [(stream, stream.num_told) for stream in running.values()]
        most = _most_tokens(message)
        limits = [most.get(request_id, NO_LIMIT) for request_id in running] if most else [NO_LIMIT] * len(before)
        brought = [message.tokens_per_sequence] * len(before)
        if message.more_tokens:  # each has its own number of them, of which no step says more
            brought = [limit - num_before for (_, num_before), limit in zip(before, limits, strict=True)]
        for step, at_ns in enumerate(step_times(message), 1):
            for (stream, num_before), limit, tokens in zip(before, limits, brought, strict=True):
                self._tell(stream, min(num_before + tokens * step // num_steps, limit), at_ns)

    def _tell(self, stream: _Stream, num_tokens: int, at_ns: int) -> None:
        if num_tokens > stream.num_told:
            stream.num_told = num_tokens
            self._listener.produced(stream.key, num_tokens, at_ns)
