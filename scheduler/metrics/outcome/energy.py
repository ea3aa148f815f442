"""Energy of a run: what its instances report, and from that by facility curves all else that draws power for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scheduler.metrics.columns import NS_PER_S, Floats, Ints, Rows, parts
from scheduler.metrics.outcome.collector import MeteredInstance
from scheduler.metrics.outcome.energy_places import Places
from scheduler.metrics.outcome.usage import InstanceTotals, fleet_power

SCOPE: Final = "npu"


@dataclass(frozen=True, slots=True)
class FacilityCurves:
    """What else is drawn while all NPUs of the fleet together draw so much: straight between knots.

    `npu_w` are the knots, rising; `part_w` has an array of equal length for each class of parts, none falling.
    `spare_npu_w` is drawn by NPUs outside the plan. `building_share` is PUE - 1: of all that feeds the supernodes.
    `waiting_w` is what one NPU of an instance draws that has nothing to do. `plane_w` splits switches and optics by
    the network that they belong to.
    """

    npu_w: Floats
    part_w: Mapping[str, Floats]
    spare_npu_w: float = 0.0
    building_share: float = 0.0
    waiting_w: float = 0.0
    plane_w: Mapping[str, Floats] = field(default_factory=dict[str, Floats])

    def feed_w(self, npu_w: float) -> float:
        """At the feeds of the supernodes while their NPUs, spare ones included, draw so much."""
        return npu_w + sum(float(np.interp(npu_w, self.npu_w, watts)) for watts in self.part_w.values())


@dataclass(frozen=True, slots=True)
class MeterUse:
    """Energy at a meter that reads more than NPUs."""

    joules: float
    mean_watts: float | None
    peak_watts: float


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """Energy of the NPUs in the plan, and of what they need: the ratios and the first four fields are theirs alone.

    `by` splits `facility.joules`: NPUs at work on prefill and on decode, idle ones (those outside the plan included),
    then classes of parts, losses and the building. `joules_per_request` and `tokens_per_joule` are at the meter of the
    facility, by finished requests and their output tokens.
    """

    scope: str
    joules: float
    joules_per_output_token: float | None
    mean_watts: float | None
    peak_watts: float
    supernode: MeterUse | None = None
    """At the feeds."""
    facility: MeterUse | None = None
    """With the building."""
    facility_joules_per_output_token: float | None = None
    joules_per_request: float | None = None
    tokens_per_joule: float | None = None
    by: Mapping[str, float] = field(default_factory=dict[str, float])
    by_plane: Mapping[str, float] = field(default_factory=dict[str, float])
    """Switches and optics of each network; together those of `by`."""
    by_rack: Mapping[str, float] = field(default_factory=dict[str, float])
    """NPUs of the plan by the number of their rack; together `joules`. The same by node:"""
    by_node: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Served:
    """What the energy was spent on: finished requests and their tokens."""

    num_requests: int
    prompt_tokens: int
    output_tokens: int
    span_s: float


@dataclass(frozen=True, slots=True)
class PowerCourse:
    """Watts at the feeds over the whole run, each held until its end and from that of the one before (or 0 s)."""

    ends_s: Floats
    watts: Floats


@dataclass(frozen=True, slots=True)
class CostUse:
    """Dollars of finished tokens; None where a price is not known."""

    usd: float | None
    usd_per_million_input_tokens: float | None
    usd_per_million_output_tokens: float | None


Bill = Callable[[Served, EnergyUse, Mapping[str, float], Callable[[], PowerCourse]], CostUse]
"""Makes the cost of what was served and of the energy; the third is joules of the NPUs of each role, idle included, the
last answers the course of power where a price changes with time."""


def role_joules(instances: Iterable[MeteredInstance], totals: InstanceTotals) -> dict[str, float]:
    """NPUs of each role, idle time included."""
    joules = {"prefill": 0.0, "decode": 0.0}
    for instance, of_instance in zip(instances, totals.joules.tolist(), strict=True):
        joules[instance.role] += of_instance
    return joules


def energy_use(
    instances: tuple[MeteredInstance, ...],
    rows: Rows,
    totals: InstanceTotals,
    served: Served,
    curves: FacilityCurves | None,
    places: Places | None = None,
) -> EnergyUse:
    """Sum up `USAGE_ROW` rows."""
    joules, span_s = float(totals.joules.sum()), served.span_s
    npus = (SCOPE, joules, _ratio(joules, served.output_tokens), _ratio(joules, span_s), totals.peak_watts)
    if curves is None:
        return EnergyUse(*npus)
    drawn_j = iter(_joules_along(rows, len(instances), curves, [*curves.part_w.values(), *curves.plane_w.values()]))
    by = _npu_joules(instances, rows, totals, curves, span_s) | dict(zip(curves.part_w, drawn_j))
    by_plane = dict(zip(curves.plane_w, drawn_j))
    feeds_j = sum(by.values())
    peak_w = curves.feed_w(totals.peak_watts + curves.spare_npu_w) if span_s else 0.0
    by["building"] = curves.building_share * feeds_j
    facility_j, pue = feeds_j + by["building"], 1.0 + curves.building_share
    return EnergyUse(
        *npus,
        MeterUse(feeds_j, _ratio(feeds_j, span_s), peak_w),
        MeterUse(facility_j, _ratio(facility_j, span_s), pue * peak_w),
        _ratio(facility_j, served.output_tokens),
        _ratio(facility_j, served.num_requests),
        _ratio(served.output_tokens, facility_j),
        by,
        by_plane,
        {} if places is None else places.by_rack(totals.joules.tolist()),
        {} if places is None else places.by_node(totals.joules.tolist()),
    )


def power_course(rows: Rows, num_instances: int, curves: FacilityCurves) -> PowerCourse:
    """When how much is drawn at the feeds."""
    parts = list(fleet_power(rows, num_instances))
    if not parts:
        return PowerCourse(np.zeros(0), np.zeros(0))
    npu_w = np.concatenate([watts for watts, _ in parts])[::-1] + curves.spare_npu_w
    lengths_ns = np.concatenate([lengths for _, lengths in parts])[::-1]
    others_w = [np.interp(npu_w, curves.npu_w, part_w) for part_w in curves.part_w.values()]
    return PowerCourse(np.cumsum(lengths_ns) / NS_PER_S, npu_w + sum(others_w))


def _npu_joules(
    instances: tuple[MeteredInstance, ...], rows: Rows, totals: InstanceTotals, curves: FacilityCurves, span_s: float
) -> dict[str, float]:
    """An instance that waits draws the same at all times, and less when it is parked: so the joules of idle time tell
    themselves from those of work."""
    waiting_w = curves.waiting_w * np.array([instance.num_npus for instance in instances])
    idle_j = np.zeros(len(instances))
    for part in parts(len(rows)):
        of_part = rows[part]
        waited_j = waiting_w[of_part["instance"]] * (_powered_ns(of_part) - of_part["busy_ns"]) / NS_PER_S
        idle_j += np.bincount(of_part["instance"], np.minimum(waited_j, of_part["joules"]), minlength=len(instances))
    active_j = totals.joules - idle_j
    by = {"prefill": 0.0, "decode": 0.0, "idle": float(idle_j.sum()) + curves.spare_npu_w * span_s}
    for instance, of_instance in zip(instances, active_j.tolist(), strict=True):
        by[instance.role] += of_instance
    return by


def _powered_ns(rows: Rows) -> Ints:
    """Length of rows, but for those that stand for a lost worker."""
    is_dead = (rows["joules"] == 0.0) & (rows["busy_ns"] == 0)
    return np.where(is_dead, 0, rows["end_ns"] - rows["start_ns"])


def _joules_along(rows: Rows, num_instances: int, curves: FacilityCurves, along: Sequence[Floats]) -> list[float]:
    """Between two knots a part draws a straight line of NPU watts, so NPU joules and seconds there tell its joules."""
    num_segments = len(curves.npu_w) - 1
    seconds, npu_j = np.zeros(num_segments), np.zeros(num_segments)
    inner = curves.npu_w[1:-1]
    for watts, lengths_ns in fleet_power(rows, num_instances):
        lengths_s = lengths_ns / NS_PER_S
        # Beyond the last knot all stays as it is there.
        npu_w = np.minimum(watts + curves.spare_npu_w, curves.npu_w[-1])
        segment = np.searchsorted(inner, npu_w)
        seconds += np.bincount(segment, lengths_s, minlength=num_segments)
        npu_j += np.bincount(segment, npu_w * lengths_s, minlength=num_segments)
    above_j = npu_j - curves.npu_w[:-1] * seconds
    widths_w = np.diff(curves.npu_w)
    return [float(np.dot(part_w[:-1], seconds) + np.dot(np.diff(part_w) / widths_w, above_j)) for part_w in along]


def _ratio(amount: float, of: float) -> float | None:
    return amount / of if of else None
