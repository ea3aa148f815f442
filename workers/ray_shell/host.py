"""The Ray actor that hosts components: one for each instance, one for fabric and cache pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

import ray
from msgspec import Struct

from scheduler.protocol.component import Component
from scheduler.protocol.errors import WorkerLostError
from workers.ray_shell.failures import from_ray, portable
from workers.ray_shell.host_loop import HostLoop
from workers.ray_shell.identity import Identity, find_stranger, identity

CALL_S: Final = 30.0
"""Wall seconds after which a call of the control plane counts as lost."""

# Ray's types are incomplete.
_RAY: Final[Any] = ray
_STATE: Final[Any] = import_module("ray._private.state")


class HostSpec(Struct, frozen=True):
    """What a host is to be, as plain data, so that no code travels.

    `factory` names a function `(spec, address) -> Component`, `clock` a function `(zero_wall_ns, speed) -> HostClock`,
    each as `module:name`; the host imports them itself.
    """

    name: str
    addresses: tuple[str, ...]
    num_npus: int
    factory: str
    clock: str


class HostActor:
    """Hosts the components of `spec.addresses`, fresh ones for each run.

    Made a Ray actor by `transport.start_hosts`; its calls in order: `ready`, then for each run `assign`, `begin` and
    `receive`. A process that takes the place of a dead one knows its `HostSpec` and nothing else.
    """

    def __init__(self, spec: HostSpec, control_name: str) -> None:
        self._spec = spec
        self._control_name = control_name
        self._control: Any = None
        self._identity = identity()
        self._sender = ""
        self._began_ns = 0
        self._components: list[Component] = []
        self._loop: HostLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._meeting: asyncio.Task[None] | None = None

    async def ready(self, expected: Identity) -> str:
        """Empty if all is well, else the line that says why not."""
        return find_stranger(self._identity, expected)

    async def assign(self, sender: str, spec: dict[str, Any]) -> None:
        """Make the components of a run from its plain data; `sender` is the host's name on envelopes of that run.

        `spec["began_ns"]` is the emulated time from which they account.
        """
        if self._running is not None:
            self._running.cancel()
        self._loop = self._running = None
        try:
            make = named(self._spec.factory)
            self._components = [make(spec, address) for address in self._spec.addresses]
        except Exception as error:
            raise portable(error) from error
        self._control = _RAY.get_actor(self._control_name)
        self._sender, self._began_ns = sender, spec["began_ns"]

    async def num_restarts(self) -> int:
        """How often Ray has started this host again."""
        return int(_STATE.actors(_RAY.get_runtime_context().get_actor_id())["NumRestarts"])

    async def begin(self, zero_wall_ns: int, speed: float, lead_ns: int) -> None:
        """Start the clock and the timer; see `HostLoop` for `lead_ns`, emulated time ahead of that clock."""
        if not self._sender:
            raise WorkerLostError(f"{self._spec.name} was started anew and knows nothing of this run")
        clock = named(self._spec.clock)(zero_wall_ns, speed)
        self._loop = HostLoop(self._sender, self._components, clock, self._post, self._began_ns, lead_ns)
        self._running = asyncio.create_task(self._loop.run())
        # Ray connects two processes at the first call, which may take 30 ms: not with the first report of a run.
        self._meeting = asyncio.create_task(self._meet())

    async def receive(self, data: bytes) -> bytes:
        """Take an envelope; returns the next one of this host. Nothing is awaited, so calls stay in order."""
        if self._loop is None:
            raise WorkerLostError(f"{self._spec.name} was started anew and knows nothing of this run")
        try:
            return self._loop.receive(data)
        except Exception as error:
            raise portable(error) from error

    async def _meet(self) -> None:
        with suppress(Exception):  # who is not there is missed when something is posted
            await asyncio.wait_for(self._control.meet.remote(), CALL_S)

    async def _post(self, data: bytes) -> None:
        try:
            await asyncio.wait_for(self._control.deliver.remote(data), CALL_S)
        except Exception as error:
            raise from_ray("the control plane", error) from error


def named(name: str) -> Callable[..., Any]:
    """The function or method that `module:name` names."""
    module, _, attribute = name.partition(":")
    return attrgetter(attribute)(import_module(module))
