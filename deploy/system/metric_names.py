"""Which naming schemes a cluster's metrics have, and what those of chip makers must know of its chips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.metrics.export.names.schemes import SCHEMES, default_names
from scheduler.metrics.layout import Chip
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.sheet import maker_of

if TYPE_CHECKING:  # a configuration looks here for its names
    from deploy.settings.run_config import RunConfig
    from sim_hw.clusters.supernode import Supernode


def parse_names(text: str, place: str = "names") -> tuple[str, ...]:
    """Schemes as a user lists them; anything unknown is a `ConfigError` that begins with `place`."""
    chosen = [name.strip() for name in text.split(",")]
    for name in chosen:
        SCHEMES.find(name, place)
    return tuple(name for name in SCHEMES if name in chosen)


def names_shown(config: RunConfig, cluster: Supernode) -> tuple[str, ...]:
    """The schemes of a cluster: those asked for, else the usual ones.

    `ConfigError` for the exporter of another maker's chips.
    """
    maker = chip_shown(config, cluster).maker
    if not config.names:
        return default_names(maker)
    chosen = parse_names(config.names)
    for name in chosen:
        if SCHEMES[name].maker not in ("", maker):
            fix = "leave it out" if maker else f"leave it out, or give the chip's file maker: {SCHEMES[name].maker}"
            raise ConfigError(f"names: {name} is the exporter of other chips than {cluster.chip.title}; {fix}")
    return chosen


def chip_shown(config: RunConfig, cluster: Supernode) -> Chip:
    """The chip of a cluster as plain numbers."""
    chip = cluster.chip
    return Chip(
        maker_of(chip),
        chip.title,
        chip.num_dies.count,
        chip.die.hbm_bytes.value,
        1.0 - config.kv_reserve_share,
        chip.idle_w.value,
        chip.tdp_w.value,
    )
