"""Request classes of a configuration: as limits to judge by, and as rules of who comes in when."""

from __future__ import annotations

from typing import Final

from deploy.settings.run_config import RunConfig
from scheduler.metrics.slo import Slo, parse_slo
from scheduler.policies.classes import DEFAULT_NAME, RequestClass, parse_classes
from scheduler.policies.flow_control import ClassRules, FlowControl

NS_PER_HOUR: Final = 3600 * 10**9


def run_slo(config: RunConfig) -> Slo | None:
    """What requests are judged by: the limits of the run, and those of each class, which the run's stand in for; None
    if there are neither."""
    slo = parse_slo(config.slo) if config.slo else None
    if not config.classes:
        return slo
    whole = slo or Slo()
    classes = tuple((one.name, _limits(one, whole)) for one in parse_classes(config.classes))
    return Slo(whole.ttft_s, whole.tpot_s, whole.e2e_s, classes)


def class_names(config: RunConfig) -> list[str]:
    """By index, requests without a class first; empty if the run has no classes."""
    return [DEFAULT_NAME, *(one.name for one in parse_classes(config.classes))] if config.classes else []


def _limits(one: RequestClass, whole: Slo) -> Slo:
    ttft_s = whole.ttft_s if one.ttft_s is None else one.ttft_s
    tpot_s = whole.tpot_s if one.tpot_ms is None else one.tpot_ms / 1e3
    return Slo(ttft_s, tpot_s, whole.e2e_s if one.e2e_s is None else one.e2e_s)


def class_rules(config: RunConfig, default: FlowControl) -> tuple[ClassRules, ...]:
    """What holds for each class; `default` is what holds for requests of none."""
    return tuple(_rules(one, default) for one in parse_classes(config.classes))


def _rules(one: RequestClass, default: FlowControl) -> ClassRules:
    return ClassRules(
        default.ttft_limit_ns if one.ttft_s is None else round(one.ttft_s * 1e9),
        default.tpot_limit_ns if one.tpot_ms is None else round(one.tpot_ms * 1e6),
        default.timeout_ns if one.timeout_s is None else round(one.timeout_s * 1e9),
        one.priority,
        round(one.deferrable_s * 1e9),
    )


def cheap_hours(config: RunConfig) -> tuple[tuple[int, int], ...]:
    """When the tariff's price is at its least, in nanoseconds of the day; empty if it always is, or nobody waits.

    The price is read here, so that who waits for it need not know of money.
    """
    if not any(one.deferrable_s for one in parse_classes(config.classes)):
        return ()
    from deploy.run.money import tariff_of

    bands = tariff_of(config).bands
    least = min(band.usd_per_kwh.value for band in bands)
    hours = [band.from_hour for band in bands]
    # Before the first band of the day the last one of the day before runs on.
    pieces = [*zip(hours, [*hours[1:], 24.0], bands), *([(0.0, hours[0], bands[-1])] if hours[0] else [])]
    cheap = sorted((start, end) for start, end, band in pieces if band.usd_per_kwh.value <= least)
    if sum(end - start for start, end in cheap) >= 24:
        return ()
    return tuple((round(start * NS_PER_HOUR), round(end * NS_PER_HOUR)) for start, end in cheap)
