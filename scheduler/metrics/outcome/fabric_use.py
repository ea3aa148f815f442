"""What a run made of the three planes: bytes, use, times, failures, and how much of their capacity was there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scheduler.metrics.columns import NS_PER_S, Floats
from scheduler.metrics.distribution import Distribution, weighted_distribution_s
from scheduler.metrics.link_classes import LINK_CLASSES, POOL_LINKS, LinkClass
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.usage import bytes_in_windows, peak_bytes_per_s, plane_durations
from scheduler.protocol.messages import Plane, TransferKind


@dataclass(frozen=True, slots=True)
class FabricCapacity:
    """Bytes per second, one direction, of all ends of each plane together, and of the cache pool's on UB.

    What is not known is left out, or 0.
    """

    by_plane: Mapping[Plane, float]
    pool: float = 0.0

    def of(self, links: LinkClass) -> float:
        """Of a class of links; 0 if it is not known."""
        return self.pool if links.name in POOL_LINKS else self.by_plane.get(links.plane, 0.0)


@dataclass(frozen=True, slots=True)
class LinkUse:
    """Bytes that a class of links carried, and the share of its capacity that this took; None if that is not known."""

    bytes: int
    utilization_mean: float | None
    utilization_peak: float | None


@dataclass(frozen=True, slots=True)
class PlaneUse:
    """Bytes of finished transfers; `utilization` is of the plane's capacity, None if that is not known.

    The peak is that of windows of 1 s. `transfer_s` is from asking to the last byte, without what a pass had hidden;
    `exposed_s` is the sum of these, `hidden_s` that of the times for which transfers had flowed before. `availability`:
    mean share of the plane's capacity that was not lost with broken parts. `failed_transfers` had no way left.
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


@dataclass(frozen=True, slots=True)
class FabricUse:
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
    flows = {kind: collector.flow_rows(plane, kind) for kind in TransferKind}
    windows = {kind: bytes_in_windows(rows, span_ns) for kind, rows in flows.items() if len(rows)}
    moved = {kind: int(flows[kind]["num_bytes"].sum()) for kind in windows}

    def durations() -> Iterator[tuple[Floats, Floats]]:
        for kind in windows:
            yield from plane_durations(flows[kind])

    together = _link_use(list(windows), moved, windows, whole, span_ns)
    links = [one for one in LINK_CLASSES if one.plane is plane]
    return PlaneUse(
        together.bytes,
        together.utilization_mean,
        together.utilization_peak,
        weighted_distribution_s(durations),
        sum(int(flows[kind]["duration_ns"].sum()) for kind in windows) / NS_PER_S,
        collector.hidden_ns[plane] / NS_PER_S,
        availability([(at_ns, lost[plane]) for at_ns, lost in collector.lost_capacity], whole, span_ns),
        sum(collector.num_failed[plane]),
        {one.name: _link_use(one.kinds, moved, windows, capacity.of(one), span_ns) for one in links},
    )


def _link_use(
    kinds: Sequence[TransferKind],
    moved: Mapping[TransferKind, int],
    windows: Mapping[TransferKind, Floats],
    capacity: float,
    span_ns: int,
) -> LinkUse:
    num_bytes = sum(moved.get(kind, 0) for kind in kinds)
    if not capacity or not span_ns:
        return LinkUse(num_bytes, None, None)
    there = [windows[kind] for kind in kinds if kind in windows]
    peak = peak_bytes_per_s(np.sum(there, axis=0), span_ns) if there else 0.0
    return LinkUse(num_bytes, num_bytes / (span_ns / NS_PER_S) / capacity, peak / capacity)
