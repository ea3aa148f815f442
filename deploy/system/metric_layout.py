"""What those who watch a system are told of it once: its instances, hosts and supernodes, and the names to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from deploy.run.money import live_prices
from deploy.system.blueprint import Blueprint
from deploy.system.grounds import watched
from scheduler.core.config import CacheMode
from scheduler.metrics.layout import Layout
from scheduler.protocol.fabric_messages import Plane
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS

DISTRIBUTION: Final = "supernode-serve"


def metric_layout(blueprint: Blueprint, hosts: Mapping[str, Sequence[str]], names: tuple[str, ...]) -> Layout:
    """All instances of a plan; `hosts` are the addresses in each process, `names` the schemes of names."""
    capacity = blueprint.plane_capacity_bytes_per_s()
    return Layout(
        version(DISTRIBUTION),
        tuple(blueprint.live_instances()),
        dict(hosts),
        watched(blueprint.supernodes, blueprint.settings.instances.kv_reserve_share),
        kv_block_tokens=KV_BLOCK_TOKENS,
        model=blueprint.model.name,
        names=names,
        plane_bytes_per_s=tuple(capacity[plane] for plane in Plane),
        curves=blueprint.curves,
        prices=live_prices(blueprint),
        has_prefix_cache=blueprint.settings.cache.mode is not CacheMode.NONE,
        num_cache_servers=blueprint.plan.num_cache_servers if blueprint.pools else 0,
        classes=tuple(blueprint.settings.requests.class_names[1:]),
        kv_bytes_per_token=blueprint.kv_bytes_per_token,
    )
