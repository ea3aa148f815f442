"""What one system of a variant is made of: all supernodes of its plan, whatever of them the plan leaves spare."""

from __future__ import annotations

from collections import Counter

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
    count = Counter(hardware.supernodes)
    prices = [hardware_price(terms, cluster, num) for cluster, num in count.items()]
    return System(
        sum(num * cluster.num_npus for cluster, num in count.items()),
        sum(num * cluster.num_racks for cluster, num in count.items()),
        sum(num * totals(cluster).provisioned_w for cluster, num in count.items()),
        None if prices[0].includes_energy else sum(price.usd(LIFE.value * YEAR_S) for price in prices),
    )
