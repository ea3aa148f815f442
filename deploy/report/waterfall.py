"""The slowest requests, each as a bar of the stages that it went through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from deploy.dashboards.units import shown
from deploy.report.chart import Axis, figure
from deploy.run_folder.read import RunFolder
from scheduler.metrics.columns import NS_PER_S

NUM_SLOWEST: Final = 12

STAGES: Final = (
    ("waiting", "f"),
    ("fetching cached KV", "d"),
    ("prefill", "a"),
    ("waiting for room", "b"),
    ("KV transfer", "e"),
    ("decode", "c"),
)
COLOURS: Final = dict(STAGES)

WIDTH: Final = 1166
LEFT: Final = 246
RIGHT: Final = 76
ROW: Final = 19


@dataclass(frozen=True, slots=True)
class Stretch:
    """A request was in a stage from `begin_s` to `end_s`, seconds since it arrived."""

    stage: str
    begin_s: float
    end_s: float


def stretches(run: RunFolder, request_id: int) -> list[Stretch]:
    """The stages of a request in the order of time, without gaps, as far as it came.

    Of one that began again, the time from its first token to its last start of decode counts as waiting for room.
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
    axis = Axis(0.0, max(float(values[order[0]]), 1e-9), "s")
    rows = "".join(_row(run, request_id, place, latency, axis, until) for place, request_id in enumerate(order))
    bottom = len(order) * ROW
    marks = "".join(
        f'<text x="{_x(axis, value):.1f}" y="{bottom + 13}" text-anchor="middle">{escape(text)}</text>'
        f'<line class="grid-line" x1="{_x(axis, value):.1f}" x2="{_x(axis, value):.1f}" y1="0" y2="{bottom}"/>'
        for value, text in axis.ticks()
    )
    svg = f'<svg viewBox="0 0 {WIDTH} {bottom + 18}" role="img">{marks}{rows}</svg>'
    about = "seconds since arrival; supernode explain ID tells the whole life of a request"
    shown_stages = STAGES[:3] if until == "prefill" else STAGES
    return figure(title, about, svg, shown_stages, wide=True)


def _x(axis: Axis, value: float) -> float:
    return LEFT + value / axis.high * (WIDTH - LEFT - RIGHT)


def _row(run: RunFolder, request_id: int, place: int, latency: str, axis: Axis, until: str | None) -> str:
    numbers, texts = run.requests.numbers, run.requests.texts
    y = place * ROW
    tokens = f"{numbers['prompt_tokens'][request_id]:,.0f} in, {numbers['output_tokens'][request_id]:,.0f} out"
    where = ", ".join(filter(None, (texts[f"{role}_instance"][request_id] for role in ("prefill", "decode"))))
    drawn = "".join(_bar(axis, stretch, y) for stretch in _until(stretches(run, request_id), until))
    value = shown("s", float(numbers[latency][request_id]))
    return (
        f"<g><title>request {request_id}: {escape(where)}</title>"
        f'<text class="strong" x="0" y="{y + 13}">{request_id}</text><text x="64" y="{y + 13}">{tokens}</text>{drawn}'
        f'<text class="strong" x="{WIDTH}" y="{y + 13}" text-anchor="end">{escape(value)}</text></g>'
    )


def _until(all_of: Sequence[Stretch], stage: str | None) -> list[Stretch]:
    if stage is None:
        return list(all_of)
    last = max((place for place, stretch in enumerate(all_of) if stretch.stage == stage), default=-1)
    return list(all_of[: last + 1])


def _bar(axis: Axis, stretch: Stretch, y: int) -> str:
    x = _x(axis, stretch.begin_s)
    width = max(_x(axis, stretch.end_s) - x, 0.4)
    return (
        f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 6}" fill="var(--{COLOURS[stretch.stage]})">'
        f"<title>{stretch.stage}: {escape(shown('s', stretch.end_s - stretch.begin_s))}</title></rect>"
    )
