"""Energy of a run: what its instances report, and from that by facility curves all else that draws power for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from scheduler.metrics.columns import NS_PER_S, Floats, Rows, parts, ratio
from scheduler.metrics.facility import FacilityCurves, Places
from scheduler.metrics.outcome.collector import MeteredInstance
from scheduler.metrics.outcome.usage import UsageTotals, fleet_power, powered_ns

SCOPE: Final = "npu"


class MeterUse(Struct, frozen=True):
    """Energy at a meter that reads more than NPUs."""

    joules: float
    mean_watts: float | None
    peak_watts: float


class PlanEnergy(Struct, frozen=True):
    """At the meter of the facility: what the NPUs of the plan draw and, by their number, their share of all else.

    `npu_share`: NPUs of the plan over all. Spare NPUs draw for nobody's plan.
    """

    npu_share: float
    joules: float
    joules_per_output_token: float | None


class EnergyUse(Struct, frozen=True):
    """Energy of the NPUs in the plan, and of what they need: the ratios and the first four fields are theirs alone.

    `by` splits `facility.joules`: NPUs at work on prefill and on decode, idle ones (those outside the plan included),
    then classes of parts, losses and the building. `joules_per_request` and `tokens_per_joule` are at the meter of the
    facility, by finished requests and by output tokens.
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
    plan: PlanEnergy | None = None
    """The part of `facility` that is the plan's."""


class FleetUse(Struct, frozen=True):
    """What all NPUs of the supernodes drew, beside those that `spare_npu_w` of the curves takes away.

    `rows` in which idle NPUs have their part, `spare_j` of NPUs that no instance had, `peak_watts` of the rows, and
    `plan_share`: of all NPUs, those that instances had, in the mean over time.
    """

    rows: Rows
    spare_j: float
    peak_watts: float
    plan_share: float


class Served(Struct, frozen=True):
    """What the energy was spent on: finished requests; prompt tokens of requests whose first token came out, and output
    tokens, of whatever request they were produced for."""

    num_requests: int
    prompt_tokens: int
    output_tokens: int
    span_s: float
    mixed_share: float = 0.5
    """Of the busy NPU-seconds of aggregated instances, those of steps in which anything of prompts was computed."""


class PowerCourse(Struct, frozen=True):
    """Power at the feeds over a whole run, shape (num_spans,) each: watts until an end, from the end before or 0 s."""

    ends_s: Floats
    watts: Floats


class PlanCost(Struct, frozen=True):
    """Dollars of the NPUs of the plan: their share of the hardware by number, and of the energy as in `PlanEnergy`."""

    usd: float
    usd_per_million_input_tokens: float | None
    usd_per_million_output_tokens: float | None


class CostUse(Struct, frozen=True):
    """Dollars, and those of a million tokens as `Served` has them; None where a price is not known.

    Of hardware that is bought, all of it, whatever the plan leaves spare, and beside it the `plan`'s share; of hardware
    that is rented, the NPUs of the plan.
    """

    usd: float | None
    usd_per_million_input_tokens: float | None
    usd_per_million_output_tokens: float | None
    plan: PlanCost | None = None


class RoleUse(Struct, frozen=True):
    """The NPUs of one role: joules, idle time included, and how many instances had in the mean over time."""

    joules: float
    mean_npus: float


Bill = Callable[[Served, EnergyUse, Mapping[str, RoleUse], Callable[[], PowerCourse]], CostUse]
"""Makes the cost of what was served and of the energy; the third is of each role, the last returns the course of power
where a price changes with time."""


def role_use(
    instances: Iterable[MeteredInstance], totals: UsageTotals, there: Sequence[float] | None = None
) -> dict[str, RoleUse]:
    """Of each role; `there` is the share of time for which each instance existed, None for all of it."""
    joules, npus = {"prefill": 0.0, "decode": 0.0}, {"prefill": 0.0, "decode": 0.0}
    for index, (instance, of_instance) in enumerate(zip(instances, totals.joules.tolist(), strict=True)):
        role = instance.role
        joules[role] = joules.get(role, 0.0) + of_instance
        npus[role] = npus.get(role, 0.0) + instance.num_npus * (1.0 if there is None else there[index])
    return {role: RoleUse(joules[role], npus[role]) for role in joules}


