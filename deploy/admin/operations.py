"""The table of a control plane's commands as calls with checked arguments: what JSON may say is what they declare."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, get_type_hints

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, create_model

from deploy.faults.parts import fabric_parts, named
from deploy.settings.settings import Settings
from deploy.system.commanded import known_instances, possible_counts

Command = Callable[..., Awaitable[Any]]
"""Takes the control plane and named arguments of plain data."""


class Operation(Struct, frozen=True):
    """One command. `arguments` are all that it takes but the control plane, strict; others are refused."""

    name: str
    arguments: type[BaseModel]


def operations_of(commands: Mapping[str, Command]) -> dict[str, Operation]:
    """All of a table, by name."""
    return {name: Operation(name, _arguments(name, command)) for name, command in commands.items()}


def _arguments(name: str, command: Command) -> type[BaseModel]:
    hints = get_type_hints(command)
    _, *taken = inspect.signature(command).parameters.values()
    fields: dict[str, Any] = {
        one.name: (hints[one.name], ... if one.default is one.empty else one.default) for one in taken
    }
    return create_model(name, __config__=ConfigDict(strict=True, extra="forbid"), **fields)


def known_names(config: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that name something of the cluster of these settings, in the names that it knows; `ConfigError` for
    what is not there."""
    if not _CHECKS.keys() & arguments.keys():
        return dict(arguments)
    settings = Settings.from_plain(config)
    return {name: _CHECKS[name](settings, value) if name in _CHECKS else value for name, value in arguments.items()}


def _parts(settings: Settings, names: list[str] | None) -> list[str] | None:
    return None if names is None else named(names, fabric_parts(settings.hardware))


_CHECKS: Final[Mapping[str, Callable[[Settings, Any], Any]]] = {
    "parts": _parts,
    "addresses": known_instances,
    "counts": possible_counts,
}
"""By the name of the argument: whoever calls a command has held it against the cluster, as the command line does."""
