"""Figures over several seeds as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deploy.hardware.quantities import quantity
from deploy.statistics.intervals import Interval
from deploy.terminal.table import table

NAMES: Final = {
    "ttft_s.p50": "TTFT p50",
    "ttft_s.p90": "TTFT p90",
    "ttft_s.p99": "TTFT p99",
    "tpot_s.p50": "TPOT p50",
    "tpot_s.p90": "TPOT p90",
    "tpot_s.p99": "TPOT p99",
    "e2e_s.p50": "E2E p50",
    "throughput.requests_per_s": "requests/s",
    "slo.attainment": "SLO attained",
    "slo.goodput_requests_per_s": "within SLO req/s",
    "energy.joules_per_output_token": "J/token",
}


def seeds_block(runs: Sequence[tuple[str, Mapping[str, Interval]]], num: int) -> str:
    """A row for each figure; two columns for each run of so many seeds."""
    header = [f"Mean of {num} seeds, +- 95 % (t)"]
    for name, _ in runs:
        header += [name, "+-"]
    rows: list[tuple[str, ...]] = [tuple(header)]
    for path, name in NAMES.items():
        if any(path in intervals for _, intervals in runs):
            rows.append((f"  {name}", *[cell for _, intervals in runs for cell in _cells(path, intervals.get(path))]))
    return table(rows, range(1, len(header)))


def _cells(path: str, one: Interval | None) -> tuple[str, str]:
    if one is None:
        return "-", "-"
    return shown(path, one.mean), shown(path, one.high - one.mean)


def shown(path: str, value: float) -> str:
    """A value of the figure at this path with its unit."""
    if "_s." in path and not path.startswith("throughput"):
        return quantity(value, "s") if value else "0 s"
    return f"{100 * value:.2f} %" if path == "slo.attainment" else f"{value:,.4g}"
