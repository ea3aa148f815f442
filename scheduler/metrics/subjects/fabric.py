"""What moves on the three planes of the fabric: bytes, times, failures, and how much of their capacity was there.

A transfer counts when it has ended (`TransferDone`): its bytes; its time, from when all of its data was there to its
last byte; and what it had flowed *hidden* before, behind the pass that made the data. One that had no route left counts
as failed (`TransferFailed`). Live, bytes and times are added up message by message. At the end of a run they are sums
over logged rows, beside what only a whole log can tell: peaks of use, exact percentiles, availability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct, field

from scheduler.metrics.bucket_bounds import TRANSFER_BOUNDS_S
from scheduler.metrics.buckets import BucketCounts, HistogramTotals
from scheduler.metrics.columns import NS_PER_S, Floats, parts, ratio
from scheduler.metrics.distribution import Distribution, weighted_distribution_s
from scheduler.metrics.family import Family, HistogramFamily, by_value
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.broken_parts import broken_parts
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.windows import bytes_in_windows, peak_bytes_per_s
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.fabric_parts import PartKind, count_kinds
from scheduler.protocol.messages import PartsChanged, TransferDone, TransferFailed

FLOWS: Final = tuple((plane, kind) for plane in Plane for kind in TransferKind)
"""What moves on which plane, in the order of `FabricTotals.flow_bytes`, `flow_transfers` and `failed_transfers`."""

_NUM_KINDS: Final = len(TransferKind)


class LinkClass(Struct, frozen=True):
    """All links of one sort in one direction on a plane, and what they carry."""

    plane: Plane
    name: str
    kinds: tuple[TransferKind, ...]


_KV_TRANSFER, _READ, _WRITE = TransferKind.KV_TRANSFER, TransferKind.CACHE_READ, TransferKind.CACHE_WRITE
_LOAD, _FETCH = TransferKind.MODEL_LOAD, TransferKind.MODEL_FETCH
_SSD_READ, _SSD_WRITE = TransferKind.CACHE_SSD_READ, TransferKind.CACHE_SSD_WRITE

LINK_CLASSES: Final = (
    LinkClass(Plane.UB, "npu_out", (_KV_TRANSFER, _WRITE)),
    LinkClass(Plane.UB, "npu_in", (_KV_TRANSFER, _READ, _LOAD, _FETCH)),
    LinkClass(Plane.UB, "pool_out", (_READ, _LOAD)),
    LinkClass(Plane.UB, "pool_in", (_WRITE,)),
    LinkClass(Plane.RDMA, "npu_out", (_KV_TRANSFER,)),
    LinkClass(Plane.RDMA, "npu_in", (_KV_TRANSFER,)),
    # Whatever moves over VPC leaves one node's card and arrives at another's, but for what the object store sends.
    LinkClass(Plane.VPC, "card_out", (_READ, _WRITE, _SSD_READ, _SSD_WRITE, _LOAD)),
    LinkClass(Plane.VPC, "card_in", (_READ, _WRITE, _SSD_READ, _SSD_WRITE, _LOAD, _FETCH)),
)
"""Those that any transfer uses."""

POOL_LINKS: Final = ("pool_out", "pool_in")
"""Those of the cache pool alone; all others are those of every end of their plane."""


def link_bytes(links: LinkClass, moved: Mapping[tuple[Plane, TransferKind], int]) -> int:
    """Bytes that left or arrived on a class of links, of those `moved` by plane and kind."""
    return sum(moved.get((links.plane, kind), 0) for kind in links.kinds)


class FabricTotals(Struct, frozen=True):
    """Bytes and numbers of finished transfers, and of those given up, by `FLOWS`; how long they were waited for and how
    long they had flowed hidden behind a pass, by kind. Which parts are broken now, and the bytes per second that they
    take from each plane."""

    flow_bytes: tuple[int, ...] = (0,) * len(FLOWS)
    flow_transfers: tuple[int, ...] = (0,) * len(FLOWS)
    failed_transfers: tuple[int, ...] = (0,) * len(FLOWS)
    transfer_s: tuple[HistogramTotals, ...] = (HistogramTotals((0,) * (len(TRANSFER_BOUNDS_S) + 1), 0.0),) * _NUM_KINDS
    hidden_s: tuple[float, ...] = (0.0,) * _NUM_KINDS
    failed_parts: tuple[str, ...] = ()
    lost_bytes_per_s: tuple[float, ...] = (0,) * len(Plane)

    @property
    def moved(self) -> dict[tuple[Plane, TransferKind], int]:
        """Bytes by plane and kind."""
        return dict(zip(FLOWS, self.flow_bytes, strict=True))


class FabricAccount(Account[FabricTotals]):
    """Told of each end of a transfer and of each change of the parts; a session begins with all parts whole."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._flow_bytes = [0] * len(FLOWS)
        self._flow_transfers = [0] * len(FLOWS)
        self._num_failed = [0] * len(FLOWS)
        self._transfer_s = [BucketCounts(TRANSFER_BOUNDS_S) for _ in TransferKind]
        self._hidden_ns = [0] * _NUM_KINDS
        self._failed_parts: list[str] = []
        self._lost_bytes_per_s: list[int] = [0] * len(Plane)

    def handlers(self) -> Handlers:
        """Ends of transfers and changes of parts."""
        return {
            TransferDone: self._on_done,
            TransferFailed: self._on_failed,
            PartsChanged: self._on_parts_changed,
        }

    def begin(self, session: Session) -> None:
        """A session has a fabric of its own."""
        self._failed_parts = []
        self._lost_bytes_per_s = [0] * len(Plane)

    def _on_done(self, _session: Session, message: TransferDone) -> None:
        kind, duration_s = message.kind, message.duration_ns / NS_PER_S
        flow = message.plane * _NUM_KINDS + kind
        self._flow_bytes[flow] += message.num_bytes
        self._flow_transfers[flow] += 1
        self._transfer_s[kind].add(duration_s, 1, duration_s)
        self._hidden_ns[kind] += message.hidden_ns

    def _on_failed(self, _session: Session, message: TransferFailed) -> None:
        self._num_failed[message.plane * _NUM_KINDS + message.kind] += 1

    def _on_parts_changed(self, _session: Session, message: PartsChanged) -> None:
        self._failed_parts = message.failed_parts
        self._lost_bytes_per_s = message.lost_bytes_per_s

    def totals(self, session: Session | None) -> FabricTotals:
        """As they stand."""
        return FabricTotals(
            tuple(self._flow_bytes),
            tuple(self._flow_transfers),
            tuple(self._num_failed),
            tuple(counts.totals() for counts in self._transfer_s),
            tuple(hidden_ns / NS_PER_S for hidden_ns in self._hidden_ns),
            tuple(self._failed_parts),
            tuple(self._lost_bytes_per_s),
        )


class FabricCapacity(Struct, frozen=True):
    """Bytes per second, one direction, of all ends of each plane together, and of the cache pool's on UB.

    What is not known is left out, or 0.
    """

    by_plane: Mapping[Plane, float]
    pool: float = 0.0

    def of(self, links: LinkClass) -> float:
        """Of a class of links; 0 if it is not known."""
        return self.pool if links.name in POOL_LINKS else self.by_plane.get(links.plane, 0.0)


class LinkUse(Struct, frozen=True):
    """Bytes that a class of links carried, and the share of its capacity that this took; None if that is not known."""

    bytes: int
    utilization_mean: float | None
    utilization_peak: float | None


class PlaneUse(Struct, frozen=True):
    """Bytes of finished transfers; `utilization` is of the plane's capacity, None if that is not known.

    The peak is that of windows of 1 s. `transfer_s` is from asking to the last byte, without what a pass had hidden;
    `exposed_s` is the sum of these, `hidden_s` that of the times for which transfers had flowed before. `availability`:
    mean share of the plane's capacity that was not lost with broken parts. `failed_transfers` had no route left.
    """

    bytes: int
    utilization_mean: float | None
    utilization_peak: float | None
    transfer_s: Distribution
    exposed_s: float
    hidden_s: float
    availability: float | None
    failed_transfers: int
    links: Mapping[str, LinkUse] = field(default_factory=dict[str, LinkUse])


class FabricUse(Struct, frozen=True):
    """The three planes."""

    ub: PlaneUse
    rdma: PlaneUse
    vpc: PlaneUse


def fabric_use(collector: Collector, capacity: FabricCapacity) -> FabricUse:
    """Sum up a run that has ended."""
    return FabricUse(*(_plane_use(collector, plane, capacity) for plane in (Plane.UB, Plane.RDMA, Plane.VPC)))


def availability(changes: Sequence[tuple[int, float]], whole: float, ended_ns: int) -> float | None:
    """Mean share of `whole` that was there until `ended_ns`, `changes` being (time, what is lost from then on).

    None if there is no time or no whole.
    """
    if not whole or not ended_ns:
        return None
    edges = [*(min(time_ns, ended_ns) for time_ns, _ in changes), ended_ns]
    lost = sum(gone * (edges[index + 1] - edges[index]) for index, (_, gone) in enumerate(changes))
    return 1 - lost / (whole * ended_ns)


def _plane_use(collector: Collector, plane: Plane, capacity: FabricCapacity) -> PlaneUse:
    span_ns, whole = collector.ended_ns, capacity.by_plane.get(plane, 0.0)
    flows = {kind: rows for kind in TransferKind if len(rows := collector.flow_rows(plane, kind))}
    windows = {kind: bytes_in_windows(rows, span_ns) for kind, rows in flows.items()}
    moved = {(plane, kind): int(rows["num_bytes"].sum()) for kind, rows in flows.items()}

    def durations_ns() -> Iterator[tuple[Floats, Floats]]:
        """(durations, ones) of all transfers, some thousand at a time."""
        for rows in flows.values():
            for part in parts(len(rows)):
                yield rows["duration_ns"][part].astype(np.float64), np.ones(part.stop - part.start)

    def use(links: LinkClass, bytes_per_s: float) -> LinkUse:
        num_bytes = link_bytes(links, moved)
        if not bytes_per_s or not span_ns:
            return LinkUse(num_bytes, None, None)
        there = [windows[kind] for kind in links.kinds if kind in windows]
        peak = peak_bytes_per_s(np.sum(there, axis=0), span_ns) if there else 0.0
        return LinkUse(num_bytes, num_bytes / (span_ns / NS_PER_S) / bytes_per_s, peak / bytes_per_s)

    together = use(LinkClass(plane, "", tuple(flows)), whole)
    return PlaneUse(
        together.bytes,
        together.utilization_mean,
        together.utilization_peak,
        weighted_distribution_s(durations_ns),
        sum(int(rows["duration_ns"].sum()) for rows in flows.values()) / NS_PER_S,
        collector.hidden_ns[plane] / NS_PER_S,
        availability([(at_ns, lost[plane]) for at_ns, lost in collector.lost_capacity], whole, span_ns),
        sum(collector.num_failed[plane]),
        {one.name: use(one, capacity.of(one)) for one in LINK_CLASSES if one.plane is plane},
    )


def _summary(run: EndedRun) -> Mapping[str, Any]:
    collector, planes = run.collector, run.info.plane_capacity_bytes_per_s
    broken = broken_parts(collector.part_changes, collector.lost_capacity, planes, collector.ended_ns)
    return {
        "fabric": fabric_use(collector, FabricCapacity(planes, run.info.pool_bytes_per_s)),
        "broken_parts": broken,
    }


def status(totals: FabricTotals, layout: Layout) -> dict[str, Any]:
    """For `supernode status`: broken parts, the share that they take from each plane, and transfers given up."""
    planes = zip(Plane, totals.lost_bytes_per_s, layout.plane_bytes_per_s, strict=True)
    shares = {plane.name.lower(): ratio(lost, whole) or 0.0 for plane, lost, whole in planes}
    return {"failed_parts": list(totals.failed_parts), "lost": shares, "failed_transfers": sum(totals.failed_transfers)}


def _bytes_by_links(snapshot: Snapshot) -> list[int]:
    moved = snapshot[FabricTotals].moved
    return [link_bytes(links, moved) for links in LINK_CLASSES]


_KIND_NAMES: Final = {kind: kind.name.lower() for kind in TransferKind} | {TransferKind.KV_TRANSFER: "hand_over"}
"""Dashboards and alerts refer to the name that KV transfers have always had."""

_BY_FLOW: Final = [(plane.name.lower(), _KIND_NAMES[kind]) for plane, kind in FLOWS]
_BY_KIND: Final = by_value(*(_KIND_NAMES[kind] for kind in TransferKind))
_BY_PLANE: Final = by_value(*(plane.name.lower() for plane in Plane))
_BY_LINKS: Final = [(one.plane.name.lower(), one.name) for one in LINK_CLASSES]

FAMILIES: Final = (
    Family(
        "supernode_fabric_bytes_total", "counter", "Bytes of finished transfers.",
        lambda s: s[FabricTotals].flow_bytes, ("plane", "kind"), lambda _: _BY_FLOW,
    ),
    Family(
        "supernode_fabric_transfers_total", "counter", "Finished transfers.",
        lambda s: s[FabricTotals].flow_transfers, ("plane", "kind"), lambda _: _BY_FLOW,
    ),
    Family(
        "supernode_fabric_link_bytes_total", "counter",
        "Bytes of finished transfers by the class of links on which they left or arrived.",
        _bytes_by_links, ("plane", "link"), lambda _: _BY_LINKS,
    ),
    Family(
        "supernode_fabric_failed_transfers_total", "counter", "Transfers given up because no way was left.",
        lambda s: s[FabricTotals].failed_transfers, ("plane", "kind"), lambda _: _BY_FLOW,
    ),
    HistogramFamily(
        "supernode_fabric_transfer_seconds",
        "From when all data of a transfer was there to its last byte: what no pass had hidden.",
        TRANSFER_BOUNDS_S, lambda s: s[FabricTotals].transfer_s, ("kind",), _BY_KIND,
    ),
    Family(
        "supernode_fabric_hidden_seconds_total", "counter",
        "Times for which transfers flowed before all of their data was there, hidden behind the pass that made it.",
        lambda s: s[FabricTotals].hidden_s, ("kind",), _BY_KIND,
    ),
    Family(
        "supernode_fabric_capacity_bytes_per_second", "gauge",
        "What all ends of a plane carry together, one direction, when no part is broken.",
        lambda s: s.layout.plane_bytes_per_s, ("plane",), _BY_PLANE,
    ),
    Family(
        "supernode_fabric_lost_bytes_per_second", "gauge", "What the parts that are broken now take from that.",
        lambda s: s[FabricTotals].lost_bytes_per_s, ("plane",), _BY_PLANE,
    ),
    Family(
        "supernode_fabric_failed_parts", "gauge", "Parts of the fabric that are broken now, by kind.",
        lambda s: list(count_kinds(s[FabricTotals].failed_parts).values()), ("kind",),
        by_value(*(kind.value for kind in PartKind)),
    ),
)  # fmt: skip

SUBJECTS.register("fabric", Subject(FabricTotals, FabricAccount, FAMILIES, _summary))
