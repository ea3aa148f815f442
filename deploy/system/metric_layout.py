"""What those who watch a system are told of it once: its instances, its hosts, its chip, and the names to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from deploy.run.money import live_prices
from deploy.system.blueprint import Blueprint
from deploy.system.metric_names import chip_shown
from deploy.system.several_clusters import refuse_several
from scheduler.core.config import CacheMode
from scheduler.metrics.layout import Layout
from scheduler.protocol.fabric_messages import Plane
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS

DISTRIBUTION: Final = "supernode-serve"


def metric_layout(blueprint: Blueprint, hosts: Mapping[str, Sequence[str]], names: tuple[str, ...]) -> Layout:
    """All instances of a plan; `hosts` are the addresses in each process, `names` the schemes of names."""
    refuse_several(blueprint.settings)
    cluster, capacity = blueprint.cluster, blueprint.plane_capacity_bytes_per_s()
    return Layout(
        version(DISTRIBUTION),
        tuple(blueprint.live_instances()),
        dict(hosts),
        cluster.npus_per_node.count,
        nodes_per_rack=max(1, cluster.num_nodes.count // cluster.compute_racks.count),
        kv_block_tokens=KV_BLOCK_TOKENS,
        model=blueprint.model.name,
        chip=chip_shown(blueprint.settings.instances.kv_reserve_share, cluster),
        names=names,
        plane_bytes_per_s=tuple(capacity[plane] for plane in Plane),
        npus_per_supernode=cluster.num_npus,
        curves=blueprint.curves,
        prices=live_prices(blueprint),
        has_prefix_cache=blueprint.settings.cache.mode is not CacheMode.NONE,
        num_cache_servers=blueprint.plan.num_cache_servers if blueprint.pools else 0,
        classes=tuple(blueprint.settings.requests.class_names[1:]),
        kv_bytes_per_token=blueprint.kv_bytes_per_token,
    )
