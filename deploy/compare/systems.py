"""What one system of a variant is made of: all supernodes of its plan, whatever of them the plan leaves spare."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.hardware.lookup import load_cluster
from deploy.run.money import hardware_price
from deploy.settings.plan import parse_plan
from deploy.settings.run_config import RunConfig
from sim_hw.clusters.totals import totals
from sim_hw.cost.prices import LIFE, YEAR_S


@dataclass(frozen=True, slots=True)
class System:
    """Sums over its supernodes, as published or as the configuration says; `price_usd` is None if it is rented."""

    num_npus: int
    num_racks: int
    provisioned_w: float
    price_usd: float | None


def system_of(config: RunConfig) -> System:
    """The one that this configuration runs on."""
    cluster = load_cluster(config.cluster)
    num_supernodes = len(parse_plan(config.plan, cluster.num_npus, cluster.num_nodes.count).supernodes)
    price = hardware_price(config, cluster, num_supernodes)
    return System(
        num_supernodes * cluster.num_npus,
        num_supernodes * cluster.num_racks,
        num_supernodes * totals(cluster).provisioned_w,
        None if price.includes_energy else price.usd(LIFE.value * YEAR_S),
    )
