"""What a plan came to, for programs and for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from deploy.hardware.quantities import quantity
from deploy.planning.confidence import UNTRIED
from deploy.planning.planner import Planned, Sensitivity, Try
from deploy.terminal.table import table

ROLES: Final = {"p": "prefill", "d": "decode", "a": "aggregated"}

MAX_ROWS: Final = 8


def plan_document(planned: Planned, attainment: float) -> dict[str, Any]:
    """Plain values: those of the answer, or of what came nearest, then all else that was found."""
    shown = planned.best or planned.nearest
    return {
        "met": planned.best is not None,
        "attainment_asked": attainment,
        **_try(shown),
        **_sensitivity(planned.sensitivity),
        "why_not": [] if planned.best is not None else why_not(planned),
        "alternatives": [_try(one) for one in planned.serving[1:]],
        "searched": {"replays": planned.num_replays, "plans": len(planned.tried)},
    }


def why_not(planned: Planned) -> list[str]:
    """Which limits the requests of the nearest plan missed, and what keeps other sizes of instances from serving."""
    lines = list(planned.ceilings)
    misses = planned.nearest.measured.misses
    if misses is not None:
        of_all = f"of {misses.requests:,} requests"
        counted = {"TTFT": misses.ttft, "TPOT": misses.tpot, "E2E": misses.e2e, "the end": misses.unfinished}
        lines += [f"{planned.nearest.plan}: {num:,} {of_all} missed {what}" for what, num in counted.items() if num]
    return lines


def plan_page(planned: Planned, title: str, attainment: float) -> str:
    """The answer, how sure it is, and what else would do."""
    best = planned.best
    if best is None:
        lines = [f"No plan that was tried serves {attainment:.2%} within the limits. The nearest:"]
        lines += ["", _table([planned.nearest]), "", "What fails:"]
        return "\n".join([title, "", *lines, *(f"  {line}" for line in why_not(planned))]) + "\n"
    blocks = [title, _table(_front(planned))]
    if planned.sensitivity is not None:
        blocks.append(_sure(best, planned.sensitivity, attainment))
    blocks.append(f"{planned.num_replays:,} replays, {len(planned.tried):,} of them of plans on the whole trace")
    return "\n\n".join(blocks) + "\n"


def _front(planned: Planned) -> list[Try]:
    """The cheapest of each shape, the answer first."""
    of_shapes: dict[tuple[object, ...], Try] = {}
    for one in planned.serving:
        of_shapes.setdefault((one.cluster, one.shape.kinds, *one.shape.varied.items()), one)
    return list(of_shapes.values())[:MAX_ROWS]


def _table(tries: Sequence[Try]) -> str:
    rows: list[tuple[str, ...]] = [
        ("plan", "cluster", "NPUs", "attained", "TTFT p99", "TPOT p99", "J/token", "$/h", "with")
    ]
    for one in tries:
        run = one.measured.document
        cells = (_seconds(run["ttft_s"]["p99"]), _seconds(run["tpot_s"]["p99"]))
        figures = (run["energy"]["joules_per_output_token"], usd_per_hour(one))
        shown = (f"{value:,.4g}" if value is not None else "-" for value in figures)
        told = ", ".join(f"{name}: {value}" for name, value in one.shape.varied.items())
        rows.append(
            (one.plan, one.cluster, f"{one.num_npus:,}", f"{one.measured.attainment:.2%}", *cells, *shown, told)
        )
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    return table(rows, range(2, 8))


def usd_per_hour(one: Try) -> float | None:
    """Of the NPUs of the plan, as long as the run was."""
    usd, span_s = one.measured.document["cost"]["plan"]["usd"], one.measured.document["simulated_s"]
    return 3600 * usd / span_s if usd is not None and span_s else None


def _sure(best: Try, sensitivity: Sensitivity, attainment: float) -> str:
    rows = _how_sure(best, sensitivity, attainment)
    return f"How sure, {best.plan}\n" + table([(f"  {name}", value) for name, value in rows])


def answer_rows(planned: Planned, attainment: float) -> list[tuple[str, str]]:
    """The answer as names and values: the plan and how sure it is, or what keeps any from serving."""
    best = planned.best
    if best is None:
        fails = [("what fails", line) for line in why_not(planned)]
        return [("none serves; the nearest", planned.nearest.plan), *fails]
    rows = [("plan", best.plan), ("cluster", best.cluster), ("NPUs", f"{best.num_npus:,}")]
    if best.shape.varied:
        rows.append(("with", told_of(best)))
    rows.append(("attained", f"{best.measured.attainment:.2%}"))
    return rows if planned.sensitivity is None else rows + _how_sure(best, planned.sensitivity, attainment)


def told_of(one: Try) -> str:
    """The settings that the search has changed."""
    return ", ".join(f"{name}: {value}" for name, value in one.shape.varied.items())


def _how_sure(best: Try, sensitivity: Sensitivity, attainment: float) -> list[tuple[str, str]]:
    rows = [("head-room", _headroom(sensitivity.headroom))]
    for role, share in sensitivity.without_one.items():
        told = "nothing serves without its only one" if share is None else f"{share:.2%} attained"
        rows.append((f"one {ROLES[role]} instance lost", told))
    slower = sensitivity.attainment_if_slower
    holds = "and it still serves" if slower >= attainment else "and it no longer serves"
    rows.append((f"all slower by the error bar, {sensitivity.error_bar:.0%}", f"{slower:.2%} attained, {holds}"))
    rows.append(("serves if the model of the hardware errs", _confidence(sensitivity.confidence)))
    if best.interval is not None:
        low, high = max(0.0, best.interval.low), min(1.0, best.interval.high)
        sure = "" if low >= attainment else ": another hour like this one may miss the share that was asked for"
        rows.append(("attained, 95 % interval", f"{low:.2%} to {high:.2%}{sure}"))
    if sensitivity.fewest_cache_servers is not None:
        servers = f"{sensitivity.fewest_cache_servers}, of {best.shape.num_nodes(best.counts)}"
        rows.append(("fewest cache servers", servers))
    return rows


def _confidence(share: float) -> str:
    if share == UNTRIED:
        return f"{share:.0%}: it leaves nothing for hardware that is slower than predicted"
    return f"with {share:.0%} at least"


def _headroom(rate: float) -> str:
    return f"bears {rate:g} times the rate" if rate > 1 else "none that was tried: 1.05 times the rate is too much"


def _seconds(value: float | None) -> str:
    return quantity(value, "s") if value else "-"


def _try(one: Try) -> dict[str, Any]:
    run = one.measured.document
    return {
        "plan": one.plan,
        "cluster": one.cluster,
        "npus": one.num_npus,
        "settings": dict(one.shape.varied),
        "attainment": round(one.measured.attainment, 6),
        "attainment_interval": None
        if one.interval is None
        else [round(one.interval.low, 6), round(one.interval.high, 6)],
        "ttft_s": run["ttft_s"],
        "tpot_s": run["tpot_s"],
        "usd_per_hour": usd_per_hour(one),
        "joules_per_output_token": run["energy"]["joules_per_output_token"],
    }


def _sensitivity(one: Sensitivity | None) -> dict[str, Any]:
    if one is None:
        return {"headroom": None, "without_one_instance": None, "confidence": None, "fewest_cache_servers": None}
    return {
        "headroom": one.headroom,
        "without_one_instance": {ROLES[role]: share for role, share in one.without_one.items()},
        "confidence": {
            "serves_at_least": one.confidence,
            "error_bar": one.error_bar,
            "attainment_if_slower": one.attainment_if_slower,
        },
        "fewest_cache_servers": one.fewest_cache_servers,
    }
