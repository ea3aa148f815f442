"""Operations on a standing cluster, by name: what `ControlPlane.call` can be asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol


class Controlled(Protocol):
    """The control plane, as operations need it."""

    def status(self) -> dict[str, Any]:
        """What goes on."""
        ...

    async def stop(self, *, by_operator: bool = False) -> None:
        """End the replay at once."""
        ...

    def fail_parts(self, parts: Sequence[str]) -> list[str]:
        """Break parts of the fabric; returns all that are broken."""
        ...

    def repair_parts(self, parts: Sequence[str] | None) -> list[str]:
        """Repair parts of the fabric, all if None; returns those that stay broken."""
        ...

    def drain_instances(self, addresses: Sequence[str]) -> dict[str, str]:
        """Have these leave; returns where all instances are."""
        ...

    def scale_instances(self, counts: Mapping[str, int]) -> dict[str, str]:
        """Have so many instances of each role; returns where all instances are."""
        ...

    def instances(self) -> dict[str, str]:
        """Where all instances are: a phase by address."""
        ...


async def _status(plane: Controlled) -> dict[str, Any]:
    return plane.status()


async def _stop(plane: Controlled) -> dict[str, Any]:
    await plane.stop(by_operator=True)
    return plane.status()


async def _fail(plane: Controlled, parts: Sequence[str]) -> list[str]:
    return plane.fail_parts(parts)


async def _repair(plane: Controlled, parts: Sequence[str] | None) -> list[str]:
    return plane.repair_parts(parts)


async def _drain(plane: Controlled, addresses: Sequence[str]) -> dict[str, str]:
    return plane.drain_instances(addresses)


async def _scale(plane: Controlled, counts: Mapping[str, int]) -> dict[str, str]:
    return plane.scale_instances(counts)


async def _instances(plane: Controlled) -> dict[str, str]:
    return plane.instances()


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "status": _status,
    "stop": _stop,
    "fail": _fail,
    "repair": _repair,
    "drain": _drain,
    "scale": _scale,
    "instances": _instances,
}
"""Each takes the control plane and named arguments of plain data, and answers plain data. Whoever names parts
or instances has held them against the cluster's topology and plan."""
