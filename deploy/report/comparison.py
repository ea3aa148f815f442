"""Several runs beside each other: in what they differ, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final, cast

import numpy as np
from msgspec import Struct

from deploy.pages.document import NOTHING, document, grid, plain, section, span
from deploy.pages.plots import legend
from deploy.pages.units import shown
from deploy.report.chart import COLOURS, Axis, Curve, line_chart, top_of
from deploy.report.course import MAX_POINTS, Clock, Course
from deploy.report.latency import distributions
from deploy.report.policy_warnings import policy_warnings
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import Floats
from scheduler.protocol.errors import InputError

MAX_RUNS: Final = len(COLOURS)
"""Curves that can be told apart."""


COUNT: Final = "count"
SPAN: Final = "span"
"""Units of the table besides those of `units`."""


class Measure(Struct, frozen=True):
    """A line of the table: where it stands in a summary; `best` picks the better of several, if any is."""

    name: str
    path: str
    unit: str
    best: Callable[[Sequence[float]], float] | None = None


MEASURES: Final = (
    Measure("SLO attained", "slo.attainment", "percentunit", max),
    Measure("Goodput", "slo.goodput_requests_per_s", "reqps", max),
    Measure("Requests arrived", "requests.arrived", COUNT),
    Measure("Requests finished", "requests.finished", COUNT, max),
    Measure("Requests rejected", "requests.rejected", COUNT, min),
    Measure("Requests failed", "requests.failed", COUNT, min),
    Measure("TTFT, median", "ttft_s.p50", "s", min),
    Measure("TTFT, p99", "ttft_s.p99", "s", min),
    Measure("TPOT, median", "tpot_s.p50", "s", min),
    Measure("TPOT, p99", "tpot_s.p99", "s", min),
    Measure("E2E, median", "e2e_s.p50", "s", min),
    Measure("E2E, p99", "e2e_s.p99", "s", min),
    Measure("Queue, p99", "queue_s.p99", "s", min),
    Measure("Output", "throughput.output_tokens_per_s", "si:tok/s", max),
    Measure("Prefill busy", "per_npu.prefill.utilization", "percentunit"),
    Measure("Decode busy", "per_npu.decode.utilization", "percentunit"),
    Measure("Decode batch per NPU", "decode_load.batch_per_npu", "none"),
    Measure("Decode KV used, mean", "decode_load.kv_used_mean", "percentunit"),
    Measure("Decode KV free at least", "decode_load.kv_free_least", "percentunit"),
    Measure("Prompt tokens from the cache", "cache.hit_tokens", "si:tok", max),
    Measure("Preemptions", "preemptions", COUNT, min),
    Measure("UB moved", "fabric.ub.bytes", "decbytes"),
    Measure("RDMA moved", "fabric.rdma.bytes", "decbytes"),
    Measure("RDMA waited for", "fabric.rdma.exposed_s", "s", min),
    Measure("RDMA hidden", "fabric.rdma.hidden_s", "s"),
    Measure("RDMA capacity there", "fabric.rdma.availability", "percentunit"),
    Measure("RDMA flows cut off", "fabric.rdma.failed_transfers", COUNT, min),
    Measure("Energy", "energy.joules", "joule", min),
    Measure("Energy per output token", "energy.joules_per_output_token", "joule", min),
    Measure("Mean power", "energy.mean_watts", "watt", min),
    Measure("Peak power", "energy.peak_watts", "watt", min),
    Measure("$ per million input tokens", "cost.usd_per_million_input_tokens", "none", min),
    Measure("$ per million output tokens", "cost.usd_per_million_output_tokens", "none", min),
    Measure("Simulated", "simulated_s", SPAN),
)


def comparison_page(runs: Sequence[RunFolder]) -> str:
    """One self-contained HTML file; InputError for more runs than can be told apart."""
    if len(runs) > MAX_RUNS:
        raise InputError(f"{len(runs)} run folders are too many to tell apart; give at most {MAX_RUNS}")
    names = _names(runs)
    named = list(zip(names, runs, strict=True))
    body = [
        f"<h1>{len(runs)} runs compared</h1>",
        f'<p class="lead">{escape("; ".join(dict.fromkeys(str(run.trace["name"]) for run in runs)))}</p>'
        f"{legend(list(zip(names, COLOURS)))}",
        *filter(None, [policy_warnings(run.summary, name) for name, run in named]),
        section("What differs", "Settings that are the same in all runs are left out.", _differences(names, runs)),
        section(
            "What came of it", "The best figure of a line stands out where figures differ.", _measures(names, runs)
        ),
        section("Latency", "Share of requests within a time, of each run.", grid(*distributions(named))),
        section("Over time", "", _courses(named)),
    ]
    return document(f"{' / '.join(names)}: runs compared", "\n".join(body))


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """The folders' own names; their whole paths where two have one."""
    own = [run.name for run in runs]
    if len(set(own)) == len(own):
        return own
    paths = [str(run.path) for run in runs]
    return paths if len(set(paths)) == len(paths) else [f"{place}: {path}" for place, path in enumerate(paths, 1)]


