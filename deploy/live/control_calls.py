"""Operations on a standing cluster, by name: what `ControlPlane.call` can be asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deploy.live.control_plane import ControlPlane


async def _status(plane: ControlPlane) -> dict[str, Any]:
    return plane.status()


async def _stop(plane: ControlPlane) -> dict[str, Any]:
    await plane.stop()
    return plane.status()


COMMANDS: Final[Mapping[str, Callable[..., Awaitable[Any]]]] = {
    "status": _status,
    "stop": _stop,
}
"""Each takes the control plane and named arguments of plain data, and answers plain data."""
