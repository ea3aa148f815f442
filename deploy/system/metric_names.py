"""Which naming schemes a cluster's metrics have, and what those of chip makers must know of its chips."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from scheduler.metrics.export.names import ascend, dcgm
from scheduler.metrics.export.names.schemes import SCHEMES, default_names
from scheduler.metrics.live.snapshot import Chip
from scheduler.protocol.errors import ConfigError

if TYPE_CHECKING:  # settings look here for their names
    from sim_hw.hardware.supernode import Supernode

_MAKERS: Final = {"UB": ascend.MAKER, "NVLink": dcgm.MAKER}
"""The maker of a chip by its scale-up network, which no two makers share."""


def parse_names(text: str) -> tuple[str, ...]:
    """Schemes as a user lists them; anything unknown is a `ConfigError`."""
    chosen = [name.strip() for name in text.split(",")]
    for name in chosen:
        if name not in SCHEMES:
            near = get_close_matches(name, SCHEMES, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"unknown naming scheme {name!r}; {hint}known: {', '.join(SCHEMES)}")
    return tuple(name for name in SCHEMES if name in chosen)


def names_shown(chosen: tuple[str, ...], cluster: Supernode) -> tuple[str, ...]:
    """The schemes of a cluster: those chosen, else the usual ones.

    `ConfigError` for the exporter of another maker's chips.
    """
    maker = _maker(cluster)
    if not chosen:
        return default_names(maker)
    for name in chosen:
        if SCHEMES[name].maker not in ("", maker):
            raise ConfigError(f"names: {name} is the exporter of other chips than {cluster.chip.title}; leave it out")
    return chosen


def chip_shown(kv_reserve_share: float, cluster: Supernode) -> Chip:
    """The chip of a cluster as plain numbers."""
    chip = cluster.chip
    return Chip(
        _maker(cluster),
        chip.title,
        chip.num_dies.count,
        chip.die.hbm_bytes.value,
        1.0 - kv_reserve_share,
        chip.idle_w.value,
        chip.tdp_w.value,
    )


def _maker(cluster: Supernode) -> str:
    return _MAKERS.get(cluster.chip.scale_up_network, "")
