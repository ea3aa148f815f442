"""The planes of the fabric: what moved and how long, the links that carried it, and the parts that broke."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from deploy.pages.document import amount, grid, section, span, table
from deploy.report.chart import COLOURS, Curve
from deploy.report.course import Course, over_time
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import NS_PER_S
from scheduler.protocol.fabric_parts import TITLES, PartKind

PLANES: Final = ("ub", "rdma", "vpc")
PLANE_HEAD: Final = (
    "Plane", "moved", "mean use", "peak use", "mean time", "p50 time", "p99 time", "max time", "waited for", "hidden",
    "there", "cut off",
)  # fmt: skip
LINK_HEAD: Final = ("Links", "moved", "mean use", "peak use")
BROKEN_HEAD: Final = ("Broken parts", "parts", "failures", "broken for", "longest", "at the end")
LOST_HEAD: Final = ("Capacity lost", "on the mean", "at worst", "for")
CHANGE_HEAD: Final = ("Changes", "", "at")

MAX_CHANGES: Final = 20
MAX_NAMES: Final = 6
"""Changes of parts, and names of each, that are told one by one."""


def fabric_section(run: RunFolder, course: Course) -> str:
    """Tables of planes and of those links that carried anything, what broke, and bytes over time."""
    fabric = run.summary["fabric"]
    charts = [
        over_time(
            course,
            f"{name.upper()} plane",
            "bytes per second, spread over the time that a flow was waited for",
            [Curve(name.upper(), course.mean(f"{name}_bytes_per_s"), COLOURS[place])],
            "Bps",
        )
        for place, name in enumerate(PLANES)
        if name in fabric and fabric[name]["bytes"]
    ]
    links = list(_links(fabric))
    return section(
        "Fabric",
        "Use is of the line rate of all endpoints of a plane; the peak is that of windows of a second. Times are those "
        "that flows were waited for, in sum those of all; hidden is for how long they had moved before, behind the "
        "pass that made their data. Of its capacity, the share that was there on the mean while parts were broken; "
        "cut off are flows that had no way left.",
        table(PLANE_HEAD, [[name.upper(), *_plane_cells(plane)] for name, plane in fabric.items()]),
        table(LINK_HEAD, links) if links else "",
        *_broken(run.summary.get("broken_parts")),
        table(CHANGE_HEAD, list(_changes(run))) if run.part_changes else "",
        grid(*charts),
    )


def _use_cells(use: Mapping[str, Any]) -> list[str]:
    shares = (use["utilization_mean"], use["utilization_peak"])
    return [amount("decbytes", use["bytes"]), *(amount("percentunit", share) for share in shares)]


def _plane_cells(plane: Mapping[str, Any]) -> list[str]:
    return [
        *_use_cells(plane),
        *(amount("s", plane["transfer_s"][key]) for key in ("mean", "p50", "p99", "max")),
        amount("s", plane["exposed_s"]),
        amount("s", plane["hidden_s"]),
        amount("percentunit", plane["availability"]),
        f"{plane['failed_transfers']:,}",
    ]


def _links(fabric: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, plane in fabric.items():
        for links, use in plane["links"].items():
            if use["bytes"]:
                yield [f"{name.upper()}, {links.replace('npu', 'NPU').replace('_', ' ')}", *_use_cells(use)]


def _broken(broken: Mapping[str, Any] | None) -> list[str]:
    """Kinds of parts that broke, and what planes lost with them."""
    if not broken:
        return []
    kinds = [
        (
            TITLES[PartKind(kind)][1],
            f"{use['parts']:,}",
            f"{use['failures']:,}",
            span(use["broken_s"]),
            span(use["longest_s"]),
            f"{use['broken_at_end']:,}",
        )
        for kind, use in broken["by_kind"].items()
    ]
    lost = [
        (plane.upper(), amount("percentunit", of["mean"]), amount("percentunit", of["worst"]), span(of["lost_s"]))
        for plane, of in broken["lost"].items()
    ]
    return [table(BROKEN_HEAD, kinds), table(LOST_HEAD, lost) if lost else ""]


def _changes(run: RunFolder) -> Iterator[list[str]]:
    for change in run.part_changes[:MAX_CHANGES]:
        for what, parts in (("broke", change.broken), ("mended", change.mended)):
            if parts:
                yield [named(parts), what, amount("s", change.at_ns / NS_PER_S)]
    if (more := len(run.part_changes) - MAX_CHANGES) > 0:
        yield [f"and {more:,} changes more, in run.json", "", ""]


def named(parts: tuple[str, ...]) -> str:
    """The first few of them."""
    more = len(parts) - MAX_NAMES
    return ", ".join(parts[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")
