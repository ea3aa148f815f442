"""What an operator may say of the instances of a cluster: names that are there, and counts for which there is room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.catalog import unknown
from scheduler.protocol.errors import ConfigError
from scheduler.sources.arrivals import BLOCK_TOKENS


def instance_roles(settings: Settings) -> dict[str, str]:
    """The role of each instance that may be there, by address."""
    return {spec.address: spec.role.value for spec in Blueprint(settings, BLOCK_TOKENS).instances}


def known_instances(settings: Settings, addresses: Sequence[str]) -> list[str]:
    """These, each once; `ConfigError` for a name that is no instance, and for none at all."""
    names = instance_roles(settings)
    for address in addresses:
        if address not in names:
            raise ConfigError(unknown("instance", address, names))
    if not addresses:
        raise ConfigError(f"no instance is named; known: {', '.join(names)}")
    return list(dict.fromkeys(addresses))


def possible_counts(settings: Settings, counts: Mapping[str, int]) -> dict[str, int]:
    """These; `ConfigError` for a role that no instance has, for fewer than one and for more than there is room for."""
    there = Counter(instance_roles(settings).values())
    for role, count in counts.items():
        if role not in there:
            raise ConfigError(unknown("role", role, there))
        if not 1 <= count <= there[role]:
            raise ConfigError(
                f"{role}={count}: the cluster that is up has {there[role]} such instances; give 1 to {there[role]}"
            )
    if not counts:
        raise ConfigError(f"no role is named; known: {', '.join(there)}")
    return dict(counts)
