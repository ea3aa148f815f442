"""Queries of the dashboards. What they name rates of is counted in emulated seconds, unless it says wall.

At `--speed N` emulated time passes N times faster than the clock of Prometheus, so a plain `rate` is N times too high.
Dividing by the rate at which emulated time itself passed gives the figure per emulated second at any speed, and nothing
(0 / 0) while no run goes.
"""

from __future__ import annotations

from typing import Final

WINDOW: Final = "[$__rate_interval]"
EMULATED_RATE: Final = f"scalar(sum(rate(supernode_emulated_seconds_total{WINDOW})))"
"""Emulated seconds per wall second."""

OF_PREFILL: Final = '{role=~"prefill|aggregated"}'
OF_DECODE: Final = '{role=~"decode|aggregated"}'
"""Instances of a stage: an aggregated one is of both."""

CHOSEN: Final = '{instance=~"$instance",role=~"$role"}'
"""The instances that are chosen at the head of the dashboard."""


def aggregate(operator: str, vector: str, by: str = "") -> str:
    """`sum by (role) (vector)` and its like."""
    return f"{operator} by ({by}) ({vector})" if by else f"{operator}({vector})"


def wall_rate(counter: str, by: str = "", where: str = "") -> str:
    """The growth of a counter per second on the wall, summed over all labels but `by`."""
    return aggregate("sum", f"rate({counter}{where}{WINDOW})", by)


def rate(counter: str, by: str = "", where: str = "") -> str:
    """The growth of a counter per emulated second, summed over all labels but `by`."""
    return f"{wall_rate(counter, by, where)} / {EMULATED_RATE}"


def ratio(part: str, whole: str, by: str = "", where: str = "") -> str:
    """Growth of one counter to that of another: a ratio of sums, never a mean of ratios. The same at any speed."""
    return f"{wall_rate(part, by, where)} / {wall_rate(whole, by, where)}"


def quantile(level: float, histogram: str) -> str:
    """A percentile of what entered a histogram within the window, to the width of its buckets."""
    return f"histogram_quantile({level:g}, {wall_rate(f'{histogram}_bucket', 'le')})"


def bucket_counts(histogram: str) -> str:
    """How many values entered each bucket within the window; the frequencies of a heat map."""
    return aggregate("sum", f"increase({histogram}_bucket{WINDOW})", "le")


def by_place(operator: str, gauge: str, place: str) -> str:
    """A gauge of NPUs per node or rack; these get two digits, so that their order as text is their order. Of instances
    that may have an NPU one has it."""
    each_once = aggregate("max", f"{gauge}{CHOSEN}", f"npu, {place}")
    return f'label_replace({aggregate(operator, each_once, place)}, "{place}", "0$1", "{place}", "(.)")'
