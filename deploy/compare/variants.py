"""What is compared: configurations that differ in one thing, under a name each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.settings.run_config import RunConfig, load_config
from scheduler.protocol.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Variant:
    """One column of a comparison."""

    name: str
    config: RunConfig


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
            config = load_config(path, given)
            parts = [config.cluster] * (len(clusters) > 1) + [config.policy] * (len(policies) > 1)
            variants.append(Variant(" ".join(parts) or config.policy, config))
    return variants
