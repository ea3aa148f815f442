"""How often 90 % intervals hold what was published, each source left out in turn.

    python -m tests.bench.calibration_study

A point is predicted as a user would who has all rows but those of its source: what these rows fixed of the chip's
numbers is unknown again (`UNKNOWN`, with the spread that engines have among each other), all else stands as it is on
the sheet, and the rows that are left of the chip's own engine are what a calibration is made of. Points of another
engine are predicted from the rows of that engine alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from math import hypot, log
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from deploy.calibration.calibrate import fit_at, prior_bounds
from deploy.calibration.least_squares import Vector, most_probable
from deploy.calibration.measurement import DEFAULT_SPREAD
from sim_hw.chips.calibration import FORM_SPREAD, Calibration, calibrated_chip
from sim_hw.chips.chip import Chip
from sim_hw.chips.constants import Constant, constants_of
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.sheet import find_supernode
from sim_hw.operators.error_bar import NORMAL_90, UNMEASURED_MODEL_ERROR
from sim_hw.validation.calibration_points import calibration_points
from sim_hw.validation.published_points import (
    MODEL,
    NOT_PREDICTED,
    PublishedPoint,
    published_points,
    published_prediction,
)
from sim_hw.validation.validate import questions

UNKNOWN: Final = {
    "matrix_efficiency": 0.75,
    "attention_efficiency": 0.65,
    "memory_efficiency": 0.85,
    "vector_efficiency": 0.5,
    "request_s": 3e-6,
    "block_s": 50e-6,
    "contended_share": 0.3,
    "iteration_s": 1e-3,
    "drafting_s": 3e-3,
    "cached_moves": 4.0,
    "text_spread": 2.0,
    "dispatch.fixed_s": 50e-6,
    "dispatch.far_row_s": 100e-9,
    "combine.fixed_s": 50e-6,
    "combine.far_row_s": 50e-9,
}
"""Round numbers for what no row tells."""

_ALSO_CALLED: Final = ("GB200 part II", "DeepSeek on 96 H100")
"""Texts that go by two names."""


class StudyPoint(Struct, frozen=True):
    """One published value or range; `engine` is empty for the chip's own."""

    name: str
    source: str
    chip: Chip
    stage: str
    engine: str
    form_spread: float
    low: float
    high: float
    value_with: Callable[[ChipFit], float]

    @property
    def middle(self) -> float:
        """Of the range, in logarithms."""
        return 0.5 * (log(self.low) + log(self.high))

    @property
    def sigma(self) -> float:
        """Of that: what rows and model are uncertain by, and the range."""
        return hypot(DEFAULT_SPREAD, self.form_spread, 0.5 * log(self.high / self.low) / NORMAL_90)


class Left(Struct, frozen=True):
    """One point as predicted without its source."""

    point: StudyPoint
    error: float
    bar: float
    is_inside: bool


def all_points() -> list[StudyPoint]:
    """All that `validate` predicts."""
    by_name = {point.id: point for point in calibration_points()}
    found: list[StudyPoint] = []
    for name, asked in questions():
        row = by_name[name]
        stage = asked.stage or "operator"
        kind = asked.stage or "kernel"
        spread: float = getattr(FORM_SPREAD, stage)
        # An earlier engine on a chip says more of the one of its sheet than no row does.
        found.append(StudyPoint(name, row.source, asked.chip, kind, "", spread, row.value, row.value, asked.value_with))
    return found + [_published(point) for point in published_points() if point.use != NOT_PREDICTED]


def _published(point: PublishedPoint) -> StudyPoint:
    cluster = find_supernode(point.cluster)

    def value_with(fit: ChipFit) -> float:
        chip = calibrated_chip(cluster.chip, Calibration(fit, (), FORM_SPREAD, ()))
        return published_prediction(point, replace(cluster, chip=chip))[0]

    spread = _form_spread(point.stage)
    if point.model != MODEL:
        spread = hypot(spread, UNMEASURED_MODEL_ERROR.value / NORMAL_90)
    return StudyPoint(
        point.id, point.source, cluster.chip, point.stage, point.under, spread, point.low, point.high, value_with
    )


def _form_spread(stage: str) -> float:
    """Of steps of both stages, the larger of theirs."""
    both = ["prefill", "decode"] if stage == "aggregated" else [stage]
    return max(getattr(FORM_SPREAD, one) for one in both)


def _table(point: StudyPoint) -> str:
    return point.source


def _publication(point: StudyPoint) -> str:
    """The text that a source is a table or section of."""
    known = next((one for one in _ALSO_CALLED if one in point.source), None)
    return known or re.split(r",? v\d| README|, \d{4}|, May|;", point.source)[0]


