"""Latencies of one run or of several: the table, the distributions, and their course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from deploy.pages.units import shown
from deploy.report.chart import COLOURS, Axis, Curve, Limit, line_chart, top_of
from deploy.report.course import Clock, percentiles_over_time
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import Floats
from scheduler.metrics.slo import parse_slo

CDF_POINTS: Final = 160
LOWEST_SHARE: Final = 1e-5
"""Of the highest value: how far down an axis of logarithms goes."""

BEYOND_LIMIT: Final = 1.2
"""How far an axis goes on beyond a limit, so that it is seen how far off it is."""

STATISTICS: Final = ("mean", "p50", "p90", "p95", "p99", "max")

LATENCIES: Final = (
    ("ttft_s", "TTFT", "arrival to first token"),
    ("tpot_s", "TPOT", "time per output token after the first"),
    ("itl_s", "ITL", "gaps between tokens, pooled"),
    ("e2e_s", "E2E", "arrival to last token"),
    ("queue_s", "Queue", "arrival to start of prefill"),
)
PERCENTILE_COLOURS: Final = (COLOURS[0], COLOURS[3], COLOURS[1])
DRAWN: Final = ("ttft_s", "tpot_s", "e2e_s", "queue_s")


def latency_table(summary: Mapping[str, Any]) -> str:
    """Mean and percentiles."""
    head = "".join(f"<th>{name}</th>" for name in STATISTICS)
    found = [(name, about, summary[key]) for key, name, about in LATENCIES]
    if (sessions := summary.get("sessions")) is not None and sessions["count"]:
        found.append(("Session", "first arrival to last end", sessions["e2e_s"]))
    rows = "".join(
        f'<tr><td>{name} <span class="lead">{about}</span></td>{_cells(values)}</tr>' for name, about, values in found
    )
    return f'<div class="card scroll"><table><tr><th></th>{head}</tr>{rows}</table></div>'


def _cells(distribution: Mapping[str, float | None]) -> str:
    values = (distribution[name] for name in STATISTICS)
    return "".join(f"<td>{'-' if value is None else escape(shown('s', value))}</td>" for value in values)


def distributions(runs: Sequence[tuple[str, RunFolder]]) -> list[str]:
    """Cumulative distributions, of several runs over each other; `runs` are (name, run)."""
    names = {key: (name, about) for key, name, about in LATENCIES}
    return [_distribution(key, *names[key], runs) for key in DRAWN]


def _distribution(key: str, name: str, about: str, runs: Sequence[tuple[str, RunFolder]]) -> str:
    known = [(of, _known(run, key)) for of, run in runs]
    known = [(of, values) for of, values in known if len(values)]
    high = max((float(values[-1]) for _, values in known), default=0.0)
    if high <= 0:
        return ""
    limits = {at: Limit(at, f"SLO {shown('s', at)}") for _, run in runs if (at := _limit(run, key)) is not None}
    high = max([high, *(at * BEYOND_LIMIT for at in limits)])
    low = max(min(float(values[0]) for _, values in known), high * LOWEST_SHARE)
    low = min(low, high / 2)
    x = np.geomspace(low, high, CDF_POINTS)
    curves = [
        Curve(of, np.searchsorted(values, x, side="right") / len(values), COLOURS[index % len(COLOURS)])
        for index, (of, values) in enumerate(known)
    ]
    return line_chart(
        f"{name}: share of requests within",
        about,
        x,
        curves,
        Axis(low, high, "s", is_log=True),
        Axis(0.0, 1.0, "percentunit"),
        limits=list(limits.values()),
    )


def _known(run: RunFolder, key: str) -> Floats:
    values = run.requests.numbers[key]
    return np.sort(values[~np.isnan(values)])


def _limit(run: RunFolder, key: str) -> float | None:
    text = run.config.get("slo")
    return getattr(parse_slo(text), key, None) if text else None


def latency_course(run: RunFolder, key: str, name: str) -> str:
    """Percentiles of the requests that arrived in each stretch of the run."""
    x, found = percentiles_over_time(run, key, (50.0, 95.0, 99.0))
    clock = Clock.of(run.span_s)
    curves = [Curve(f"p{p}", values, colour) for p, values, colour in zip((50, 95, 99), found, PERCENTILE_COLOURS)]
    return line_chart(
        f"{name} over time",
        "percentiles of the requests that arrived then",
        x / clock.divisor_s,
        curves,
        clock.axis(run.span_s),
        Axis(0.0, top_of(found), "s"),
    )
