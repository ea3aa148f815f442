"""The slowest requests, each as a bar of the stages that it went through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from deploy.pages.document import LIGHT_AND_DARK, card
from deploy.pages.plots import Figure, layout
from deploy.pages.units import shown
from deploy.report.chart import COLOURS, Axis
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import NS_PER_S, Floats

NUM_SLOWEST: Final = 12

STAGES: Final = (
    ("waiting", COLOURS[5]),
    ("fetching cached KV", COLOURS[3]),
    ("prefill", COLOURS[0]),
    ("waiting for room", COLOURS[1]),
    ("KV transfer", COLOURS[4]),
    ("decode", COLOURS[2]),
)

ROW_PX: Final = 21


class Stretch(Struct, frozen=True):
    """A request was in a stage from `begin_s` to `end_s`, seconds since it arrived."""

    stage: str
    begin_s: float
    end_s: float


def stretches(run: RunFolder, request_id: int) -> list[Stretch]:
    """The stages of a request in the order of time, without gaps, as far as it came.

    Of one that were requeued, the time from its first token to its last start of decode counts as waiting for room.
    """
    numbers = run.requests.numbers
    arrived, prefill, first, decode, ended = (
        float(numbers[name][request_id])
        for name in ("arrived_ns", "prefill_started_ns", "first_token_ns", "decode_started_ns", "ended_ns")
    )
    fetch_ns, kv_transfer_ns = _fetch(run, request_id, prefill), _kv_transfer(run, request_id, decode)
    marks = [("waiting", arrived)]
    if fetch_ns is not None:
        marks += [("fetching cached KV", fetch_ns[0]), ("waiting", fetch_ns[1])]
    marks += [("prefill", prefill), ("waiting for room", first)]
    if kv_transfer_ns is not None:
        marks.append(("KV transfer", max(kv_transfer_ns, first)))
    marks.append(("decode", decode))
    known = [(stage, at_ns) for stage, at_ns in marks if not np.isnan(at_ns)]
    ends = [at_ns for _, at_ns in known[1:]] + [ended]
    return [
        Stretch(stage, (begin - arrived) / NS_PER_S, (end - arrived) / NS_PER_S)
        for (stage, begin), end in zip(known, ends, strict=True)
        if end > begin
    ]


def _fetch(run: RunFolder, request_id: int, prefill_ns: float) -> tuple[float, float] | None:
    """From when to when cached KV flowed for the first computation."""
    rows = run.decisions["prefill"]
    own = rows[(rows["request_id"] == request_id) & (rows["transfer_ns"] > 0)]
    if not len(own) or not own["said_ns"][0] <= prefill_ns:
        return None
    return float(own["said_ns"][0] - own["transfer_ns"][0]), float(own["said_ns"][0])


def _kv_transfer(run: RunFolder, request_id: int, decode_ns: float) -> float | None:
    """Since when the KV of the last computation flowed, as far as it was not hidden behind the pass."""
    rows = run.decisions["decode"]
    own = rows[(rows["request_id"] == request_id) & (rows["said_ns"] <= decode_ns)]
    return float(own["said_ns"][-1] - own["transfer_ns"][-1]) if len(own) else None


def slowest(run: RunFolder, latency: str, title: str, until: str | None) -> str:
    """Bars of the requests with the longest `latency`, up to the end of stage `until` or to their end."""
    values = run.requests.numbers[latency]
    order = [int(i) for i in np.argsort(-np.nan_to_num(values, nan=-1.0), kind="stable")[:NUM_SLOWEST]]
    order = [i for i in order if not np.isnan(values[i])]
    if not order:
        return ""
    # Room beside the longest bar for its figure.
    axis = Axis(0.0, max(float(values[order[0]]), 1e-9) * 1.2, "s")
    bars = [(place, one) for place, i in enumerate(order) for one in _until(stretches(run, i), until)]
    stages = STAGES[:3] if until == "prefill" else STAGES
    traces = [_bars(name, colour, [bar for bar in bars if bar[1].stage == name], axis) for name, colour in stages]
    traces.append(_figures(values[order], axis))
    y = {
        "range": [len(order) - 0.5, -0.5],
        "tickvals": list(range(len(order))),
        "ticktext": [_request(run, request_id) for request_id in order],
        "showgrid": False,
        "zeroline": False,
    }
    drawn = layout(LIGHT_AND_DARK, axis.settings, y, barmode="overlay", bargap=0.3)
    about = "seconds since arrival; supernode explain ID tells the whole life of a request"
    return card(title, about, Figure(traces, drawn, stages), len(order) * ROW_PX + 32)


def _bars(stage: str, colour: str, bars: Sequence[tuple[int, Stretch]], axis: Axis) -> dict[str, Any]:
    """All bars of one stage, as (row, stretch)."""
    begins = np.array([stretch.begin_s for _, stretch in bars])
    lengths = np.array([stretch.end_s - stretch.begin_s for _, stretch in bars])
    return {
        "type": "bar",
        "orientation": "h",
        "y": [place for place, _ in bars],
        "base": axis.of(begins),
        "x": axis.of(lengths),
        "marker": {"color": colour},
        "text": [f"{stage}: {shown('s', length)}" for length in lengths.tolist()],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _figures(values: Floats, axis: Axis) -> dict[str, Any]:
    """The latency of each row, behind its bars."""
    return {
        "type": "scatter",
        "mode": "text",
        "x": axis.of(values),
        "y": list(range(len(values))),
        "text": [f" {shown('s', value)}" for value in values.tolist()],
        "textposition": "middle right",
        "hoverinfo": "skip",
    }


def _request(run: RunFolder, request_id: int) -> str:
    numbers = run.requests.numbers
    tokens = f"{numbers['prompt_tokens'][request_id]:,.0f} in, {numbers['output_tokens'][request_id]:,.0f} out"
    return f"<b>{request_id}</b>  {tokens}"


def _until(all_of: Sequence[Stretch], stage: str | None) -> list[Stretch]:
    if stage is None:
        return list(all_of)
    last = max((place for place, stretch in enumerate(all_of) if stretch.stage == stage), default=-1)
    return list(all_of[: last + 1])
