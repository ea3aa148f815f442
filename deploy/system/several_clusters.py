"""Plans whose supernodes differ: what has to agree between them."""

from __future__ import annotations

from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError
from sim_hw.clusters.supernode import Supernode


def check_supernodes(settings: Settings) -> None:
    """A `ConfigError` for supernodes between which no KV can be handed over."""
    hardware = settings.hardware
    text = hardware.plan.text
    for one in hardware.supernodes:
        _check_pair(text, hardware.cluster, one)
    only = hardware.supernodes[0].name
    if not hardware.plan.has_several_clusters and only != hardware.cluster.name:
        raise ConfigError(f"plan {text!r}: all its terms are of {only}: give --cluster {only}, and leave out the @")


def _check_pair(text: str, own: Supernode, other: Supernode) -> None:
    kept, wanted = own.defaults.kv_precision, other.defaults.kv_precision
    if kept is not wanted:
        raise ConfigError(
            f"plan {text!r}: {other.name} keeps KV in {wanted.value} and {own.name} in {kept.value}, and nothing "
            f"converts it on the way: give as --cluster a file of {own.name} with defaults.kv_precision {wanted.value}"
        )
    size, others = own.npus_per_node.count, other.npus_per_node.count
    if size != others:
        raise ConfigError(
            f"plan {text!r}: nodes of {other.name} have {others} NPUs and those of {own.name} {size}, and nodes are "
            f"numbered alike in a fleet: name clusters with nodes of {size}"
        )
