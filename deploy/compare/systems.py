"""What one system of a variant is made of: all supernodes of its plan, whatever of them the plan leaves spare."""

from __future__ import annotations

from msgspec import Struct

from deploy.run.money import hardware_price
from deploy.settings.models import Hardware
from deploy.settings.price import PriceTerms
from sim_hw.clusters.totals import totals
from sim_hw.cost.prices import LIFE, YEAR_S


class System(Struct, frozen=True):
    """Sums over its supernodes, as published or as the settings say; `price_usd` is None if it is rented."""

    num_npus: int
    num_racks: int
    provisioned_w: float
    price_usd: float | None


def system_of(hardware: Hardware, terms: PriceTerms) -> System:
    """All supernodes of a plan, paid for on these terms."""
    cluster, num_supernodes = hardware.cluster, len(hardware.plan.supernodes)
    price = hardware_price(terms, cluster, num_supernodes)
    return System(
        num_supernodes * cluster.num_npus,
        num_supernodes * cluster.num_racks,
        num_supernodes * totals(cluster).provisioned_w,
        None if price.includes_energy else price.usd(LIFE.value * YEAR_S),
    )
