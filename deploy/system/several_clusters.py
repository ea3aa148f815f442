"""Plans whose supernodes differ: what has to agree between them, and what does not work on them yet."""

from __future__ import annotations

from typing import Final

from deploy.settings.settings import Settings
from scheduler.protocol.errors import ConfigError

_NOT_LIVE: Final = "a live system and --openmetrics know one kind of chip; replay it on the virtual clock"


def check_supernodes(settings: Settings) -> None:
    """A `ConfigError` for supernodes between which no KV can be handed over, and for what does not know of them yet."""
    hardware = settings.hardware
    first, text = hardware.supernodes[0], hardware.plan.text
    for one in hardware.supernodes:
        kept, other = first.defaults.kv_precision, one.defaults.kv_precision
        if kept is not other:
            raise ConfigError(
                f"plan {text!r}: {first.name} keeps KV in {kept.value} and {one.name} in {other.value}, and nothing "
                f"converts it on the way: give a cluster file of {one.name} with defaults.kv_precision {kept.value}"
            )
    if not hardware.plan.has_several_clusters:
        return
    asked = {
        "an autoscaler": settings.scaling.is_on,
        "a power cap": settings.power.cap_w is not None,
        "--background": bool(settings.fabric.background),
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise ConfigError(f"plan {text!r}: terms of several clusters do not work with {what} yet; leave that out")


def refuse_several(settings: Settings) -> None:
    """A `ConfigError` for what exports the metrics of every chip."""
    if settings.hardware.plan.has_several_clusters:
        raise ConfigError(f"plan {settings.hardware.plan.text!r} has terms of several clusters: {_NOT_LIVE}")
