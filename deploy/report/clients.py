"""Clients that wait: what they kept in flight, how long sessions took, and the calls of the longest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from deploy.pages.document import LIGHT_AND_DARK, amount, card, grid, section, table
from deploy.pages.plots import Figure, layout
from deploy.pages.units import shown
from deploy.report.chart import COLOURS, Axis, Curve, Limit, line_chart, top_of
from deploy.report.course import MAX_POINTS, Clock
from deploy.run_folder.read import Requests, RunFolder
from scheduler.metrics.columns import NS_PER_S, Bools, Floats
from scheduler.metrics.outcome.in_flight import in_flight
from scheduler.metrics.records import CLASS_COLUMN, SESSION_COLUMN

NUM_SESSIONS: Final = 10
"""Of which the calls are drawn."""

MAX_CALLS: Final = 2000
"""Drawn at most, of all sessions together."""

ROW_PX: Final = 24
CDF_POINTS: Final = 160
BOUND_COLOUR: Final = COLOURS[5]


def clients_section(run: RunFolder) -> list[str]:
    """Nothing of a run at fixed times."""
    clients = run.summary.get("clients")
    if clients is None or not run.span_s:
        return []
    sessions = run.summary.get("sessions")
    parts = [_clients_table(clients)]
    charts = [_in_flight(run, clients)]
    if sessions is not None and sessions["count"] and SESSION_COLUMN in run.requests.numbers:
        parts.append(_sessions_table(sessions))
        charts += [_open_sessions(run), _session_times(run), _longest(run)]
    about = (
        "Each client asks again when it has its answer. Little's law: what is in flight is the rate of requests times "
        "the time of each."
    )
    return [section("Clients", about, *parts, grid(*charts))]


def _clients_table(clients: Mapping[str, Any]) -> str:
    groups = {"all": clients, **clients.get("by_class", {})}
    rows: list[tuple[str, ...]] = []
    for name, use in groups.items():
        off = use["little"]["difference"]
        bound = "-" if use["concurrency"] is None else f"{use['concurrency']:,}"
        rows.append(
            (
                name,
                bound,
                _number(use["in_flight_mean"]),
                f"{use['in_flight_peak']:,}",
                amount("reqps", use["achieved_requests_per_s"]),
                _number(use["little"]["in_flight"]),
                "-" if off is None else f"{100 * off:+.2f} %",
            )
        )
    return table(("", "clients", "in flight, mean", "peak", "achieved", "rate x E2E", "off by"), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else shown("none", value)


def _sessions_table(sessions: Mapping[str, Any]) -> str:
    counts = [f"{sessions[name]:,}" for name in ("count", "completed", "turns", "abandoned_turns")]
    times = [amount("s", sessions["e2e_s"][name]) for name in ("mean", "p50", "p95", "p99", "max")]
    names = ("sessions begun", "completed", "turns", "turns abandoned", "mean time", "p50", "p95", "p99", "max")
    return table(names, [[*counts, *times]])


def _in_flight(run: RunFolder, clients: Mapping[str, Any]) -> str:
    """Over the whole run, with the bound, and by class where groups of clients have their own."""
    edges = np.linspace(0.0, run.span_s, MAX_POINTS + 1)
    curves = [Curve("in flight", _held(run.requests, slice(None), edges), COLOURS[0])]
    if CLASS_COLUMN in run.requests.texts:
        of_class = np.array(run.requests.texts[CLASS_COLUMN])
        curves += [
            Curve(name, _held(run.requests, of_class == name, edges), COLOURS[1 + place])
            for place, name in enumerate(list(clients.get("by_class", {}))[: len(COLOURS) - 2])
        ]
    if clients["concurrency"] is not None:
        curves.append(Curve("clients", np.full(MAX_POINTS, float(clients["concurrency"])), BOUND_COLOUR))
    return _over_run(run, "Requests in flight", "arrived and not ended; mean of each step", curves)


def _held(requests: Requests, which: Bools | slice, edges: Floats) -> Floats:
    times = (requests.numbers[name][which].astype(np.int64) for name in ("arrived_ns", "ended_ns"))
    return in_flight(*times).in_steps(edges)


def _over_run(run: RunFolder, title: str, about: str, curves: Sequence[Curve]) -> str:
    clock = Clock.of(run.span_s)
    x = (np.arange(MAX_POINTS, dtype=np.float64) + 0.5) * (run.span_s / MAX_POINTS / clock.divisor_s)
    end_s = run.summary.get("warmup", {}).get("ended_s")
    limits = [Limit(end_s / clock.divisor_s, "end of the warm-up")] if end_s else []
    y_axis = Axis(0.0, top_of([curve.values for curve in curves]), "none")
    return line_chart(title, about, x, curves, clock.axis(run.span_s), y_axis, limits=limits)


def _spans(run: RunFolder) -> tuple[Floats, Floats, Floats]:
    """Numbers of sessions, and when each began and had its last end in ns, shape (num_sessions,) each."""
    numbers = run.requests.numbers
    sessions = numbers[SESSION_COLUMN]
    has_one = ~np.isnan(sessions)
    known, place = np.unique(sessions[has_one], return_inverse=True)
    first, last = np.full(len(known), np.inf), np.zeros(len(known))
    np.minimum.at(first, place, numbers["arrived_ns"][has_one])
    np.maximum.at(last, place, numbers["ended_ns"][has_one])
    return known, first, last


def _open_sessions(run: RunFolder) -> str:
    _, first, last = _spans(run)
    edges = np.linspace(0.0, run.span_s, MAX_POINTS + 1)
    held = in_flight(first.astype(np.int64), last.astype(np.int64)).in_steps(edges)
    about = "from the first call to the last end, waits between calls included"
    return _over_run(run, "Sessions open", about, [Curve("open", held, COLOURS[0])])


def _session_times(run: RunFolder) -> str:
    _, first, last = _spans(run)
    values = np.sort(last - first) / NS_PER_S
    high = float(values[-1])
    if high <= 0:
        return ""
    x = np.linspace(0.0, high, CDF_POINTS)
    share = np.searchsorted(values, x, side="right") / len(values)
    return line_chart(
        "Session time: share of sessions within",
        "first arrival to last end, of all sessions that began",
        x,
        [Curve("sessions", share, COLOURS[0])],
        Axis(0.0, high, "s"),
        Axis(0.0, 1.0, "percentunit"),
    )


def _longest(run: RunFolder) -> str:
    """Bars of the calls of the longest sessions, with what lies between them left free."""
    known, first, last = _spans(run)
    order: list[int] = np.argsort(first - last, kind="stable")[:NUM_SESSIONS].tolist()
    spans_s = [float(last[place] - first[place]) / NS_PER_S for place in order]
    numbers = run.requests.numbers
    axis = Axis(0.0, max(spans_s[0], 1e-9) * 1.15, "s")
    bars: list[tuple[int, float, float, float, int]] = []
    for row, place in enumerate(order):
        for one in np.flatnonzero(numbers[SESSION_COLUMN] == known[place]).tolist():
            arrived, token, ended = (
                (float(numbers[name][one]) - float(first[place])) / NS_PER_S
                for name in ("arrived_ns", "first_token_ns", "ended_ns")
            )
            bars.append((row, arrived, ended if np.isnan(token) else token, ended, one))
    shapes = (("to the first token", COLOURS[0], 1, 2), ("decode", COLOURS[2], 2, 3))
    traces = [_bars(name, colour, bars[:MAX_CALLS], begin, end, axis) for name, colour, begin, end in shapes]
    y = {
        "range": [len(order) - 0.5, -0.5],
        "tickvals": list(range(len(order))),
        "ticktext": [f"<b>{int(known[place])}</b>  {shown('s', span_s)}" for place, span_s in zip(order, spans_s)],
        "showgrid": False,
        "zeroline": False,
    }
    drawn = layout(LIGHT_AND_DARK, axis.settings, y, barmode="overlay", bargap=0.3)
    about = "calls from arrival to last token; between them tools run, people read, or a client is waited for"
    legend = [(name, colour) for name, colour, *_ in shapes]
    return card("Longest sessions", about, Figure(traces, drawn, legend), len(order) * ROW_PX + 32, wide=True)


def _bars(
    name: str,
    colour: str,
    bars: Sequence[tuple[int, float, float, float, int]],
    begin: int,
    end: int,
    axis: Axis,
) -> dict[str, Any]:
    """One part of all calls, of (row, arrival, first token, end, request) in seconds of the session."""
    begins, ends = (np.array([bar[place] for bar in bars]) for place in (begin, end))
    return {
        "type": "bar",
        "orientation": "h",
        "y": [bar[0] for bar in bars],
        "base": axis.of(begins),
        "x": axis.of(ends - begins),
        "marker": {"color": colour},
        "text": [f"request {bar[4]}, {name}: {shown('s', bar[end] - bar[begin])}" for bar in bars],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }
