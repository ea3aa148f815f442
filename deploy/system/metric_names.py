"""Which naming schemes a cluster's metrics have, and what those of chip makers must know of its chips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.metrics.export.names.schemes import SCHEMES, default_names
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.sheet import maker_of

if TYPE_CHECKING:  # settings look here for their names
    from sim_hw.clusters.supernode import Supernode


def parse_names(text: str) -> tuple[str, ...]:
    """Schemes as a user lists them; anything unknown is a `ConfigError`."""
    chosen = [name.strip() for name in text.split(",")]
    for name in chosen:
        SCHEMES.find(name)
    return tuple(name for name in SCHEMES if name in chosen)


def names_shown(chosen: tuple[str, ...], *clusters: Supernode) -> tuple[str, ...]:
    """The schemes of a fleet of these clusters: those chosen, else the usual ones.

    `ConfigError` for the exporter of a maker of whose chips there are none.
    """
    chips = [one.chip for one in clusters]
    makers = {maker_of(chip) for chip in chips}
    if not chosen:
        return default_names(*makers)
    for name in chosen:
        if SCHEMES[name].maker not in ("", *makers):
            unless = f", or give the chip's file maker: {SCHEMES[name].maker}" if "" in makers else ""
            titles = " and ".join(dict.fromkeys(chip.title for chip in chips))
            raise ConfigError(f"names: {name} is the exporter of other chips than {titles}; leave it out{unless}")
    return chosen
