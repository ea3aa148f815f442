"""The page of plots that `supernode trace describe --out` writes; it holds its JavaScript and fetches nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from scheduler.gateway.describe import LengthStatistics, TraceDescription

PAGE_NAME: Final = "trace.html"
BARS_PER_DECADE: Final = 12
INK: Final = "#33658a"


def write_page(description: TraceDescription, folder: str) -> str:
    """Write `trace.html` into a folder, which is made if need be; answers its path. OSError if that fails."""
    subplots: Any = import_module("plotly.subplots")
    titles = ("Arrivals over time", "Prompt tokens seen before, over time", "Prompt lengths", "Output lengths")
    figure: Any = subplots.make_subplots(rows=2, cols=2, subplot_titles=titles)
    _add_arrivals(figure, description)
    _add_sharing(figure, description)
    _add_lengths(figure, description.prompt_tokens, column=1)
    _add_lengths(figure, description.output_tokens, column=2)
    summary = f"{description.name}: {description.requests:,} requests in {description.arrivals.span_s:,.0f} s"
    figure.update_layout(title=summary.replace("<", "&lt;"), template="plotly_white", showlegend=False, height=800)
    path = Path(folder) / PAGE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fixed id of the plot, so that the same trace gives the same bytes.
    path.write_text(figure.to_html(include_plotlyjs=True, full_html=True, div_id="trace"), encoding="utf-8")
    return str(path)


def _add_arrivals(figure: Any, description: TraceDescription) -> None:
    over_time = description.over_time
    rates = [count / over_time.bin_s for count in over_time.requests]
    figure.add_scatter(x=_bin_starts_s(description), y=rates, mode="lines", line_color=INK, row=1, col=1)
    figure.update_xaxes(title="s", row=1, col=1)
    figure.update_yaxes(title=f"requests/s in bins of {over_time.bin_s:g} s", row=1, col=1)


def _add_sharing(figure: Any, description: TraceDescription) -> None:
    over_time = description.over_time
    shares = [
        100 * hit / tokens if tokens else None
        for hit, tokens in zip(over_time.hit_tokens, over_time.prompt_tokens, strict=True)
    ]
    figure.add_scatter(x=_bin_starts_s(description), y=shares, mode="lines", line_color=INK, row=1, col=2)
    figure.update_xaxes(title="s", row=1, col=2)
    figure.update_yaxes(title="% of prompt tokens", range=[0, 100], row=1, col=2)


def _add_lengths(figure: Any, lengths: LengthStatistics, column: int) -> None:
    """Bars of equal width on a logarithmic axis."""
    values = np.array([length for length, _ in lengths.histogram], np.float64)
    counts = np.array([count for _, count in lengths.histogram], np.int64)
    num_bars = max(1, int(np.ceil(np.log10(lengths.max) * BARS_PER_DECADE)) + 1)
    edges = 10 ** (np.arange(num_bars + 1) / BARS_PER_DECADE)
    heights, _ = np.histogram(values, bins=edges, weights=counts)
    middles = np.sqrt(edges[:-1] * edges[1:])
    figure.add_bar(
        x=middles.tolist(), y=heights.tolist(), width=np.diff(edges).tolist(), marker_color=INK, row=2, col=column
    )
    figure.update_xaxes(title="tokens", type="log", row=2, col=column)
    figure.update_yaxes(title="requests", row=2, col=column)


def _bin_starts_s(description: TraceDescription) -> list[float]:
    over_time = description.over_time
    return [index * over_time.bin_s for index in range(len(over_time.requests))]
