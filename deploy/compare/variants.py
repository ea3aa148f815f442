"""What is compared: settings that differ in one thing, under a name each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from msgspec import Struct

from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError


class Variant(Struct, frozen=True):
    """One column of a comparison."""

    name: str
    settings: Settings


def variants_of(
    clusters: Sequence[str],
    policies: Sequence[str],
    path: str | None,
    flags: Mapping[str, Any],
    plans: Sequence[str] = (),
) -> list[Variant]:
    """Every cluster with every plan and every policy; a single choice of any is no part of the names.

    Raises `ConfigError` for a name that is given twice, or where there is nothing to compare.
    """
    choices = {"cluster": list(clusters), "plan": list(plans), "policy": list(policies)}
    for kind, names in choices.items():
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{kind} {name} is given twice; leave one out")
    varied = [kind for kind, names in choices.items() if len(names) > 1]
    variants: list[Variant] = []
    for chosen in product(*(names or [None] for names in choices.values())):
        given = {kind: name for kind, name in zip(choices, chosen, strict=True) if name is not None}
        settings = load_settings(path, {**flags, **given})
        parts = [str(settings.flat[kind]) for kind in varied]
        variants.append(Variant(" ".join(parts) or str(settings.flat["policy"]), settings))
    return variants
