"""Request classes: as limits to judge by, and as rules of who comes in when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scheduler.metrics.slo import Slo
from scheduler.policies.classes import RequestClass
from scheduler.policies.flow_control import ClassRules, FlowControl
from sim_hw.cost.tariffs import Tariff

NS_PER_HOUR: Final = 3600 * 10**9


def judged_slo(slo: Slo | None, classes: Sequence[RequestClass]) -> Slo | None:
    """What requests are judged by: the limits of the run, and those of each class, which the run's stand in for; None
    if there are neither."""
    if not classes:
        return slo
    whole = slo or Slo()
    limits = tuple((one.name, _limits(one, whole)) for one in classes)
    return Slo(whole.ttft_s, whole.tpot_s, whole.e2e_s, limits)


def _limits(one: RequestClass, whole: Slo) -> Slo:
    ttft_s = whole.ttft_s if one.ttft_s is None else one.ttft_s
    tpot_s = whole.tpot_s if one.tpot_ms is None else one.tpot_ms / 1e3
    return Slo(ttft_s, tpot_s, whole.e2e_s if one.e2e_s is None else one.e2e_s)


def class_rules(classes: Sequence[RequestClass], default: FlowControl) -> tuple[ClassRules, ...]:
    """What holds for each class; `default` is what holds for requests of none."""
    return tuple(_rules(one, default) for one in classes)


def _rules(one: RequestClass, default: FlowControl) -> ClassRules:
    return ClassRules(
        default.ttft_limit_ns if one.ttft_s is None else round(one.ttft_s * 1e9),
        default.tpot_limit_ns if one.tpot_ms is None else round(one.tpot_ms * 1e6),
        default.timeout_ns if one.timeout_s is None else round(one.timeout_s * 1e9),
        one.priority,
        round(one.deferrable_s * 1e9),
    )


def cheap_hours(classes: Sequence[RequestClass], tariff: Tariff) -> tuple[tuple[int, int], ...]:
    """When the tariff's price is at its least, in nanoseconds of the day; empty if it always is, or nobody waits.

    The price is read here, so that who waits for it need not know of money.
    """
    if not any(one.deferrable_s for one in classes):
        return ()
    bands = tariff.bands
    least = min(band.usd_per_kwh.value for band in bands)
    hours = [band.from_hour for band in bands]
    # Before the first band of the day the last one of the day before runs on.
    pieces = [*zip(hours, [*hours[1:], 24.0], bands), *([(0.0, hours[0], bands[-1])] if hours[0] else [])]
    cheap = sorted((start, end) for start, end, band in pieces if band.usd_per_kwh.value <= least)
    if sum(end - start for start, end in cheap) >= 24:
        return ()
    return tuple((round(start * NS_PER_HOUR), round(end * NS_PER_HOUR)) for start, end in cheap)
