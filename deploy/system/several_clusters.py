"""Plans whose supernodes differ: what has to agree between them, and what does not work on them yet."""

from __future__ import annotations

from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError
from sim_hw.clusters.supernode import Supernode


def check_supernodes(settings: Settings) -> None:
    """A `ConfigError` for supernodes between which no KV can be handed over, and for what does not know of them yet."""
    hardware = settings.hardware
    text = hardware.plan.text
    for one in hardware.supernodes:
        _check_pair(text, hardware.cluster, one)
    if not hardware.plan.has_several_clusters:
        only = hardware.supernodes[0].name
        if only != hardware.cluster.name:
            raise ConfigError(f"plan {text!r}: all its terms are of {only}: give --cluster {only}, and leave out the @")
        return
    asked = {
        "an autoscaler": settings.scaling.is_on,
        "a power cap": settings.power.cap_w is not None,
        "--background": bool(settings.fabric.background),
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise ConfigError(f"plan {text!r}: terms of several clusters do not work with {what} yet; leave that out")


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
