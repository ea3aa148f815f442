"""The page of plots that `supernode trace describe --out` writes; it holds its JavaScript and fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from deploy.pages.document import LIGHT_AND_DARK, card, document, grid
from deploy.pages.plots import TEXT_PX, Figure, column, layout, log_axis
from scheduler.sources.traces.describe import LengthStatistics, TraceDescription

PAGE_NAME: Final = "trace.html"
HEIGHT_PX: Final = 260

BARS_PER_DECADE: Final = 12
MAX_STEPS: Final = 120
"""Steps of a plot over time: more of them show noise."""

INK: Final = "var(--a)"
ACCENT: Final = "var(--b)"
NO_BLOCKS: Final = "the trace names no prefix blocks, so nothing is known to be shared"

_ACCENTED: Final = {"showarrow": False, "font": {"color": ACCENT}}

Floats = npt.NDArray[np.float64]


class _Steps(Struct, frozen=True):
    """Columns over time, each step `width_s` long (the last to the end of the trace), in a unit that suits the span."""

    ends: Floats
    unit: str
    width_s: float
    rates_per_s: Floats
    hit_shares: Floats


def write_page(description: TraceDescription, reading: Sequence[tuple[str, str]], folder: str) -> str:
    """Write `trace.html` into a folder, which is made if need be; returns its path. OSError if that fails.

    `reading`: (what, how) of what was assumed when the trace was read.
    """
    path = Path(folder) / PAGE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(description, reading), encoding="utf-8")
    return str(path)


def _page(description: TraceDescription, reading: Sequence[tuple[str, str]]) -> str:
    steps, arrivals, sharing = _steps(description), description.arrivals, description.sharing
    mean_rate = arrivals.mean_rate_per_s or 0.0
    rates = _over_time(steps, steps.rates_per_s, mean_rate, f"{mean_rate:,.3g} /s", {"rangemode": "tozero"})
    shares = _over_time(
        steps,
        100 * steps.hit_shares,
        100 * sharing.token_hit_rate,
        f"{sharing.token_hit_rate:.1%}",
        {"range": [0, 100], "ticksuffix": " %"},
        note="" if sharing.requests_with_blocks else NO_BLOCKS,
    )
    about_sharing = "share of prompt tokens that an earlier request had"
    plots = grid(
        card("Arrivals", f"requests per second, in steps of {_duration(steps.width_s)}", rates, HEIGHT_PX),
        card("Prefix sharing", about_sharing, shares, HEIGHT_PX),
        *(
            card(f"{name} lengths", f"requests by tokens; {_percentiles(of)}", _lengths(of), HEIGHT_PX)
            for name, of in (("Prompt", description.prompt_tokens), ("Output", description.output_tokens))
        ),
    )
    read_as = " · ".join(f"{what} {how}" for what, how in reading)
    leads = "".join(f'<p class="lead">{escape(text)}</p>' for text in (_facts(description), f"Read as: {read_as}"))
    head = f"<h1>{escape(description.name)}</h1>{leads}"
    return document(description.name, head + plots)


def _facts(description: TraceDescription) -> str:
    arrivals, sharing = description.arrivals, description.sharing
    facts = [f"{description.requests:,} requests in {_duration(arrivals.span_s)}"]
    if arrivals.mean_rate_per_s is not None and arrivals.gap_cv is not None:
        facts.append(f"{arrivals.mean_rate_per_s:,.3g} requests/s on average")
        facts.append(f"CV of gaps {arrivals.gap_cv:.2f} (1: Poisson, more: burstier)")
    if sharing.requests_with_blocks:
        facts.append(f"{sharing.token_hit_rate:.1%} of prompt tokens seen before")
    return " · ".join(facts)


def _over_time(
    steps: _Steps, values: Floats, mean: float, mean_text: str, y: Mapping[str, Any], note: str = ""
) -> Figure:
    """A filled staircase with its mean."""
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": column([0.0, *steps.ends.tolist()]),
        "y": column([*values.tolist(), float(values[-1])]),
        "line": {"color": INK, "width": 1.5, "shape": "hv"},
        "fill": "tozeroy",
        "hovertemplate": f"from %{{x:.4g}} {steps.unit}: %{{y:.3g}}<extra></extra>",
    }
    # Beside the plot, where no curve runs.
    text = {**_ACCENTED, "text": f"mean<br>{mean_text}", "align": "left"}
    mean_place = {"x": 1.005, "xref": "paper", "xanchor": "left", "y": mean}
    notes = [{"text": note, "showarrow": False, "x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}] if note else []
    line = {"color": ACCENT, "width": 1.5, "dash": "dash"}
    x = {"title": _title(f"time in the trace ({steps.unit})"), "range": [0, float(steps.ends[-1])]}
    return Figure(
        [trace],
        layout(
            LIGHT_AND_DARK,
            x,
            y,
            margin={"l": 8, "r": 64, "t": 8, "b": 44},
            shapes=[{"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": mean, "y1": mean, "line": line}],
            annotations=[{**text, **mean_place}, *notes],
        ),
    )


def _lengths(lengths: LengthStatistics) -> Figure:
    """Bars of equal width on a logarithmic axis, and where the percentiles lie."""
    edges, heights = _bars(lengths)
    trace = {
        "type": "bar",
        "x": np.sqrt(edges[:-1] * edges[1:]).tolist(),
        "y": heights.tolist(),
        "width": np.diff(edges).tolist(),
        "marker": {"color": INK, "line": {"color": "var(--card)", "width": 1}},
        "hovertemplate": "about %{x:,.0f} tokens: %{y:,} requests<extra></extra>",
    }
    shapes: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    for level, (name, value) in enumerate((("p50", lengths.p50), ("p90", lengths.p90), ("p99", lengths.p99))):
        height = 0.95 - 0.08 * level  # equal lengths put all three in one place
        line = {"color": ACCENT, "width": 1.5, "dash": "dot"}
        shapes.append({"type": "line", "x0": value, "x1": value, "y0": 0, "y1": height, "yref": "paper", "line": line})
        # Shapes on a logarithmic axis are placed by value, annotations by its logarithm.
        place = {"x": math.log10(value), "xanchor": "left", "y": height + 0.04, "yref": "paper"}
        names.append({**_ACCENTED, "text": name, **place})
    low, high = float(edges[0]) / 1.05, float(edges[-1]) * 1.05
    x = {**log_axis(low, high, "{:,.0f}".format), "title": _title("tokens (logarithmic)")}
    y = {"range": [0, float(heights.max()) * 1.45]}
    margin = {"l": 8, "r": 24, "t": 8, "b": 44}
    return Figure([trace], layout(LIGHT_AND_DARK, x, y, shapes=shapes, annotations=names, margin=margin, bargap=0))


def _title(text: str) -> dict[str, Any]:
    return {"text": text, "font": {"size": TEXT_PX}}


def _bars(lengths: LengthStatistics) -> tuple[Floats, Floats]:
    """Edges, `BARS_PER_DECADE` to a decade, and how many requests lie between each two."""
    values = np.array([length for length, _ in lengths.histogram], np.float64)
    counts = np.array([count for _, count in lengths.histogram], np.int64)
    lowest = math.floor(math.log10(float(values[0])) * BARS_PER_DECADE)
    highest = math.floor(math.log10(lengths.max) * BARS_PER_DECADE) + 1
    edges = 10 ** (np.arange(lowest, highest + 1) / BARS_PER_DECADE)
    # What rounding puts just outside the outer edges belongs inside.
    return edges, np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges, weights=counts)[0]


def _percentiles(lengths: LengthStatistics) -> str:
    return f"p50 {lengths.p50:,.0f}, p90 {lengths.p90:,.0f}, p99 {lengths.p99:,.0f} tokens"


def _steps(description: TraceDescription) -> _Steps:
    """Bins merged to at most `MAX_STEPS`; what is left at the end joins the last of them."""
    over_time, span_s = description.over_time, description.arrivals.span_s
    num_bins = len(over_time.requests)
    size = -(-num_bins // MAX_STEPS)
    starts = np.arange(0, num_bins, size)
    if len(starts) > 1 and num_bins - starts[-1] < size:
        starts = starts[:-1]
    requests, prompt_tokens, hit_tokens = (
        np.add.reduceat(np.array(column, np.float64), starts)
        for column in (over_time.requests, over_time.prompt_tokens, over_time.hit_tokens)
    )
    width_s = size * over_time.bin_s
    ends_s = np.append(starts[1:] * over_time.bin_s, max(span_s, starts[-1] * over_time.bin_s + over_time.bin_s / 2))
    divisor, unit = _time_unit(span_s)
    lengths_s = np.diff(ends_s, prepend=0.0)
    return _Steps(ends_s / divisor, unit, width_s, requests / lengths_s, hit_tokens / np.maximum(prompt_tokens, 1))


def _time_unit(span_s: float) -> tuple[float, str]:
    """Seconds in the unit in which a span is read best, and its name."""
    if span_s >= 3 * 86_400:
        return 86_400.0, "days"
    if span_s >= 3 * 3_600:
        return 3_600.0, "hours"
    return (60.0, "minutes") if span_s >= 180 else (1.0, "seconds")


def _duration(seconds: float) -> str:
    divisor, unit = _time_unit(seconds)
    return f"{seconds / divisor:,.3g} {unit}"
