"""The clusters of a fleet: which instances stand in which, how many NPUs each has, and what these did.

Nothing of it moves while a system lives; what the NPUs of a cluster do now is that of its instances, which
`supernode_instance_info` tells apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, ratio
from scheduler.metrics.family import INSTANCE, Family, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject
from scheduler.protocol.addresses import pool_addresses


class ClusterTotals(Struct, frozen=True):
    """All is in the layout."""


class ClusterAccount(Account[ClusterTotals]):
    """Counts nothing."""

    def totals(self, session: Session | None) -> ClusterTotals:
        """Always the same."""
        return ClusterTotals()


class ClusterUse(Struct, frozen=True):
    """Of one cluster of a fleet: `npus` that there are and `instance_npus` that the plan's instances have, in the mean
    over time where these come and go; of the latter the busy share, the watts of one, and their joules."""

    chip: str
    npus: int
    instance_npus: float
    utilization: float | None
    watts: float | None
    joules: float


def _summary(run: EndedRun) -> Mapping[str, Any]:
    """Of a fleet of several clusters; one is told of by the figures of the whole."""
    supernodes, instances = run.info.supernodes, run.collector.instances
    if len({one.cluster for one in supernodes}) < 2:
        return {}
    pools = pool_addresses(len(supernodes))
    cluster_of = {pool: one.cluster for pool, one in zip(pools, supernodes, strict=True)}
    num_npus = np.array([one.num_npus for one in instances], np.float64)
    there = num_npus if run.there is None else num_npus * run.there
    found: dict[str, ClusterUse] = {}
    for name in dict.fromkeys(cluster_of.values()):
        its = np.array([cluster_of[one.pool] == name for one in instances])
        stands = [one for one in supernodes if one.cluster == name]
        had = float(there[its].sum())
        npu_s, busy_ns = had * run.span_s, float(np.dot(run.usage.busy_ns[its], num_npus[its]))
        joules = float(run.usage.joules[its].sum())
        found[name] = ClusterUse(
            stands[0].chip_title,
            sum(one.num_npus for one in stands),
            had,
            ratio(busy_ns / NS_PER_S, npu_s),
            ratio(joules, npu_s),
            joules,
        )
    return {"clusters": found}


def _by_stand(layout: Layout) -> list[Labels]:
    return [
        (one.address, one.role, str(one.supernode), stand.cluster, stand.chip_title)
        for one in layout.instances
        for stand in (layout.stands_in(one),)
    ]


def _npus(layout: Layout) -> dict[Labels, int]:
    """By cluster and chip, in the order of the first supernode of each."""
    found: dict[Labels, int] = {}
    for one in layout.supernodes:
        found[one.cluster, one.chip_title] = found.get((one.cluster, one.chip_title), 0) + one.num_npus
    return found


FAMILIES: Final = (
    Family(
        "supernode_instance_info", "gauge",
        "Where an instance stands, as labels: the number of its supernode, of which cluster that is, and its chip.",
        lambda s: [1] * len(s.layout.instances), (*INSTANCE, "supernode", "cluster", "chip"), _by_stand,
    ),
    Family(
        "supernode_cluster_npus", "gauge",
        "NPUs of all supernodes of a cluster, those that no instance has included.",
        lambda s: list(_npus(s.layout).values()), ("cluster", "chip"), lambda layout: list(_npus(layout)),
    ),
)  # fmt: skip

SUBJECTS.register("clusters", Subject(ClusterTotals, ClusterAccount, FAMILIES, _summary))