def without_source(points: Sequence[StudyPoint], source_of: Callable[[StudyPoint], str]) -> list[Left]:
    """Each point, predicted without those of its source."""
    found: list[Left] = []
    for source in sorted({source_of(one) for one in points}):
        out = [one for one in points if source_of(one) == source]
        names = {one.name for one in out}
        for chip, engine in sorted({(one.chip.name, one.engine) for one in out}):
            asked = [one for one in out if (one.chip.name, one.engine) == (chip, engine)]
            kept = [one for one in points if (one.chip.name, one.engine) == (chip, engine) and one.name not in names]
            found += _predicted(asked, kept, names)
    return found


def _predicted(asked: Sequence[StudyPoint], kept: Sequence[StudyPoint], names: set[str]) -> list[Left]:
    chip = asked[0].chip
    base, constants = fit_of(chip), _priors(chip, names, is_of_any=bool(asked[0].engine))
    measured = np.array([one.middle for one in kept])
    weights = np.array([1.0 / one.sigma for one in kept])

    def logs(points: Sequence[StudyPoint], deviations: Vector) -> Vector:
        fit = fit_at(base, constants, deviations)
        return np.array([log(one.value_with(fit)) for one in points])

    low, high = prior_bounds(constants)
    found = most_probable(lambda u: weights * (logs(kept, u) - measured), low, high)
    middle = logs(asked, found.deviations)
    directions = np.linalg.cholesky(found.covariance).T
    along = np.stack([logs(asked, found.deviations + direction) - middle for direction in directions])
    return [_left(one, float(middle[at]), hypot(*along[:, at], one.form_spread)) for at, one in enumerate(asked)]


def _left(point: StudyPoint, predicted: float, spread: float) -> Left:
    nearest = min(max(predicted, log(point.low)), log(point.high))
    error = predicted - nearest
    return Left(point, error, NORMAL_90 * spread, abs(error) <= NORMAL_90 * spread)


def _priors(chip: Chip, names: set[str], *, is_of_any: bool) -> list[Constant]:
    """Of the sheet, but for what was fixed by rows of those names."""
    own, of_any = constants_of(chip), constants_of(chip, of_any_engine=True)
    return [
        replace(any_engine, mean=UNKNOWN.get(one.name, one.mean))
        if _rests_on(one.source, names)
        else (any_engine if is_of_any else one)
        for one, any_engine in zip(own, of_any, strict=True)
    ]


def _rests_on(source: str, names: set[str]) -> bool:
    words = re.findall(r"[\w*-]+", source)
    return any(fnmatch(name, word) for word in words if len(word) > 4 for name in names)


def _print_sums(found: Sequence[Left], name_of: Callable[[Left], str]) -> None:
    """Points, mean and largest error and how many are inside, of those that share a name."""
    groups: dict[str, list[Left]] = {}
    for one in found:
        groups.setdefault(name_of(one), []).append(one)
    for name, ones in sorted(groups.items()):
        errors = [abs(np.expm1(one.error)) for one in ones]
        inside, bar = sum(one.is_inside for one in ones), np.median([np.expm1(one.bar) for one in ones])
        print(f"  {name:60} {len(ones):3} {np.mean(errors):7.1%} {max(errors):7.1%} {bar:7.1%} {inside:3}")


def _class(left: Left) -> str:
    engine = f" under {left.point.engine}" if left.point.engine else ""
    return f"{left.point.chip.name}{engine}, {left.point.stage}"


def main() -> None:
    """Print coverage by source and by class, and the points that are outside."""
    points = all_points()
    ways: dict[str, Callable[[StudyPoint], str]] = {"tables": _table, "publications": _publication}
    for title, source_of in ways.items():
        found = without_source(points, source_of)
        inside = sum(one.is_inside for one in found)
        error = np.mean([abs(np.expm1(one.error)) for one in found])
        bar = np.median([np.expm1(one.bar) for one in found])
        sources = len({source_of(one.point) for one in found})
        print(
            f"{title}: {inside} of {len(found)} points of {sources} inside ({inside / len(found):.1%}), "
            f"mean error {error:.1%}, median bar {bar:.1%}"
        )
        for one in found:
            if not one.is_inside:
                print(f"  {one.point.name:32} {np.expm1(one.error):+.1%}, bar {np.expm1(one.bar):.1%}")
        print(f"{title}, what is left out: points, mean error, largest, median bar, inside")
        _print_sums(found, lambda one, source_of=source_of: source_of(one.point))
        _print_sums(found, _class)


if __name__ == "__main__":
    main()
