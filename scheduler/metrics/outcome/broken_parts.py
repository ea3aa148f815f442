"""The parts of the fabric that broke in a run: which kinds, how often and for how long, and what was lost with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.fabric_parts import kind_of


class BrokenKind(Struct, frozen=True):
    """Parts of one kind: how many broke at least once, how often they broke, and how many were broken at the end.

    `broken_s` is the sum over all of them, `longest_s` the longest stretch of one without a break.
    """

    parts: int
    failures: int
    broken_s: float
    longest_s: float
    broken_at_end: int


class LostCapacity(Struct, frozen=True):
    """Shares of a plane's capacity that were lost: on the mean of the run and at worst; for how long any was."""

    mean: float
    worst: float
    lost_s: float


class BrokenParts(Struct, frozen=True):
    """By kind of part, and by plane that lost anything, both in the order of their enumerations."""

    by_kind: Mapping[str, BrokenKind]
    lost: Mapping[str, LostCapacity]


def broken_parts(
    part_changes: Sequence[tuple[int, Sequence[str]]],
    lost_capacity: Sequence[tuple[int, Sequence[float]]],
    capacity: Mapping[Plane, float],
    ended_ns: int,
) -> BrokenParts | None:
    """Of (time, parts broken from then on), (time, bytes per second lost by plane from then on) and the capacity of
    planes in bytes per second; None if nothing broke until the end."""
    stretches_ns: dict[str, list[int]] = {}
    for part, begin_ns, end_ns in _stretches(part_changes, ended_ns):
        stretches_ns.setdefault(part, []).append(end_ns - begin_ns)
    if not stretches_ns:
        return None
    at_end = set(part_changes[-1][1])
    kinds: dict[str, list[str]] = {}
    for part in sorted(stretches_ns, key=lambda part: (kind_of(part), part)):
        kinds.setdefault(kind_of(part).name.lower(), []).append(part)
    by_kind = {
        kind: BrokenKind(
            len(parts),
            sum(len(stretches_ns[part]) for part in parts),
            sum(sum(stretches_ns[part]) for part in parts) / NS_PER_S,
            max(max(stretches_ns[part]) for part in parts) / NS_PER_S,
            len(at_end.intersection(parts)),
        )
        for kind, parts in kinds.items()
    }
    lost = {
        plane.name.lower(): found
        for plane in (Plane.UB, Plane.RDMA, Plane.VPC)
        if (found := _lost([(at_ns, lost[plane]) for at_ns, lost in lost_capacity], capacity.get(plane), ended_ns))
    }
    return BrokenParts(by_kind, lost)


def _stretches(part_changes: Sequence[tuple[int, Sequence[str]]], ended_ns: int) -> Iterator[tuple[str, int, int]]:
    """(part, from, to) of each time that a part was broken."""
    since: dict[str, int] = {}
    none: Sequence[str] = ()
    for at_ns, parts in [*part_changes, (ended_ns, none)]:
        if at_ns > ended_ns:
            continue
        now = set(parts)
        for part in [part for part in since if part not in now]:
            yield part, since.pop(part), at_ns
        for part in now:
            since.setdefault(part, at_ns)


def _lost(changes: Sequence[tuple[int, float]], whole: float | None, ended_ns: int) -> LostCapacity | None:
    """Of one plane; None if it lost nothing, or if its capacity is not known."""
    ends_ns = [*(at_ns for at_ns, _ in changes[1:]), ended_ns]
    spans = [(lost, min(end_ns, ended_ns) - at_ns) for (at_ns, lost), end_ns in zip(changes, ends_ns, strict=True)]
    there = [(lost, span_ns) for lost, span_ns in spans if lost and span_ns > 0]
    if not there or not whole:
        return None
    mean = sum(lost * span_ns for lost, span_ns in there) / (whole * ended_ns)
    worst = max(lost for lost, _ in there) / whole
    return LostCapacity(mean, worst, sum(span_ns for _, span_ns in there) / NS_PER_S)
