"""The dashboard "Fabric": what moves on each network plane, and who waits for it."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.boards.shared import (
    ENDED,
    FINISHED,
    MOVED,
    RUNNING,
    TRANSFERS,
    WAITING,
    explanation,
    replay_now,
    speed_now,
)
from deploy.dashboards.fabric_parts import fabric_parts_row
from deploy.dashboards.panels import Dashboard, Panel, Query, Row, lines, stat
from deploy.dashboards.promql import rate, ratio, wall_rate

KV_TRANSFER: Final = '{kind="hand_over"}'
READS: Final = '{kind=~"cache_(ssd_)?read"}'
WRITES: Final = '{kind=~"cache_(ssd_)?write"}'


def _of_plane(plane: str, title: str, description: str) -> Panel:
    return stat(title, description, "Bps", rate(MOVED, where=f'{{plane="{plane}"}}'))


OVERVIEW: Final = Row(
    "",
    (
        explanation("Planes are `ub` (scale-up), `rdma` (scale-out) and `vpc` (the data centre)."),
        replay_now(),
        speed_now(),
        _of_plane("ub", "UB", "Bytes per emulated second on the scale-up plane."),
        _of_plane("rdma", "RDMA", "Bytes per emulated second on the scale-out plane."),
        _of_plane("vpc", "VPC", "Bytes per emulated second on the plane of the data centre."),
        stat(
            "KV transfers",
            "KV transfers to decode, per emulated second.",
            "si:/s",
            rate(TRANSFERS, where=KV_TRANSFER),
        ),
        stat(
            "Handing over",
            "Requests whose KV is on its way to decode now.",
            "short",
            f'sum({RUNNING}{{stage="hand_over"}})',
        ),
        stat(
            "Waiting for it",
            "Requests whose KV is ready and waits for room at decode.",
            "short",
            f'sum({WAITING}{{stage="hand_over"}})',
        ),
    ),
)

PLANES: Final = Row(
    "Planes",
    (
        lines(
            "Bytes moved",
            "Bytes per emulated second on each network plane, by what they are for.",
            "Bps",
            Query(f"{rate(MOVED, 'plane, kind')} > 0", "{{plane}} {{kind}}"),
        ),
        lines(
            "Transfers",
            "Transfers per emulated second on each network plane.",
            "si:/s",
            Query(f"{rate(TRANSFERS, 'plane, kind')} > 0", "{{plane}} {{kind}}"),
        ),
        lines(
            "Mean transfer",
            "Bytes over transfers of the window.",
            "decbytes",
            Query(f"{ratio(MOVED, TRANSFERS, 'plane, kind')} > 0", "{{plane}} {{kind}}"),
        ),
        lines(
            "Bytes by plane",
            "Bytes per emulated second of each plane, on top of each other.",
            "Bps",
            Query(rate(MOVED, "plane"), "{{plane}}"),
            stacked=True,
            width=24,
        ),
    ),
)

PURPOSES: Final = Row(
    "What it is for",
    (
        lines(
            "KV transfer",
            "Requests whose KV moves to decode, and those whose KV is ready and waits for room there.",
            "short",
            Query(f'sum({RUNNING}{{stage="hand_over"}})', "moving"),
            Query(f'sum({WAITING}{{stage="hand_over"}})', "waiting for room"),
        ),
        lines(
            "Cache traffic",
            "Bytes per emulated second read from the cache pool and written to it.",
            "Bps",
            Query(rate(MOVED, where=READS), "read"),
            Query(rate(MOVED, where=WRITES), "written"),
        ),
        lines(
            "Bytes per request",
            "Bytes moved, on all planes, over the requests that finished in the window.",
            "decbytes",
            Query(f"{wall_rate(MOVED)} / {wall_rate(ENDED, where=FINISHED)}", "per finished request"),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    uid="supernode-fabric",
    title="Fabric",
    description="What moves on the network planes of an emulated supernode, what for, and who waits for it.",
    choices=(),
    rows=(OVERVIEW, PLANES, fabric_parts_row(), PURPOSES),
)
