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


async def _status(plane: Controlled) -> dict[str, Any]:
    return plane.status()


async def _stop(plane: Controlled) -> dict[str, Any]:
    await plane.stop(by_operator=True)
    return plane.status()


async def _fail(plane: Controlled, parts: Sequence[str]) -> list[str]:
    return plane.fail_parts(parts)


async def _repair(plane: Controlled, parts: Sequence[str] | None) -> list[str]:
    return plane.repair_parts(parts)


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "status": _status,
    "stop": _stop,
    "fail": _fail,
    "repair": _repair,
}
"""Each takes the control plane and named arguments of plain data, and answers plain data. Whoever names parts has held
them against the cluster's topology."""
