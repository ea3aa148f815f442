"""Publishes KV events over ZMQ as vLLM does: a PUB socket, and a ROUTER socket that sends again what was missed.

A message is [topic, number of the batch as 8 bytes, batch]. Who asks for batches from a number on sends that number; it
is answered by a message for each that is still kept, and at the end by one numbered -1 with nothing in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from deploy.engines.kv_events import BatchEncoder, KvEvent, WireForm
from deploy.http.spec import is_loopback
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.runtime.clock import wall_now_ns

if TYPE_CHECKING:
    from types import ModuleType

KEPT_BATCHES: Final = 10_000
"""Batches that can be sent again, as many as vLLM keeps."""

MAX_UNSENT: Final = 100_000
"""Messages that wait for one subscriber; of more, the later ones are lost to it, and it can ask for them again."""

MAX_TOPIC_CHARACTERS: Final = 256

_END: Final = (-1).to_bytes(8, signed=True)


class KvEventsSpec(Struct, frozen=True):
    """Where events are published, and where they can be asked for again (empty for nowhere).

    A socket on this machine alone (a loopback address, `ipc://`) is bound; with any other host the publisher connects
    to who listens there, as vLLM's does.
    """

    endpoint: str
    replay: str = ""
    topic: str = ""
    form: WireForm = WireForm.MAP

    def shifted(self, number: int) -> KvEventsSpec:
        """Those of the engine of that number: ports count up, as vLLM's do by data-parallel rank."""
        replay = shift_port(self.replay, number) if self.replay else ""
        return KvEventsSpec(shift_port(self.endpoint, number), replay, self.topic, self.form)


def parse_endpoint(option: str, text: str, *, binds: bool = False) -> str:
    """`tcp://HOST:PORT` or `ipc://PATH`; a `ConfigError` for anything else, for an address that anybody reaches, and
    where it is to be bound (`binds`) for one that is not of this machine."""
    if text.startswith("ipc://") and len(text) > len("ipc://"):
        return text
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not text.startswith("tcp://") or not host or not (port.isascii() and port.isdigit() and len(port) < 6):
        raise ConfigError(f"{option} {text}: give tcp://HOST:PORT, such as tcp://127.0.0.1:5557, or ipc://PATH")
    if host in ("*", "0.0.0.0", "[::]") or (binds and not is_loopback(host.strip("[]"))):
        raise ConfigError(
            f"{option} {text}: other machines would read every prompt there without a key; bind 127.0.0.1 or ipc://, "
            "or give --kv-events the host of who listens, to which the engine connects"
        )
    return text


def shift_port(endpoint: str, number: int) -> str:
    """The endpoint of another engine."""
    head, colon, port = endpoint.rpartition(":")
    if endpoint.startswith("ipc://"):
        return f"{endpoint}.{number}" if number else endpoint
    return f"{head}{colon}{int(port) + number}"


def load_zmq() -> tuple[ModuleType, ModuleType]:
    """pyzmq, and its sockets for an event loop; a `ConfigError` with what to install where it is not there."""
    try:
        return import_module("zmq"), import_module("zmq.asyncio")
    except ImportError as error:
        line = "--kv-events needs pyzmq, which is not installed: pip install 'supernode-serve[engines]'"
        raise ConfigError(line) from error


class Publisher:
    """`add` events between `start` and `close`; those of one turn of the loop are one batch."""

    def __init__(self, spec: KvEventsSpec) -> None:
        modules: tuple[Any, Any] = load_zmq()
        self._zmq, self._zmq_asyncio = modules
        self._spec: Final = spec
        self._encoder: Final = BatchEncoder(spec.form)
        self._topic: Final = spec.topic.encode()
        self._contexts: list[Any] = []
        self._pub: Any = None
        self._replay: Any = None
        self._replaying: asyncio.Task[None] | None = None
        self._batch: list[KvEvent] = []
        self._kept: deque[tuple[bytes, bytes]] = deque(maxlen=KEPT_BATCHES)
        self._num_published = 0

    def start(self) -> None:
        """Bind or connect. `ClusterError` if it cannot."""
        zmq, spec = self._zmq, self._spec
        # A PUB socket needs no loop, as it never waits: it drops what a subscriber is too slow for.
        self._pub = self._context(zmq).socket(zmq.PUB)
        self._pub.set_hwm(MAX_UNSENT)
        self._pub.linger = 0
        is_bound = spec.endpoint.startswith("ipc://") or is_loopback(_host_of(spec.endpoint))
        self._open(self._pub.bind if is_bound else self._pub.connect, spec.endpoint)
        if spec.replay:
            self._replay = self._context(self._zmq_asyncio).socket(zmq.ROUTER)
            self._replay.linger = 0
            self._open(self._replay.bind, spec.replay)
            self._replaying = asyncio.create_task(self._replay_all())

    def _context(self, module: Any) -> Any:
        context = module.Context()
        self._contexts.append(context)
        return context

    def _open(self, call: Any, endpoint: str) -> None:
        try:
            call(endpoint)
        except self._zmq.ZMQError as error:
            line = f"KV events cannot be published on {endpoint} ({error}); give another address"
            raise ClusterError(line) from error

    def add(self, event: KvEvent) -> None:
        """Publish it with what else this turn of the loop brings."""
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._publish)
        self._batch.append(event)

    def _publish(self) -> None:
        if self._pub is None:
            return
        batch, self._batch = self._batch, []
        number = self._num_published.to_bytes(8)
        payload = self._encoder.encode(wall_now_ns() / 1e9, batch)
        self._num_published += 1
        self._kept.append((number, payload))
        self._pub.send_multipart((self._topic, number, payload), self._zmq.NOBLOCK)

    async def _replay_all(self) -> None:
        while True:
            frames: list[bytes] = await self._replay.recv_multipart()
            if len(frames) != 3 or len(frames[2]) != 8:
                continue  # not how batches are asked for: it gets no answer, as from vLLM
            client, empty, first = frames
            for number, payload in list(self._kept):
                if number >= first:
                    await self._replay.send_multipart((client, empty, number, payload))
            await self._replay.send_multipart((client, empty, _END, b""))

    def close(self) -> None:
        """Let go of the sockets."""
        if self._replaying is not None:
            self._replaying.cancel()
        for socket in (self._pub, self._replay):
            if socket is not None:
                socket.close()
        self._pub = None
        for context in self._contexts:
            context.term()


def _host_of(endpoint: str) -> str:
    return endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
