"""Operations on a standing cluster, by name: what `ControlPlane.call` can be asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol


class Controlled(Protocol):
    """The control plane, as operations need it."""

    def status(self) -> dict[str, Any]:
        """What goes on."""
        ...

    async def stop(self) -> None:
        """End the replay at once."""
        ...


async def _status(plane: Controlled) -> dict[str, Any]:
    return plane.status()


async def _stop(plane: Controlled) -> dict[str, Any]:
    await plane.stop()
    return plane.status()


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "status": _status,
    "stop": _stop,
}
"""Each takes the control plane and named arguments of plain data, and answers plain data."""