def _head(names: Sequence[str]) -> str:
    return f"<tr><th></th>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>"


def _differences(names: Sequence[str], runs: Sequence[RunFolder]) -> str:
    all_settings = [{**run.config, **{f"trace {name}": value for name, value in run.trace.items()}} for run in runs]
    keys = dict.fromkeys(key for one in all_settings for key in one)
    rows = [[plain(one.get(key)) for one in all_settings] for key in keys]
    differing = [(key, row) for key, row in zip(keys, rows, strict=True) if len(set(row)) > 1]
    if not differing:
        return '<div class="card">Nothing: these runs have the same settings.</div>'
    lines = "".join(f"<tr><td>{escape(key)}</td>{''.join(map(_differing, row))}</tr>" for key, row in differing)
    return f'<div class="card scroll"><table>{_head(names)}{lines}</table></div>'


def _differing(cell: str) -> str:
    return f'<td class="differs wrap">{escape(cell)}</td>'


def _measures(names: Sequence[str], runs: Sequence[RunFolder]) -> str:
    lines: list[str] = []
    for measure in MEASURES:
        values = [_value(run.summary, measure.path) for run in runs]
        known = [value for value in values if value is not None]
        if not known:
            continue
        texts = [NOTHING if value is None else _shown(measure.unit, value) for value in values]
        best = None
        # What reads alike stands out nowhere.
        if measure.best is not None and len(set(texts) - {NOTHING}) > 1:
            best = _shown(measure.unit, measure.best(known))
        cells = "".join(f'<td class="{"best" if text == best else ""}">{escape(text)}</td>' for text in texts)
        lines.append(f"<tr><td>{escape(measure.name)}</td>{cells}</tr>")
    return f'<div class="card scroll"><table>{_head(names)}{"".join(lines)}</table></div>'


def _shown(unit: str, value: float) -> str:
    if unit == COUNT:
        return f"{value:,.0f}"
    return span(value) if unit == SPAN else shown(unit, value)


def _value(summary: Mapping[str, Any], path: str) -> float | None:
    found: Any = summary
    for key in path.split("."):
        found = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return float(found) if isinstance(found, int | float) else None


def _courses(named: Sequence[tuple[str, RunFolder]]) -> str:
    span_s = max(run.span_s for _, run in named)
    clock = Clock.of(span_s)
    courses = [(name, Course(run)) for name, run in named]
    courses = [(name, course) for name, course in courses if len(course)]
    return grid(
        *(
            _overlaid(title, about, column, unit, courses, clock, span_s)
            for title, about, column, unit in (
                ("Output tokens per second", "", "output_tokens_per_s", "si:tok/s"),
                ("Decode batch", "sequences running on all decode instances", "in_decode", "none"),
                ("Waiting for prefill", "requests", "waiting_prefill", "none"),
                ("Waiting for room, handed over", "requests", "in_hand_over", "none"),
            )
        )
    )


def _overlaid(
    title: str, about: str, column: str, unit: str, courses: Sequence[tuple[str, Course]], clock: Clock, span_s: float
) -> str:
    """Runs may have steps of other lengths: all are read at the same times."""
    x = np.linspace(0.0, span_s, MAX_POINTS)
    curves = [Curve(name, _at(course, column, x), COLOURS[place]) for place, (name, course) in enumerate(courses)]
    top = top_of([curve.values for curve in curves])
    return line_chart(title, about, x / clock.divisor_s, curves, clock.axis(span_s), Axis(0.0, top, unit))


def _at(course: Course, column: str, times_s: Floats) -> Floats:
    """A column at these times, NaN after the run."""
    return np.interp(times_s, course.x * course.clock.divisor_s, course.mean(column), right=np.nan)
