"""What came of each point, and the points that no other beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from deploy.statistics.intervals import Interval
from deploy.statistics.seeds import intervals_of
from deploy.sweep.runs import Run
from deploy.sweep.space import Objective, Parameters, value_at

DEFAULT_OBJECTIVES: Final = (
    Objective("num_npus", is_maximised=False),
    Objective("slo.attainment", is_maximised=True),
    Objective("ttft_s.p90", is_maximised=False),
    Objective("energy.joules_per_output_token", is_maximised=False),
)
"""Those of them that the runs have: attainment is there with an SLO only, and TTFT is left out then."""


class Point(Struct, frozen=True):
    """Values of what varies, and what came of it: the run of the first seed, and means of figures over all seeds.

    `errors` are those of its runs; a point with any has no figures.
    """

    parameters: Parameters
    num_npus: int
    document: Mapping[str, Any]
    intervals: Mapping[str, Interval]
    errors: Sequence[str] = ()

    def figure(self, path: str) -> float | None:
        """The value of an objective: the mean over seeds where there is one."""
        if path == "num_npus":
            return None if self.errors else float(self.num_npus)
        if (mean := self.intervals.get(path)) is not None:
            return mean.mean
        return value_at(self.document, path)


Results = Mapping[str, Mapping[str, Any]]
"""What is kept of runs, by their names."""


def points_of(parameters: Sequence[Parameters], runs: Sequence[Run], results: Results) -> list[Point]:
    """In their order."""
    of_point: list[list[Mapping[str, Any]]] = [[] for _ in parameters]
    for run in runs:
        of_point[run.point].append(results[run.name])
    return [_point(one, found) for one, found in zip(parameters, of_point, strict=True)]


def _point(parameters: Parameters, results: Sequence[Mapping[str, Any]]) -> Point:
    errors = [result["error"] for result in results if "error" in result]
    if errors:
        return Point(parameters, 0, {}, {}, errors)
    documents = [result["run"] for result in results]
    intervals = intervals_of(documents) if len(documents) > 1 else {}
    return Point(parameters, results[0]["num_npus"], documents[0], intervals)


def objectives_of(points: Sequence[Point], asked: Sequence[Objective]) -> list[Objective]:
    """Those asked for, or the usual ones that the points have."""
    if asked:
        return list(asked)
    has_slo = any(point.figure("slo.attainment") is not None for point in points)
    left_out = "ttft_s.p90" if has_slo else "slo.attainment"
    return [one for one in DEFAULT_OBJECTIVES if one.path != left_out]


def front(points: Sequence[Point], objectives: Sequence[Objective]) -> list[int]:
    """Indices of the points to which no other is at least as good in all objectives and better in one (Pareto's front);
    a point that lacks any objective is not among them."""
    costs = {at: cost for at, point in enumerate(points) if (cost := _costs(point, objectives)) is not None}
    return [at for at, cost in costs.items() if not any(_beats(other, cost) for other in costs.values())]


def _costs(point: Point, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """Of all objectives, less being better; None if any is not known."""
    costs: list[float] = []
    for one in objectives:
        value = point.figure(one.path)
        if value is None:
            return None
        costs.append(-value if one.is_maximised else value)
    return tuple(costs)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
