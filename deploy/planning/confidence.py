"""How sure it is that a plan serves where the hardware model may be off: runs of hardware that is slower all over.

Hardware on which everything takes F times as long, with the trace at its rate and the SLO as it is, is the emulated
one with its time stretched: in the time of the emulated one requests come F times as fast, and limits are F times as
short. A faster trace alone would leave the limits wider than they are, and a plan that just keeps its TPOT would seem
to bear any error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log1p
from statistics import NormalDist
from typing import Final

from msgspec.structs import replace

from deploy.settings.settings import Settings
from scheduler.metrics.slo import Slo
from scheduler.sources.traces.options import TraceOptions
from sim_hw.operators.error_bar import NORMAL_90

LEVELS: Final = (0.7, 0.85, 0.95)
"""Probabilities that the hardware is no slower than a run takes it to be, rising; the last is the end of the error bar,
which holds the middle 90 %."""

UNTRIED: Final = 0.5
"""That it is no slower than predicted."""


def slowdowns(error_bar: float) -> list[float]:
    """How much slower the hardware is than predicted, at most, with each of `LEVELS`: the logarithm of the error is
    normal, and `error_bar` is `NORMAL_90` of its standard deviations (`sim_hw.operators.spread`)."""
    deviation = log1p(error_bar) / NORMAL_90
    return [exp(deviation * NormalDist().inv_cdf(level)) for level in LEVELS]


def slowed(settings: Settings, options: TraceOptions, factor: float) -> tuple[Settings, TraceOptions]:
    """The run that tells what hardware slower by `factor` attains. Times of it are to be multiplied by `factor`; the
    limits of request classes stay as they are."""
    faster = replace(options, rate_scale=options.rate_scale * factor)
    slo = settings.requests.slo
    return (settings if slo is None else settings.changed(slo=_shorter(slo, factor))), faster


def confidence(attained: Sequence[float], attainment: float) -> float:
    """With what probability, at least, a plan serves that serves as predicted: the last of `LEVELS` before one at which
    it does not. `attained`: by `LEVELS`."""
    sure = UNTRIED
    for level, share in zip(LEVELS, attained, strict=True):
        if share < attainment:
            break
        sure = level
    return sure


def _shorter(slo: Slo, factor: float) -> str:
    limits = {"ttft": slo.ttft_s, "tpot": slo.tpot_s, "e2e": slo.e2e_s}
    return ",".join(f"{name}={1e3 * limit / factor:.6f}ms" for name, limit in limits.items() if limit is not None)
