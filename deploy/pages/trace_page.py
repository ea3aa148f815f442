"""The page of plots that `supernode trace describe --out` writes; it holds its JavaScript and fetches nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scheduler.sources.traces.describe import LengthStatistics, TraceDescription

PAGE_NAME: Final = "trace.html"
HEIGHT_PX: Final = 1040

BARS_PER_DECADE: Final = 12
MAX_STEPS: Final = 120
"""Steps of a plot over time: more of them show noise."""

INK: Final = "#33658a"
PALE_INK: Final = "rgba(51, 101, 138, 0.18)"
ACCENT: Final = "#c8553d"
GREY: Final = "#6b7280"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Steps:
    """Columns over time, each step `width_s` long (the last to the end of the trace), in a unit that suits the span."""

    ends: Floats
    unit: str
    width_s: float
    rates_per_s: Floats
    hit_shares: Floats


def write_page(description: TraceDescription, folder: str) -> str:
    """Write `trace.html` into a folder, which is made if need be; answers its path. OSError if that fails."""
    subplots: Any = import_module("plotly.subplots")
    steps = _steps(description)
    titles = (
        f"Arrivals: requests per second, in steps of {_duration(steps.width_s)}",
        "Prefix sharing: share of prompt tokens that an earlier request had",
        f"Prompt lengths: {_percentiles(description.prompt_tokens)}",
        f"Output lengths: {_percentiles(description.output_tokens)}",
    )
    figure: Any = subplots.make_subplots(
        rows=3,
        cols=2,
        specs=[[{"colspan": 2}, None], [{"colspan": 2}, None], [{}, {}]],
        subplot_titles=titles,
        vertical_spacing=0.11,
        horizontal_spacing=0.09,
    )
    _add_over_time(figure, steps, steps.rates_per_s, 1, description.arrivals.mean_rate_per_s or 0.0, "{:,.3g} /s")
    figure.update_yaxes(title="requests/s", rangemode="tozero", row=1, col=1)
    _add_over_time(figure, steps, 100 * steps.hit_shares, 2, 100 * description.sharing.token_hit_rate, "{:.1f} %")
    figure.update_yaxes(title="% of prompt tokens", range=[0, 100], row=2, col=1)
    if not description.sharing.requests_with_blocks:
        text = "the trace names no prefix blocks, so nothing is known to be shared"
        figure.add_annotation(text=text, showarrow=False, font_color=GREY, xref="x2 domain", yref="y2 domain", x=0.5)
    _add_lengths(figure, description.prompt_tokens, 1)
    _add_lengths(figure, description.output_tokens, 2)
    _lay_out(figure, description)
    path = Path(folder) / PAGE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fixed id of the plot, so that the same trace gives the same bytes.
    plot = figure.to_html(include_plotlyjs=True, full_html=True, div_id="trace", config={"displaylogo": False})
    head = f"<title>{escape(description.name)}</title></head>"
    path.write_text(plot.replace("</head>", head, 1), encoding="utf-8")
    return str(path)


def _lay_out(figure: Any, description: TraceDescription) -> None:
    arrivals, sharing = description.arrivals, description.sharing
    facts = [f"{description.requests:,} requests in {_duration(arrivals.span_s)}"]
    if arrivals.mean_rate_per_s is not None and arrivals.gap_cv is not None:
        facts.append(f"{arrivals.mean_rate_per_s:,.3g} requests/s on average")
        facts.append(f"CV of gaps {arrivals.gap_cv:.2f} (1: Poisson, more: burstier)")
    if sharing.requests_with_blocks:
        facts.append(f"{sharing.token_hit_rate:.1%} of prompt tokens seen before")
    title = {
        "text": f"<b>{escape(description.name)}</b>",
        "subtitle": {"text": " · ".join(facts), "font": {"size": 14, "color": GREY}},
        "font": {"size": 22},
        "x": 0.02,
        "y": 0.975,
        "yanchor": "top",
    }
    figure.update_layout(
        title=title,
        template="plotly_white",
        showlegend=False,
        height=HEIGHT_PX,
        margin={"t": 130, "l": 75, "r": 75, "b": 60},
        bargap=0,
    )
    figure.update_xaxes(showline=True, linecolor="#d1d5db", ticks="outside", tickcolor="#d1d5db")


def _add_over_time(figure: Any, steps: _Steps, values: Floats, row: int, mean: float, mean_form: str) -> None:
    """A filled staircase with its mean."""
    x = [0.0, *steps.ends.tolist()]
    y = [*values.tolist(), float(values[-1])]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": INK, "width": 1.5, "shape": "hv"},
        fill="tozeroy",
        fillcolor=PALE_INK,
        hovertemplate=f"from %{{x:.4g}} {steps.unit}: %{{y:.3g}}<extra></extra>",
        row=row,
        col=1,
    )
    figure.add_hline(y=mean, line={"color": ACCENT, "width": 1.5, "dash": "dash"}, row=row, col=1)
    # Beside the plot, where no curve runs.
    text = f"mean<br>{mean_form.format(mean)}"
    place: dict[str, Any] = {"xref": f"x{row} domain" if row > 1 else "x domain", "yref": f"y{row}" if row > 1 else "y"}
    figure.add_annotation(
        text=text, x=1.005, y=mean, xanchor="left", showarrow=False, align="left", font_color=ACCENT, **place
    )
    figure.update_xaxes(title=f"time in the trace ({steps.unit})", range=[0, float(steps.ends[-1])], row=row, col=1)


def _add_lengths(figure: Any, lengths: LengthStatistics, column: int) -> None:
    """Bars of equal width on a logarithmic axis, and where the percentiles lie."""
    values = np.array([length for length, _ in lengths.histogram], np.float64)
    counts = np.array([count for _, count in lengths.histogram], np.int64)
    lowest = math.floor(math.log10(float(values[0])) * BARS_PER_DECADE)
    highest = math.floor(math.log10(lengths.max) * BARS_PER_DECADE) + 1
    edges = 10 ** (np.arange(lowest, highest + 1) / BARS_PER_DECADE)
    # What rounding puts just outside the outer edges belongs inside.
    heights, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges, weights=counts)
    figure.add_bar(
        x=np.sqrt(edges[:-1] * edges[1:]).tolist(),
        y=heights.tolist(),
        width=np.diff(edges).tolist(),
        marker={"color": INK, "line": {"color": "white", "width": 1}},
        hovertemplate="about %{x:,.0f} tokens: %{y:,} requests<extra></extra>",
        row=3,
        col=column,
    )
    axis = column + 2
    top = float(heights.max()) * 1.45
    for level, (name, value) in enumerate((("p50", lengths.p50), ("p90", lengths.p90), ("p99", lengths.p99))):
        height = 0.95 - 0.08 * level  # equal lengths put all three in one place
        line: dict[str, Any] = {"color": ACCENT, "width": 1.5, "dash": "dot"}
        figure.add_shape(type="line", x0=value, x1=value, y0=0, y1=height * top, line=line, row=3, col=column)
        # Shapes on a logarithmic axis are placed by value, annotations by its logarithm.
        place = {"xref": f"x{axis}", "yref": f"y{axis} domain", "x": math.log10(value), "y": height + 0.03}
        figure.add_annotation(text=name, showarrow=False, xanchor="left", font_color=ACCENT, **place)
    ends = [math.log10(float(edges[0])) - 0.02, math.log10(float(edges[-1])) + 0.02]
    marks = (1, 2, 5) if ends[1] - ends[0] < 1.5 else (1,)
    ticks = [mark * 10**decade for decade in range(8) for mark in marks]
    figure.update_xaxes(title="tokens (logarithmic)", type="log", range=ends, row=3, col=column)
    figure.update_xaxes(tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks], row=3, col=column)
    figure.update_yaxes(title="requests", range=[0, top], row=3, col=column)


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
