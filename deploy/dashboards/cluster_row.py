"""The row of clusters: what the NPUs of each do in a fleet whose supernodes may be of several."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import INSTANCE_INFO, UTILIZATION, WATTS, of_those_there
from deploy.dashboards.panels import Query, Row, lines
from deploy.dashboards.promql import CHOSEN, aggregate

_KIND: Final = "cluster, chip"
_NAME: Final = "{{cluster}} ({{chip}})"


def _by_cluster(operator: str, gauge: str) -> str:
    """A gauge of NPUs, of those that an instance has, by cluster."""
    joined = f"{of_those_there(gauge)} * on (instance, role) group_left ({_KIND}) {INSTANCE_INFO}"
    return aggregate(operator, joined, _KIND)


def cluster_row() -> Row:
    """One curve for a fleet of one cluster."""
    return Row(
        "Clusters",
        (
            lines(
                "NPUs by cluster",
                "NPUs of each cluster of the fleet, and those of them that an instance has.",
                "none",
                Query(aggregate("sum", "supernode_cluster_npus", _KIND), _NAME),
                Query(_by_cluster("count", WATTS), f"{_NAME}, of instances"),
            ),
            lines(
                "Utilisation by cluster",
                "Busy share of the NPUs that instances have in each cluster, over the last stretch of a second.",
                "percentunit",
                Query(_by_cluster("avg", UTILIZATION + CHOSEN), _NAME),
                highest=1,
            ),
            lines(
                "NPU power by cluster",
                "Power of the NPUs that instances have in each cluster, over the last stretch of a second.",
                "watt",
                Query(_by_cluster("sum", WATTS + CHOSEN), _NAME),
                stacked=True,
            ),
        ),
    )
