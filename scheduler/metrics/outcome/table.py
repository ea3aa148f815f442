"""A summary for people: the same numbers as sections of aligned columns, in plain text.

No terminal library takes part: importing one would cost more than a short replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scheduler.metrics.outcome.cells import (
    NOTHING,
    Section,
    count_cell,
    digits,
    percent_cell,
    rate_cell,
    seconds_cell,
    si_cell,
)
from scheduler.metrics.outcome.rare_sections import cache_policy_section, scaling_section
from scheduler.metrics.subjects.clients import ClientUse, GroupUse
from scheduler.protocol.fabric_parts import TITLES, PartKind

if TYPE_CHECKING:
    from scheduler.metrics.distribution import Distribution
    from scheduler.metrics.outcome.energy import CostUse, EnergyUse, MeterUse, PlanCost
    from scheduler.metrics.outcome.summary import Summary
    from scheduler.metrics.subjects.clock import WarmupUse
    from scheduler.metrics.subjects.fabric import PlaneUse
    from scheduler.metrics.subjects.instances import RoleLoad

LABEL_WIDTH: Final = 12
COLUMN_WIDTH: Final = 13
"""Six columns beside the labels make 90 characters; equal widths align all sections with one another."""


def render(summary: Summary, title: str = "") -> str:
    """The whole page, ending in a newline. `title` names trace, plan and policy in one line."""
    blocks = [title] if title else []
    for section in sections(summary):
        about = [f"  ({section.about})"] if section.about else []
        blocks.append("\n".join([*_lines(section), *about]))
    blocks.append(_footer(summary))
    return "\n\n".join(blocks) + "\n"


def sections(summary: Summary) -> list[Section]:
    """What the page shows, section by section; those that say nothing about this run are left out."""
    requests, throughput = summary.requests, summary.throughput
    latencies = (
        ("TTFT", summary.ttft_s),
        ("TPOT", summary.tpot_s),
        ("ITL", summary.itl_s),
        ("E2E", summary.e2e_s),
        ("Queue", summary.queue_s),
        *([("Session", summary.sessions.e2e_s)] if summary.sessions is not None and summary.sessions.count else []),
    )
    counts = {
        "arrived": requests.arrived,
        "finished": requests.finished,
        "rejected": requests.rejected,
        "failed": requests.failed,
        "preempted": summary.preemptions,
    }
    if requests.retried:
        counts["retried"] = requests.retried
    rates = (throughput.requests_per_s, throughput.input_tokens_per_s, throughput.output_tokens_per_s)
    page = [
        Section("Requests", tuple(counts), (("", *map(count_cell, counts.values())),)),
        _ends_section(summary),
        Section(
            "Latency",
            ("mean", "p50", "p90", "p95", "p99", "max"),
            tuple((label, *_latency_cells(distribution)) for label, distribution in latencies),
        ),
        Section(
            "Throughput",
            ("requests/s", "input tok/s", "output tok/s"),
            (("", *map(rate_cell, rates)),),
        ),
        *_client_sections(summary),
        _wasted_section(summary),
        _load_section(summary),
        _cache_section(summary),
        cache_policy_section(summary),
        scaling_section(summary),
        _fabric_section(summary),
        _transfers_section(summary),
        _links_section(summary),
        *_broken_sections(summary),
        _energy_section(summary),
        *_split_sections(summary),
    ]
    if summary.slo is not None:
        goodput = rate_cell(summary.slo.goodput_requests_per_s)
        page.append(Section("SLO", ("attained", "requests/s"), (("", percent_cell(summary.slo.attainment), goodput),)))
    page += _class_sections(summary)
    return [section for section in page if section.rows]


def _client_sections(summary: Summary) -> list[Section]:
    """What clients kept in flight, and what became of sessions, in a run that has any."""
    found: list[Section] = []
    if (clients := summary.clients) is not None:
        groups = {"": clients, **(clients.by_class if isinstance(clients, ClientUse) else {})}
        columns = ("clients", "in flight", "peak", "requests/s", "rate x E2E", "off by")
        rows = tuple((name, *_client_cells(use)) for name, use in groups.items())
        found.append(Section("Clients", columns, rows))
    if (sessions := summary.sessions) is not None and sessions.count:
        counts = (sessions.count, sessions.completed, sessions.turns, sessions.abandoned_turns)
        found.append(
            Section("Sessions", ("begun", "completed", "turns", "abandoned"), (("", *map(count_cell, counts)),))
        )
    return found


def _client_cells(use: GroupUse) -> tuple[str, ...]:
    bound = NOTHING if use.concurrency is None else count_cell(use.concurrency)
    off = use.little.difference
    return (
        bound,
        rate_cell(use.in_flight_mean),
        count_cell(use.in_flight_peak),
        rate_cell(use.achieved_requests_per_s),
        rate_cell(use.little.in_flight),
        NOTHING if off is None else f"{100 * off:+.2f} %",
    )


def _load_section(summary: Summary) -> Section:
    """What instances do, and how full decode is, which its busy time does not tell."""
    load = summary.decode_load
    room = rate_cell(load.batch_per_npu), percent_cell(load.kv_used_mean), percent_cell(load.kv_free_least)
    return Section(
        "Per NPU",
        ("tok/s", "busy", "power", "mean batch", "KV used", "KV free"),
        (
            ("Prefill", *_load_cells(summary.per_npu.prefill), *[NOTHING] * len(room)),
            ("Decode", *_load_cells(summary.per_npu.decode), *room),
        ),
        about="busy: a pass or step runs, however small. KV free: what was left at its fullest",
    )


def _wasted_section(summary: Summary) -> Section:
    """Tokens of requests that did not finish, if there are any; the rates above and all ratios count them."""
    tokens = summary.tokens
    share = tokens.wasted_output / tokens.output if tokens.output else None
    cells = si_cell(tokens.wasted_prompt, "tok"), si_cell(tokens.wasted_output, "tok"), percent_cell(share)
    has_any = tokens.wasted_prompt or tokens.wasted_output
    return Section("Wasted", ("prompt", "output", "of output"), (("", *cells),) if has_any else ())


def _ends_section(summary: Summary) -> Section:
    """Each reason with the limit behind it; nothing if all requests ended in one way and that was to finish."""
    reasons = {name: count for name, count in summary.finish_reasons.items() if count}
    says_nothing = len(reasons) < 2 and summary.requests.finished == summary.requests.arrived
    rows = () if says_nothing else tuple((name, count_cell(count)) for name, count in reasons.items())
    return Section("Ended by", ("requests",), rows, tuple(summary.finish_limits.get(name, "") for name, *_ in rows))


def _class_sections(summary: Summary) -> list[Section]:
    """A row for each class that any request belongs to."""
    rows = [
        (
            name,
            count_cell(use.requests.arrived),
            count_cell(use.requests.rejected + use.requests.failed),
            seconds_cell(use.ttft_s.p50),
            seconds_cell(use.ttft_s.p99),
            seconds_cell(use.tpot_s.p99),
            percent_cell(use.slo.attainment),
            rate_cell(use.slo.goodput_requests_per_s),
        )
        for name, use in summary.classes.items()
        if use.requests.arrived
    ]
    columns = ("arrived", "not served", "TTFT p50", "TTFT p99", "TPOT p99", "attained", "requests/s")
    return [Section("Classes", columns, tuple(rows))]


def _lines(section: Section) -> list[str]:
    """Numbers end where the names of their columns end; a long label takes its room from its first number."""
    cells = [section.columns, *(row[1:] for row in section.rows)]
    widths = [max(COLUMN_WIDTH, *(len(cell) + 1 for cell in column)) for column in zip(*cells, strict=True)]
    labels = [section.title, *("  " + row[0] for row in section.rows)]
    notes = ("", *(section.notes or ("",) * len(section.rows)))
    lines: list[str] = []
    for label, row, note in zip(labels, cells, notes, strict=True):
        first = row[0].rjust(LABEL_WIDTH + widths[0] - len(label))
        lines.append(f"{label}{first}{''.join(map(str.rjust, row[1:], widths[1:]))}  {note}".rstrip())
    return lines


def _footer(summary: Summary) -> str:
    pace = f" ({digits(summary.simulated_s / summary.wall_s)}x)" if summary.wall_s else ""
    times = f"{seconds_cell(summary.simulated_s)} simulated in {seconds_cell(summary.wall_s)}{pace}"
    warmup = summary.warmup
    left_out = "" if warmup is None else f"{_warmup_line(warmup)}\n"
    return f"{left_out}{times}, seed {summary.seed}, config {summary.config_digest}"


def _warmup_line(warmup: WarmupUse) -> str:
    return (
        f"figures without the warm-up: {count_cell(warmup.requests)} requests, the first {seconds_cell(warmup.ended_s)}"
    )


def _cache_section(summary: Summary) -> Section:
    cache = summary.cache
    share = cache.hit_tokens / cache.lookup_tokens if cache.lookup_tokens else None
    cells = (percent_cell(share), si_cell(cache.hit_tokens, "tok"), si_cell(cache.lookup_tokens, "tok"))
    return Section("Cache", ("hit rate", "hit", "looked up"), (("", *cells),) if cache.lookup_tokens else ())


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
    npus = {name: shares[name] for name in ("prefill", "decode", "idle")}
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


def _latency_cells(values: Distribution) -> tuple[str, ...]:
    return tuple(map(seconds_cell, (values.mean, values.p50, values.p90, values.p95, values.p99, values.max)))


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
