"""What came of the requests of each class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.metrics.columns import Bools
from scheduler.metrics.distribution import Distribution, distribution
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo, SloResult, meets
from scheduler.policies.classes import DEFAULT_NAME
from scheduler.protocol.finish import FAILED, FINISHED, REJECTED, FinishReason


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests by the group of their finish reason; `retried` are those that began again because a worker was lost."""

    arrived: int
    finished: int
    rejected: int
    failed: int
    retried: int


@dataclass(frozen=True, slots=True)
class ClassUse:
    """Of one class: what became of its requests, their latencies, and how many kept the limits of the class."""

    requests: RequestCounts
    ttft_s: Distribution
    tpot_s: Distribution
    e2e_s: Distribution
    slo: SloResult


def request_counts(records: Records, is_counted: Bools | None = None) -> RequestCounts:
    """Of all requests, or of some."""
    reasons, retries = records.reason, records.retries
    if is_counted is not None:
        reasons, retries = reasons[is_counted], retries[is_counted]
    counts: list[int] = np.bincount(reasons, minlength=len(FinishReason)).tolist()
    groups = (FINISHED, REJECTED, FAILED)
    sums = (sum(counts[reason] for reason in group) for group in groups)
    return RequestCounts(len(reasons), *sums, retried=int((retries > 0).sum()))


def class_uses(slo: Slo, records: Records, span_s: float) -> dict[str, ClassUse]:
    """By name of class, those without one first; empty if there are no classes."""
    if not slo.classes:
        return {}
    is_met = meets(slo, records)
    names = [DEFAULT_NAME, *(name for name, _ in slo.classes)]
    return {name: _class_use(records, records.request_class == at, is_met, span_s) for at, name in enumerate(names)}


def _class_use(records: Records, is_own: Bools, is_met: Bools, span_s: float) -> ClassUse:
    counts, num_met = request_counts(records, is_own), int(is_met[is_own].sum())
    return ClassUse(
        counts,
        distribution(records.ttft_s[is_own]),
        distribution(records.tpot_s[is_own]),
        distribution(records.e2e_s[is_own]),
        SloResult(num_met / counts.arrived if counts.arrived else None, num_met / span_s if span_s else None),
    )
