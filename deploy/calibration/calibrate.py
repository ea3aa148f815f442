"""Constants of the software of chips, with their spread, from measurements."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from math import hypot, log
from typing import Any, Final

import numpy as np
from msgspec import Struct, to_builtins

from deploy.calibration.least_squares import Vector, most_probable
from deploy.calibration.measurement import CollectivePoint, Measurement, predicted_s
from deploy.calibration.rows import Shared, read_measurements
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.calibration import FORM_SPREAD, Calibration, StageSpread, uncalibrated
from sim_hw.chips.chip import Chip
from sim_hw.chips.constants import Constant, constants_of, with_constants
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of

MOST_DEVIATIONS: Final = 6.0
"""From the prior mean: farther values are no engine's."""


class Residual(Struct, frozen=True):
    """One measurement beside the model before and after: `measured`, `before` and `after` in the unit of `metric`."""

    name: str
    stage: str
    metric: str
    measured: float
    before: float
    after: float

    @property
    def error_before(self) -> float:
        """Of the sheet's numbers, relative."""
        return self.before / self.measured - 1.0

    @property
    def error_after(self) -> float:
        """Of the fitted ones."""
        return self.after / self.measured - 1.0


MISSED: Final = 0.25
"""A measurement that the model is so far from after the fit, relative, is more likely wrong than an engine so odd."""


class FittedChip(Struct, frozen=True, kw_only=True):
    """What measurements say of one chip. `constants` are the priors; `deviations` from their means are in standard
    deviations, and so is `covariance`, of shape (n, n)."""

    chip: str
    constants: tuple[Constant, ...]
    deviations: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    stage_spread: StageSpread
    models: tuple[str, ...]

    @property
    def values(self) -> dict[str, float]:
        """By name."""
        return {one.name: one.at(u) for one, u in zip(self.constants, self.deviations, strict=True)}

    @property
    def spreads(self) -> dict[str, float]:
        """Standard deviations by name, in those of the prior."""
        return {one.name: self.covariance[at][at] ** 0.5 for at, one in enumerate(self.constants)}

    def fit_at(self, base: ChipFit, deviations: Iterable[float]) -> ChipFit:
        """The numbers so many standard deviations from the prior means."""
        return fit_at(base, self.constants, deviations)

    def calibration(self, chip: Chip) -> Calibration:
        """As the hardware model takes it."""
        base, middle = fit_of(uncalibrated(chip)), np.array(self.deviations)
        directions = np.linalg.cholesky(np.array(self.covariance))
        away = tuple(self.fit_at(base, middle + direction) for direction in directions.T)
        return Calibration(self.fit_at(base, middle), away, self.stage_spread, self.models)


class Calibrated(Struct, frozen=True):
    """What came of a calibration; `digest` is that of the measurements."""

    chips: tuple[FittedChip, ...]
    residuals: Mapping[str, tuple[Residual, ...]]
    measurements: Mapping[str, tuple[Measurement, ...]]
    digest: str


def calibrate(runs: Sequence[str], shared: Shared | None = None) -> Calibrated:
    """From files of measurements, as `read_measurements` reads them. `InputError` for what cannot be used."""
    return calibrate_from([one for path in runs for one in read_measurements(path, shared)])


def calibrate_from(measurements: Sequence[Measurement]) -> Calibrated:
    """From measurements, those of each chip by themselves."""
    if not measurements:
        raise ConfigError("no measurements; give a file of rows or of a benchmark's results")
    groups: dict[str, list[Measurement]] = {}
    for one in measurements:
        groups.setdefault(one.chip.name, []).append(one)
    fitted = {name: fit_chip(group) for name, group in groups.items()}
    return Calibrated(
        tuple(fitted.values()),
        {name: residuals_of(fitted[name], group) for name, group in groups.items()},
        {name: tuple(group) for name, group in groups.items()},
        digest_of(measurements),
    )


