"""Panels on how the planes of the fabric fare: transfer times, links, broken parts and what they take."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.panels import Query, Row, lines
from deploy.dashboards.promql import WINDOW, aggregate, rate

TRANSFER: Final = "supernode_fabric_transfer_seconds"
CAPACITY: Final = "supernode_fabric_capacity_bytes_per_second"
LOST: Final = "supernode_fabric_lost_bytes_per_second"


def fabric_parts_row() -> Row:
    """For the board of the fabric."""
    buckets = aggregate("sum", f"rate({TRANSFER}_bucket{WINDOW})", "kind, le")
    return Row(
        "Links and broken parts",
        (
            lines(
                "Transfer time p99",
                "Time that 99 % of transfers of a kind stay below, from when all of their data was there to the last "
                "byte, to the width of a bucket.",
                "s",
                Query(f"histogram_quantile(0.99, {buckets})", "{{kind}}"),
            ),
            lines(
                "Hidden and exposed",
                "Seconds of transfers per emulated second: those that went on behind a prefill pass, and those that "
                "were waited for.",
                "none",
                Query(rate("supernode_fabric_hidden_seconds_total", "kind"), "{{kind}} hidden"),
                Query(rate(f"{TRANSFER}_sum", "kind"), "{{kind}} exposed"),
            ),
            lines(
                "Bytes by class of links",
                "Bytes per emulated second that left or reached NPUs, the cache pool or the VPC cards of nodes.",
                "Bps",
                Query(rate("supernode_fabric_link_bytes_total", "plane, link"), "{{plane}} {{link}}"),
            ),
            lines(
                "Broken parts",
                "Parts of the fabric that are broken now, by kind.",
                "short",
                Query(aggregate("max", "supernode_fabric_failed_parts", "kind"), "{{kind}}"),
            ),
            lines(
                "Capacity that is there",
                "Share of what all ends of a plane carry together that broken parts have not taken.",
                "percentunit",
                Query(f"1 - max by (plane) ({LOST}) / max by (plane) ({CAPACITY})", "{{plane}}"),
                highest=1,
            ),
            lines(
                "Transfers cut off",
                "Transfers given up because no way was left, since the cluster came up.",
                "short",
                Query(aggregate("sum", "supernode_fabric_failed_transfers_total", "plane, kind"), "{{plane}} {{kind}}"),
            ),
        ),
    )