def energy_use(
    instances: tuple[MeteredInstance, ...],
    rows: Rows,
    totals: UsageTotals,
    served: Served,
    curves: FacilityCurves | None,
    places: Places | None = None,
    fleet: FleetUse | None = None,
) -> EnergyUse:
    """Sum up `USAGE_ROW` rows, shape (num_accounts,), of which `totals` are the sums by instance; `fleet` where
    instances come and go."""
    joules, span_s = float(totals.joules.sum()), served.span_s
    npus = (SCOPE, joules, ratio(joules, served.output_tokens), ratio(joules, span_s), totals.peak_watts)
    if curves is None:
        return EnergyUse(*npus)
    if fleet is None:
        fleet = FleetUse(rows, curves.spare_npu_w * span_s, totals.peak_watts, curves.plan_share)
    drawn_j = iter(
        _joules_along(fleet.rows, len(instances), curves, [*curves.part_w.values(), *curves.plane_w.values()])
    )
    by = _npu_joules(instances, rows, totals, curves, fleet.spare_j) | dict(zip(curves.part_w, drawn_j))
    by_plane = dict(zip(curves.plane_w, drawn_j))
    feeds_j = sum(by.values())
    peak_w = curves.feed_w(fleet.peak_watts + curves.spare_npu_w) if span_s else 0.0
    by["building"] = curves.building_share * feeds_j
    facility_j, pue = feeds_j + by["building"], 1.0 + curves.building_share
    return EnergyUse(
        *npus,
        MeterUse(feeds_j, ratio(feeds_j, span_s), peak_w),
        MeterUse(facility_j, ratio(facility_j, span_s), pue * peak_w),
        ratio(facility_j, served.output_tokens),
        ratio(facility_j, served.num_requests),
        ratio(served.output_tokens, facility_j),
        by,
        by_plane,
        {} if places is None else places.by_rack(totals.joules.tolist()),
        {} if places is None else places.by_node(totals.joules.tolist()),
        _plan_energy(joules, feeds_j - joules - fleet.spare_j, curves, fleet.plan_share, served),
    )


def _plan_energy(
    npu_joules: float, others_joules: float, curves: FacilityCurves, plan_share: float, served: Served
) -> PlanEnergy:
    """From joules of the plan's NPUs and of all that is no NPU."""
    joules = (1.0 + curves.building_share) * (npu_joules + plan_share * others_joules)
    return PlanEnergy(plan_share, joules, ratio(joules, served.output_tokens))


def power_course(rows: Rows, num_instances: int, curves: FacilityCurves, began_s: float = 0.0) -> PowerCourse:
    """Power at the feeds of the supernodes over time, from `USAGE_ROW` rows that begin at `began_s`; none before."""
    parts = list(fleet_power(rows, num_instances))
    if not parts:
        return PowerCourse(np.zeros(0), np.zeros(0))
    npu_w = np.concatenate([watts for watts, _ in parts])[::-1] + curves.spare_npu_w
    lengths_ns = np.concatenate([lengths for _, lengths in parts])[::-1]
    others_w = [np.interp(npu_w, curves.npu_w, part_w) for part_w in curves.part_w.values()]
    watts = npu_w + sum(others_w)
    if began_s:
        lengths_ns, watts = np.insert(lengths_ns, 0, round(began_s * NS_PER_S)), np.insert(watts, 0, 0.0)
    return PowerCourse(np.cumsum(lengths_ns) / NS_PER_S, watts)


def _npu_joules(
    instances: tuple[MeteredInstance, ...], rows: Rows, totals: UsageTotals, curves: FacilityCurves, spare_j: float
) -> dict[str, float]:
    """An instance that waits draws the same at all times, and less when it is parked: so the joules of idle time tell
    themselves from those of work."""
    waiting_w = np.array([curves.resting_in(instance.pool).waiting_w * instance.num_npus for instance in instances])
    idle_j = np.zeros(len(instances))
    for part in parts(len(rows)):
        of_part = rows[part]
        waited_j = waiting_w[of_part["instance"]] * (powered_ns(of_part) - of_part["busy_ns"]) / NS_PER_S
        idle_j += np.bincount(of_part["instance"], np.minimum(waited_j, of_part["joules"]), minlength=len(instances))
    active_j = totals.joules - idle_j
    by = {"prefill": 0.0, "decode": 0.0, "idle": float(idle_j.sum()) + spare_j}
    for instance, of_instance in zip(instances, active_j.tolist(), strict=True):
        by[instance.role] = by.get(instance.role, 0.0) + of_instance
    return by


def _joules_along(rows: Rows, num_instances: int, curves: FacilityCurves, along: Sequence[Floats]) -> list[float]:
    """Joules of each of the curves `along` the knots of `curves`, shape (num_knots,) each.

    Between two knots a part draws a straight line of NPU watts, so that NPU joules and seconds there tell its joules.
    """
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