def fit_chip(measurements: Sequence[Measurement], constants: Sequence[Constant] | None = None) -> FittedChip:
    """Those of one chip; `constants` are their priors, those of an engine that nothing is known of unless given."""
    chip = uncalibrated(measurements[0].chip)
    priors = tuple(constants or constants_of(chip, of_any_engine=True))
    base = fit_of(chip)
    weights = np.array([1.0 / _sigma(one) for one in measurements])
    measured = np.array([log(one.seconds) for one in measurements])

    def residuals(deviations: Vector) -> Vector:
        fit = fit_at(base, priors, deviations)
        return weights * (np.array([log(predicted_s(one.point, fit)) for one in measurements]) - measured)

    found = most_probable(residuals, *prior_bounds(priors))
    stages = {one.stage for one in measurements}
    return FittedChip(
        chip=chip.name,
        constants=priors,
        deviations=_rounded(found.deviations),
        covariance=tuple(map(_rounded, found.covariance)),
        stage_spread=StageSpread(
            **{
                stage: _left(getattr(FORM_SPREAD, stage), stage in stages, stage, measurements, found.residuals)
                for stage in StageSpread.__struct_fields__
            }
        ),
        models=tuple(
            sorted({one.point.model.name for one in measurements if not isinstance(one.point, CollectivePoint)})
        ),
    )


def _rounded(values: Vector) -> tuple[float, ...]:
    """To what a profile keeps, so that one that was read is the one that was written."""
    return tuple(float(f"{value:.9g}") for value in values)


def fit_at(base: ChipFit, constants: Sequence[Constant], deviations: Iterable[float]) -> ChipFit:
    """`base` with these constants so many standard deviations from their prior means."""
    values = {one.name: one.at(float(u)) for one, u in zip(constants, deviations, strict=True)}
    return with_constants(base, values)


def _sigma(one: Measurement) -> float:
    """Of the logarithm of a measurement around the model: its own spread, and what the model's form leaves."""
    return hypot(one.spread, getattr(FORM_SPREAD, one.stage))


def prior_bounds(constants: Sequence[Constant]) -> tuple[Vector, Vector]:
    """Between which deviations are looked for, both of shape (n,)."""
    low = np.array([_bound(one, one.low, -MOST_DEVIATIONS) for one in constants])
    high = np.array([_bound(one, one.high, MOST_DEVIATIONS) for one in constants])
    return low, high


def _bound(one: Constant, value: float, limit: float) -> float:
    if one.is_relative and value <= 0:
        return limit
    return max(-MOST_DEVIATIONS, min(MOST_DEVIATIONS, one.deviations(value)))


def _left(usual: float, is_measured: bool, stage: str, measurements: Sequence[Measurement], residuals: Vector) -> float:
    """What the model's form leaves in a stage: more than usual where these measurements show it."""
    if not is_measured:
        return usual
    errors = [float(r) * _sigma(one) for one, r in zip(measurements, residuals, strict=True) if one.stage == stage]
    return max(usual, float(np.sqrt(np.mean(np.square(errors)))))


def residuals_of(fitted: FittedChip, measurements: Sequence[Measurement]) -> tuple[Residual, ...]:
    """Of each measurement, in their order."""
    chip = uncalibrated(measurements[0].chip)
    base = fit_of(chip)
    after = fitted.fit_at(base, fitted.deviations)
    return tuple(
        Residual(
            one.name,
            one.stage,
            one.metric.name,
            one.metric.value(one.seconds),
            one.metric.value(predicted_s(one.point, base)),
            one.metric.value(predicted_s(one.point, after)),
        )
        for one in measurements
    )


def doubtful_rows(found: Calibrated) -> list[str]:
    """A line on each measurement that the model cannot come near to."""
    return [
        f"{row.name} on {chip}: missed by {100 * row.error_after:+.0f} % whatever the constants; "
        "see that its point, its unit and its stage are right"
        for chip, rows in found.residuals.items()
        for row in rows
        if abs(row.error_after) > MISSED
    ]


def digest_of(measurements: Sequence[Measurement]) -> str:
    """Of all that they say; clusters and models count by their names."""
    plain = [{**to_builtins(one, enc_hook=str), "point": _point(one)} for one in measurements]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _point(one: Measurement) -> dict[str, Any]:
    fields = {name: getattr(one.point, name) for name in one.point.__struct_fields__}
    named = {name: fields[name].name for name in ("cluster", "model") if name in fields}
    served = one.point.cluster.defaults
    formats = [served.precision, served.kv_precision, served.expert_weights]
    return {"stage": one.stage, **fields, **named, "formats": formats}
