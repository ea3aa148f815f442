"""What is compared: settings that differ in one thing, under a name each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of a comparison."""

    name: str
    settings: Settings


def variants_of(
    clusters: Sequence[str], policies: Sequence[str], path: str | None, flags: Mapping[str, Any]
) -> list[Variant]:
    """Every cluster with every policy; a single choice of either is no part of the names.

    Raises `ConfigError` for a name that is given twice, or where there is nothing to compare.
    """
    for kind, names in (("cluster", clusters), ("policy", policies)):
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{kind} {name} is given twice; leave one out")
    variants: list[Variant] = []
    for cluster in clusters or [None]:
        for policy in policies or [None]:
            given = dict(flags)
            if cluster is not None:
                given["cluster"] = cluster
            if policy is not None:
                given["policy"] = policy
            settings = load_settings(path, given)
            names = str(settings.flat["cluster"]), str(settings.flat["policy"])
            parts = [names[0]] * (len(clusters) > 1) + [names[1]] * (len(policies) > 1)
            variants.append(Variant(" ".join(parts) or names[1], settings))
    return variants
