"""A summary for people: the same numbers as sections of aligned columns, in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scheduler.metrics.outcome.cells import NOTHING, count_cell, percent_cell, rate_cell, seconds_cell, si_cell
from scheduler.metrics.outcome.client_sections import cache_section, footer, limit_sections, outcome_sections
from scheduler.metrics.outcome.sections import Section, page_text
from scheduler.protocol.fabric_parts import TITLES, PartKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scheduler.metrics.outcome.energy import CostUse, EnergyUse, MeterUse, PlanCost
    from scheduler.metrics.outcome.summary import Summary
    from scheduler.metrics.subjects.clusters import ClusterUse
    from scheduler.metrics.subjects.fabric import PlaneUse
    from scheduler.metrics.subjects.instances import RoleLoad


def render(summary: Summary, title: str = "") -> str:
    """The whole page, ending in a newline. `title` names trace, plan and policy in one line."""
    return page_text(title, sections(summary), footer(summary))


def sections(summary: Summary) -> list[Section]:
    """What the page shows, section by section; those that say nothing about this run are left out."""
    page = [
        *outcome_sections(summary),
        _load_section(summary),
        _clusters_section(summary),
        cache_section(summary.cache.hit_tokens, summary.cache.lookup_tokens),
        _cache_policy_section(summary),
        _scaling_section(summary),
        _fabric_section(summary),
        _transfers_section(summary),
        _links_section(summary),
        *_broken_sections(summary),
        _energy_section(summary),
        *_split_sections(summary),
        *limit_sections(summary),
    ]
    return [section for section in page if section.rows]


def _load_section(summary: Summary) -> Section:
    """What instances do, and how full decode is, which its busy time does not tell."""
    load = summary.decode_load
    shared = ". An aggregated instance counts in both rows" if "aggregated" in summary.energy.by else ""
    room = rate_cell(load.batch_per_npu), percent_cell(load.kv_used_mean), percent_cell(load.kv_free_least)
    return Section(
        "Per NPU",
        ("tok/s", "busy", "power", "mean batch", "KV used", "KV free"),
        (
            ("Prefill", *_load_cells(summary.per_npu.prefill), *[NOTHING] * len(room)),
            ("Decode", *_load_cells(summary.per_npu.decode), *room),
        ),
        about=f"busy: a pass or step runs, however small. KV free: what was left at its fullest{shared}",
    )


def _clusters_section(summary: Summary) -> Section:
    """Of a fleet of several."""
    clusters: Mapping[str, ClusterUse] = summary.others.get("clusters", {})
    rows = tuple(
        (
            name,
            count_cell(one.npus),
            rate_cell(one.instance_npus),
            percent_cell(one.utilization),
            si_cell(one.watts, "W"),
            si_cell(one.joules, "J"),
        )
        for name, one in clusters.items()
    )
    chips = tuple(one.chip for one in clusters.values())
    return Section("Clusters", ("NPUs", "serving", "busy", "per NPU", "energy"), rows, chips)


def _cache_policy_section(summary: Summary) -> Section:
    """What was done for sessions, where a policy was asked."""
    did = summary.others.get("cache_policy")
    if did is None:
        return Section("Cache policy", (), ())
    blocks = (count_cell(did[name]) for name in ("kept_blocks", "expired_blocks"))
    tokens = (si_cell(did[name], "tok") for name in ("prefetched_tokens", "prefetch_used_tokens"))
    names = ("blocks kept", "expired", "prefetched", "of them used")
    return Section("Cache policy", names, (("", *blocks, *tokens),))


def _scaling_section(summary: Summary) -> Section:
    """Instances that came and went, in a run in which any may."""
    scaling = summary.others.get("scaling")
    if scaling is None:
        return Section("Scaling", (), ())
    columns = ("NPU hours", "mean instances", "started", "drained")
    rows = tuple(
        (
            role,
            rate_cell(one.npu_hours),
            rate_cell(one.mean_instances),
            count_cell(one.started),
            count_cell(one.drained),
        )
        for role, one in scaling.by_role.items()
    )
    return Section("Scaling", columns, rows)


def _fabric_section(summary: Summary) -> Section:
    columns = ("moved", "mean use", "peak use", "mean time", "p99 time", "max time")
    return Section("Fabric", columns, tuple((name, *_plane_cells(plane)) for name, plane in _planes(summary)))


def _planes(summary: Summary) -> list[tuple[str, PlaneUse]]:
    fabric = summary.fabric
    return [("UB", fabric.ub), ("RDMA", fabric.rdma), ("VPC", fabric.vpc)]


def _links_section(summary: Summary) -> Section:
    """By class of links, those that carried anything."""
    rows = [
        (
            _spelled(links),
            name,
            si_cell(use.bytes, "B"),
            percent_cell(use.utilization_mean),
            percent_cell(use.utilization_peak),
        )
        for name, plane in _planes(summary)
        for links, use in plane.links.items()
        if use.bytes
    ]
    return Section("Links", ("plane", "moved", "mean use", "peak use"), tuple(rows))


def _spelled(links: str) -> str:
    """Such as `NPU out` of npu_out."""
    return _capital(links.replace("npu", "NPU").replace("_", " "))


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _transfers_section(summary: Summary) -> Section:
    """Times are sums over all transfers, of those planes that carried any or lost something."""
    rows = [
        (
            name,
            seconds_cell(plane.hidden_s),
            seconds_cell(plane.exposed_s),
            count_cell(plane.failed_transfers),
            percent_cell(plane.availability),
        )
        for name, plane in _planes(summary)
        if plane.bytes or plane.failed_transfers or plane.availability not in (None, 1)
    ]
    return Section("Transfers", ("hidden", "waited for", "cut off", "available"), tuple(rows))


def _broken_sections(summary: Summary) -> list[Section]:
    """Kinds of parts that broke, and what planes lost with them; nothing where nothing broke."""
    broken = summary.broken_parts
    if broken is None:
        return []
    kinds = [
        (
            _capital(TITLES[PartKind(kind)][1]),
            count_cell(use.parts),
            count_cell(use.failures),
            seconds_cell(use.broken_s),
            seconds_cell(use.longest_s),
            count_cell(use.broken_at_end),
        )
        for kind, use in broken.by_kind.items()
    ]
    planes = [
        (plane.upper(), percent_cell(lost.mean), percent_cell(lost.worst), seconds_cell(lost.lost_s))
        for plane, lost in broken.lost.items()
    ]
    return [
        Section("Broken parts", ("parts", "failures", "broken for", "longest", "at the end"), tuple(kinds)),
        Section("Capacity lost", ("mean", "at worst", "for"), tuple(planes)),
    ]


def _energy_section(summary: Summary) -> Section:
    energy = summary.energy
    watts = si_cell(energy.mean_watts, "W"), si_cell(energy.peak_watts, "W")
    cells = (si_cell(energy.joules, "J"), rate_cell(energy.joules_per_output_token), *watts)
    scope = f"{energy.scope.upper()}s only"
    rows = [(scope, *cells)]
    if energy.supernode is not None and energy.facility is not None:
        per_token = _ratio_cell(energy.supernode.joules, energy)
        rows += [
            ("Supernode", *_meter_cells(energy.supernode, per_token)),
            ("Site", *_meter_cells(energy.facility, rate_cell(energy.facility_joules_per_output_token))),
        ]
        if energy.plan is not None and energy.plan.npu_share < 1:
            own = si_cell(energy.plan.joules, "J"), rate_cell(energy.plan.joules_per_output_token)
            rows.append((f"Plan, {percent_cell(energy.plan.npu_share)}", *own, "", ""))
    return Section("Energy", ("total", "J/token", "mean power", "peak power"), tuple(rows))


def _split_sections(summary: Summary) -> list[Section]:
    """Where the energy of a site went, and what all of it cost; nothing of a run that was not told."""
    energy, cost = summary.energy, summary.cost
    if energy.facility is None or not energy.facility.joules:
        return []
    shares = {name: joules / energy.facility.joules for name, joules in energy.by.items()}
    npus = {name: shares[name] for name in ("prefill", "decode", "aggregated", "idle") if name in shares}
    others = {name: share for name, share in shares.items() if name not in npus}
    found = [
        Section("NPU energy", tuple(npus), (("", *map(percent_cell, npus.values())),)),
        Section(
            "Other", tuple(name.replace("_", " ") for name in others), (("", *map(percent_cell, others.values())),)
        ),
    ]
    if any(energy.by_plane.values()):
        networks = [percent_cell(joules / energy.facility.joules) for joules in energy.by_plane.values()]
        found.append(Section("Networks", tuple(name.upper() for name in energy.by_plane), (("", *networks),)))
    if cost.usd is not None:
        rows = [("", *_cost_cells(cost))]
        if cost.plan is not None and energy.plan is not None and cost.plan.usd < (1 - 1e-9) * cost.usd:
            rows.append((f"Plan, {percent_cell(energy.plan.npu_share)}", *_cost_cells(cost.plan)))
        found.append(Section("Cost", ("total", "USD/Mtok in", "USD/Mtok out"), tuple(rows)))
    return found


def _cost_cells(cost: CostUse | PlanCost) -> tuple[str, ...]:
    dollars = (cost.usd, cost.usd_per_million_input_tokens, cost.usd_per_million_output_tokens)
    return tuple(map(_dollars, dollars))


def _ratio_cell(joules: float, energy: EnergyUse) -> str:
    """Per output token, of which the NPUs' own ratio tells how many there were."""
    per_token = energy.joules_per_output_token
    return rate_cell(per_token * joules / energy.joules if per_token is not None and energy.joules else None)


def _meter_cells(meter: MeterUse, per_token: str) -> tuple[str, ...]:
    return si_cell(meter.joules, "J"), per_token, si_cell(meter.mean_watts, "W"), si_cell(meter.peak_watts, "W")


def _dollars(dollars: float | None) -> str:
    return rate_cell(dollars)


def _load_cells(load: RoleLoad) -> tuple[str, ...]:
    return rate_cell(load.tokens_per_s), percent_cell(load.utilization), si_cell(load.watts, "W")


def _plane_cells(plane: PlaneUse) -> tuple[str, ...]:
    times = plane.transfer_s
    return (
        si_cell(plane.bytes, "B"),
        percent_cell(plane.utilization_mean),
        percent_cell(plane.utilization_peak),
        *map(seconds_cell, (times.mean, times.p99, times.max)),
    )
