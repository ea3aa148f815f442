"""The Ray actor in which the control plane lives: core, source and collector on a `LiveRuntime`."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from scheduler.core.ledger import Ledger
from scheduler.protocol.component import Component
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import LiveClock
from scheduler.runtime.journal import JournalHeader, JournalledCore, JournalWriter
from scheduler.runtime.live import LiveEnd, LiveRuntime
from scheduler.runtime.virtual import Tap
from workers.ray_shell.failures import portable
from workers.ray_shell.host import named
from workers.ray_shell.identity import Identity, find_stranger
from workers.ray_shell.transport import RayWorkerTransport

ACTOR_NAME: Final = "control-plane"
"""The actor's name in the namespace of the cluster."""


class Core(Component, Protocol):
    """A scheduler core: a component with an account of all requests."""

    ledger: Ledger


@dataclass(slots=True)
class ControlParts:
    """What the factory makes. `tap` is shown all that the core is given; what `keep` answers when the run has ended
    goes back to the driver, pickled."""

    core: Final[Core]
    source: Final[Component]
    tap: Final[Tap]
    keep: Final[Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class ControlSpec:
    """What the control plane is to run, as plain data.

    `factory` names a function `(spec) -> ControlParts` as `module:name`. `hosts` maps each host to the addresses on it.
    With a `journal_path` all that the core is given is written there under `journal_header`.
    """

    factory: str
    spec: dict[str, Any]
    hosts: dict[str, tuple[str, ...]]
    journal_path: str = ""
    journal_header: JournalHeader = field(default_factory=JournalHeader)


@dataclass(slots=True)
class LiveOutcome:
    """How a live run ended, and what its control plane kept: the objects that a virtual run leaves in its process."""

    end: Final[LiveEnd]
    kept: Final[Any]


class ControlPlane:
    """Made a Ray actor by `live_run`; its calls in order: `ready`, `start`, `begin`, `progress`, `stop`, `result`."""

    def __init__(self, expected: Identity) -> None:
        self._stranger = find_stranger(expected)
        self._control: ControlSpec | None = None
        self._handles: Mapping[str, Any] = {}
        self._runtime: LiveRuntime | None = None
        self._clock: LiveClock | None = None
        self._parts: ControlParts | None = None
        self._running: asyncio.Task[bytes] | None = None

    async def ready(self) -> str:
        """Empty if all is well, else the line that says why not."""
        return self._stranger

    async def start(self, control: bytes, handles: Mapping[str, Any]) -> None:
        """Take a pickled `ControlSpec` and the hosts' actor handles; build core, source and collector."""
        spec: ControlSpec = pickle.loads(control)
        self._control = spec
        self._handles = handles
        try:
            self._parts = named(spec.factory)(spec.spec)
        except Exception as error:
            raise portable(error) from error

    async def begin(self, zero_wall_ns: int, speed: float) -> None:
        """Start the clock and the run."""
        assert self._control is not None
        assert self._parts is not None
        parts = self._parts
        self._clock = LiveClock.at_wall_zero(zero_wall_ns, speed)
        journal = ExitStack()
        core: Component = parts.core
        if self._control.journal_path:
            writer = JournalWriter(self._control.journal_path, self._control.journal_header)
            core = JournalledCore(core, journal.enter_context(writer))
        transport = RayWorkerTransport(self._handles, self._control.hosts)
        self._runtime = LiveRuntime([parts.source, core], core.address, transport, self._clock, (parts.tap,))
        self._running = asyncio.create_task(self._run(self._runtime, parts.keep, journal))

    async def deliver(self, data: bytes) -> None:
        """Take an envelope from a host. Nothing is awaited, so calls stay in order."""
        if self._runtime is None:
            raise ClusterError("an envelope came before the run began")
        self._runtime.deliver(data)

    async def progress(self) -> dict[str, Any]:
        """How far the run is."""
        if self._runtime is None or self._clock is None or self._parts is None:
            return {"is_done": False}
        hops, ledger = self._runtime.lateness.cost(self._clock.speed), self._parts.core.ledger
        return {
            "is_done": self._running is not None and self._running.done(),
            "emulated_s": max(self._clock.now_ns(), 0) / 1e9,
            "num_requests": ledger.num_requests,
            "num_open": ledger.num_open,
            "num_messages": self._runtime.num_messages,
            "hop_p50_ms": hops.p50_wall_ns / 1e6,
            "hop_p99_ms": hops.p99_wall_ns / 1e6,
        }

    async def stop(self) -> None:
        """End the run at once."""
        if self._runtime is not None:
            self._runtime.stop()

    async def result(self) -> bytes:
        """Wait for the end; a pickled `LiveOutcome`. Raises what ended the run instead."""
        assert self._running is not None
        try:
            return await self._running
        except Exception as error:
            raise portable(error) from error

    async def _run(self, runtime: LiveRuntime, keep: Callable[[], Any], journal: ExitStack) -> bytes:
        with journal:
            end = await runtime.run()
        return pickle.dumps(LiveOutcome(end, keep()))
