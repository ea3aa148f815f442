"""Which further measurement would narrow the spread of predictions most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import log
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from deploy.calibration.calibrate import FittedChip
from deploy.calibration.least_squares import Vector
from deploy.calibration.measurement import (
    DEFAULT_SPREAD,
    CollectivePoint,
    Measurement,
    Point,
    predicted_s,
    stage_of,
)
from sim_hw.chips.chip import Chip
from sim_hw.chips.sheet import fit_of
from sim_hw.errors import HardwareModelError
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.default_points import default_prefill_point
from sim_hw.steps.die_memory import check_decode, check_prefill

BATCHES: Final = (1, 4, 16, 32, 64, 96, 128)
CONTEXTS: Final = (1024, 4096, 16_384)
PASS_TOKENS: Final = (2048, 8192, 16_384)
REUSES: Final = (0.0, 0.5)
ROWS: Final = (16, 128)

STEP: Final = 0.1
"""Of a finite difference, in standard deviations of the posterior."""


class Advice(Struct, frozen=True):
    """One operating point that may be measured. `spread` is that of its prediction now, `before` and `after` the root
    mean square of the spreads of steps and passes at all points that were tried, now and once it is measured."""

    point: Point
    spread: float
    before: float
    after: float

    @property
    def reduction(self) -> float:
        """Of that spread, relative."""
        return 1.0 - self.after / self.before


def advise(fitted: FittedChip, measurements: Sequence[Measurement], most: int = 3) -> list[Advice]:
    """The best of a grid around the instances that were measured, best first."""
    points = [point for point in candidates(measurements) if _is_possible(point)]
    if not points:
        return []
    chip, covariance = measurements[0].chip, np.array(fitted.covariance)
    slopes = np.stack([_slopes(fitted, chip, point) for point in points])
    variances = np.einsum("pi,ij,pj->p", slopes, covariance, slopes)
    # A collective is worth measuring for the steps that it is a part of.
    counted = np.array([not isinstance(point, CollectivePoint) for point in points])
    if not counted.any():
        counted[:] = True
    before = float(np.sqrt(variances[counted].mean()))
    found: list[Advice] = []
    for at, point in enumerate(points):
        noise = DEFAULT_SPREAD**2 + getattr(fitted.stage_spread, stage_of(point)) ** 2
        shared = slopes @ (covariance @ slopes[at])
        left = variances - shared**2 / (noise + variances[at])
        after = float(np.sqrt(max(0.0, left[counted].mean())))
        found.append(Advice(point, float(np.sqrt(variances[at])), before, after))
    return sorted(found, key=lambda one: one.after)[:most]


def candidates(measurements: Sequence[Measurement]) -> Iterator[Point]:
    """Other loads of the instances that were measured, those of the other stage, and collectives between its ranks."""
    decode = next((one.point for one in measurements if isinstance(one.point, DecodePoint)), None)
    prefill = next((one.point for one in measurements if isinstance(one.point, PrefillPoint)), None)
    if decode is not None:
        for batch in BATCHES:
            for context in CONTEXTS:
                yield replace(decode, batch_per_npu=batch, context_tokens=context)
        if decode.mtp_k:
            yield replace(decode, mtp_k=0)
        if prefill is None:
            prefill = default_prefill_point(decode.cluster, decode.model)
        if decode.model.experts and decode.ep > 1:
            for rows in ROWS:
                yield CollectivePoint(decode.cluster, "dispatch", decode.ep, rows)
                yield CollectivePoint(decode.cluster, "combine", decode.ep, rows)
    if prefill is not None:
        for tokens in PASS_TOKENS:
            for reuse in REUSES:
                yield replace(prefill, batch_tokens_per_npu=tokens, reuse=reuse)


def _is_possible(point: Point) -> bool:
    with suppress(HardwareModelError):
        if isinstance(point, DecodePoint):
            point.check()
            check_decode(point)
        elif isinstance(point, PrefillPoint):
            point.check()
            check_prefill(point)
        return True
    return False


def _slopes(fitted: FittedChip, chip: Chip, point: Point) -> Vector:
    """What the logarithm of the time there changes by with each constant, of shape (n,)."""
    base, middle = fit_of(chip), np.array(fitted.deviations)
    there = log(predicted_s(point, fitted.fit_at(base, middle)))
    slopes = np.zeros(len(middle))
    for at, one in enumerate(fitted.constants):
        for step in (STEP, -STEP):
            moved = middle.copy()
            moved[at] += step
            if one.at(moved[at]) != one.at(middle[at]):
                slopes[at] = (log(predicted_s(point, fitted.fit_at(base, moved))) - there) / step
                break
    return slopes
