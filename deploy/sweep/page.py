"""A sweep as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.hardware.quantities import quantity
from deploy.statistics.intervals import Interval
from deploy.sweep.front import Point
from deploy.sweep.space import Objective, Plain
from deploy.terminal.table import table

MAX_ROWS: Final = 40
"""Of points that are not on the front; `--json` and the page have all."""

ON_FRONT: Final = "*"

NAMES: Final = {
    "num_npus": "NPUs",
    "slo.attainment": "attained",
    "slo.goodput_requests_per_s": "within SLO req/s",
    "throughput.requests_per_s": "req/s",
    "energy.joules_per_output_token": "J/token",
    "cost.usd_per_million_output_tokens": "$/Mtok out",
    "cost.plan.usd": "USD",
    "cost.usd_per_million_input_tokens": "$/Mtok in",
}


def sweep_page(points: Sequence[Point], objectives: Sequence[Objective], on_front: Sequence[int], title: str) -> str:
    """The front first, then the other points, then what failed."""
    varied = list(points[0].parameters)
    head = ("", *varied, *(heading(one) for one in objectives))
    best = set(on_front)
    others = [at for at, point in enumerate(points) if at not in best and not point.errors]
    rows = [_row(points[at], objectives, ON_FRONT if at in best else "") for at in (*on_front, *others[:MAX_ROWS])]
    blocks = [title, table([head, *rows], range(len(varied) + 1, len(head)))] if rows else [title]
    notes = [f"{ON_FRONT} no other point is as good in all of these and better in one"] if on_front else []
    if len(others) > MAX_ROWS:
        notes.append(f"{len(others) - MAX_ROWS:,} more points are in --json and on the page")
    failed = [point for point in points if point.errors]
    notes += [f"failed: {label(point)}: {point.errors[0]}" for point in failed[:MAX_ROWS]]
    if len(failed) > MAX_ROWS:
        notes.append(f"{len(failed) - MAX_ROWS:,} more failed")
    return "\n\n".join([*blocks, "\n".join(notes)] if notes else blocks) + "\n"


def heading(objective: Objective) -> str:
    """What an objective is called."""
    group, _, figure = objective.path.partition(".")
    name = f"{group.removesuffix('_s').upper()} {figure}" if group.endswith("_s") else objective.path
    return NAMES.get(objective.path, name)


def label(point: Point) -> str:
    """The values of a point in one line."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in point.parameters.items())


def shown(objective: Objective, value: float) -> str:
    """A value with its unit."""
    if objective.path.partition(".")[0].endswith("_s"):
        return quantity(value, "s") if value else "0 s"
    if objective.path == "slo.attainment":
        return f"{100 * value:.2f} %"
    return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def _row(point: Point, objectives: Sequence[Objective], mark: str) -> tuple[str, ...]:
    cells = [_figure(point, one) for one in objectives]
    return (mark, *map(_plain, point.parameters.values()), *cells)


def _figure(point: Point, objective: Objective) -> str:
    value = point.figure(objective.path)
    if value is None:
        return "-"
    interval: Interval | None = point.intervals.get(objective.path)
    half = "" if interval is None else f" +- {shown(objective, interval.high - interval.mean)}"
    return f"{shown(objective, value)}{half}"


def _plain(value: Plain) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
