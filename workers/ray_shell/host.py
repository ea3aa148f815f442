"""The Ray actor that hosts components: one for each instance, one for fabric and cache pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import Any, Final

from workers.ray_shell.failures import from_ray, portable
from workers.ray_shell.host_loop import HostLoop
from workers.ray_shell.identity import Identity, find_stranger

CALL_S: Final = 30.0
"""Wall seconds after which a call of an actor counts as lost."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host is to be, as plain data, so that no code travels.

    `factory` names a function `(spec, address) -> Component`, `clock` a function `(zero_wall_ns, speed) -> HostClock`,
    each as `module:name`; the host imports them itself.
    """

    name: str
    addresses: tuple[str, ...]
    num_npus: int
    factory: str
    clock: str
    spec: dict[str, Any]


class HostActor:
    """Hosts the components of `spec.addresses`. Made a Ray actor by `transport.start_hosts`."""

    def __init__(self, spec: HostSpec, expected: Identity, control: Any) -> None:
        self._spec = spec
        self._control = control
        self._stranger = find_stranger(expected)
        self._loop: HostLoop | None = None
        self._running: asyncio.Task[None] | None = None
        if not self._stranger:
            make = named(spec.factory)
            self._components = [make(spec.spec, address) for address in spec.addresses]

    async def ready(self) -> str:
        """Empty if all is well, else the line that says why not."""
        return self._stranger

    async def begin(self, zero_wall_ns: int, speed: float) -> None:
        """Start the clock and the timer."""
        clock = named(self._spec.clock)(zero_wall_ns, speed)
        self._loop = HostLoop(self._spec.name, self._components, clock, self._post)
        self._running = asyncio.create_task(self._loop.run())

    async def receive(self, data: bytes) -> bytes:
        """Take an envelope; answers the next one of this host. Nothing is awaited, so calls stay in order."""
        assert self._loop is not None
        try:
            return self._loop.receive(data)
        except Exception as error:
            raise portable(error) from error

    async def _post(self, data: bytes) -> None:
        try:
            await asyncio.wait_for(self._control.deliver.remote(data), CALL_S)
        except Exception as error:
            raise from_ray("the control plane", error) from error


def named(name: str) -> Callable[..., Any]:
    """The function or method that `module:name` names."""
    module, _, attribute = name.partition(":")
    return attrgetter(attribute)(import_module(module))
