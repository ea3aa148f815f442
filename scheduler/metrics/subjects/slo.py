"""How many requests were within their limits, of all and by class; `scheduler.metrics.slo` defines within.

Both ways of measuring count by `met_by_class`: live those who ended since the last look, at the end of a run all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import Ints, ratio
from scheduler.metrics.distribution import Distribution, distribution
from scheduler.metrics.family import Family, by_value
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.records import Records
from scheduler.metrics.slo import KEYS, Slo, meets
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject
from scheduler.metrics.subjects.requests import RequestCounts, request_counts
from scheduler.policies.classes import DEFAULT_NAME


def met_by_class(slo: Slo, records: Records) -> Ints:
    """Requests within all their limits and others, shape (num_classes, 2); class 0 is of those that belong to none."""
    cells = 2 * records.request_class.astype(np.intp) + ~meets(slo, records)
    return np.bincount(cells, minlength=2 * (1 + len(slo.classes))).reshape(-1, 2)


def class_names(slo: Slo) -> list[str]:
    """By index of class."""
    return [DEFAULT_NAME, *(name for name, _ in slo.classes)]


class SloTotals(Struct, frozen=True):
    """`limits_s`: those of the present run for requests without a class, in the order of `KEYS`, 0 where there is none.

    `judged` and `met`: ended requests of runs with limits, and those of them that kept all. `by_class`: requests within
    their limits, and others, by name of class.
    """

    limits_s: tuple[float, ...]
    judged: int
    met: int
    by_class: Mapping[str, tuple[int, int]]


class SloAccount(Account[SloTotals]):
    """Judges requests that have ended in a session with limits."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._slo: Slo | None = None
        self._judged = self._met = 0
        self._by_class: dict[str, tuple[int, int]] = {}

    def begin(self, session: Session) -> None:
        """From now on these limits hold."""
        self._slo = session.slo

    def drain(self, first: Records, ended: Records) -> None:
        """Count those that ended."""
        if self._slo is None:
            return
        counts = met_by_class(self._slo, ended)
        self._judged += ended.num_requests
        self._met += int(counts[:, 0].sum())
        for name, (met, missed) in zip(class_names(self._slo), counts.tolist(), strict=False):
            past_met, past_missed = self._by_class.get(name, (0, 0))
            self._by_class[name] = past_met + met, past_missed + missed

    def totals(self, session: Session | None) -> SloTotals:
        """As they stand; between sessions there are no limits."""
        slo = None if session is None else session.slo
        limits_s = tuple(0.0 if slo is None else getattr(slo, f"{key}_s") or 0.0 for key in KEYS)
        return SloTotals(limits_s, self._judged, self._met, dict(self._by_class))


class SloResult(Struct, frozen=True):
    """`attainment`: share of all arrived requests that met every limit; goodput: those per second of emulated time.

    Rejected and failed requests are arrived ones: dropping requests cannot raise attainment.
    """

    attainment: float | None
    goodput_requests_per_s: float | None


class ClassUse(Struct, frozen=True):
    """Of one class: what became of its requests, their latencies, and how many kept the limits of the class."""

    requests: RequestCounts
    ttft_s: Distribution
    tpot_s: Distribution
    e2e_s: Distribution
    slo: SloResult


def _summary(run: EndedRun) -> Mapping[str, Any]:
    """The result of all, and of each class if there are classes."""
    if run.slo is None:
        return {"slo": None, "classes": {}}
    counts = met_by_class(run.slo, run.records)
    names = class_names(run.slo) if run.slo.classes else []
    return {
        "slo": slo_result(counts, run.span_s),
        "classes": {name: _class_use(run, index, counts[index]) for index, name in enumerate(names)},
    }


def slo_result(counts: Ints, span_s: float) -> SloResult:
    """`counts`: rows of `met_by_class`, shape (..., 2)."""
    num_met = int(counts[..., 0].sum())
    return SloResult(ratio(num_met, int(counts.sum())), ratio(num_met, span_s))


def _class_use(run: EndedRun, index: int, counts: Ints) -> ClassUse:
    records = run.records
    is_own = records.request_class == index
    latencies = (distribution(column[is_own]) for column in (records.ttft_s, records.tpot_s, records.e2e_s))
    return ClassUse(request_counts(records, is_own), *latencies, slo=slo_result(counts, run.span_s))


def _class_names(layout: Layout) -> list[str]:
    return [DEFAULT_NAME, *layout.classes]


FAMILIES: Final = (
    Family(
        "supernode_slo_limit_seconds", "gauge", "Limits that the present run is held to; 0 where there is none.",
        lambda s: s[SloTotals].limits_s, ("latency",), by_value(*KEYS),
    ),
    Family(
        "supernode_slo_requests_total", "counter",
        "Ended requests of runs with limits, by whether all were kept; one that was rejected or failed kept none.",
        lambda s: (s[SloTotals].met, s[SloTotals].judged - s[SloTotals].met), ("met",), by_value("yes", "no"),
    ),
    Family(
        "supernode_class_slo_requests_total", "counter",
        "The same by request class, of those that the system was brought up with; default is of requests without one.",
        lambda s: [count for name in _class_names(s.layout) for count in s[SloTotals].by_class.get(name, (0, 0))],
        ("request_class", "met"),
        lambda layout: [(name, met) for name in _class_names(layout) for met in ("yes", "no")],
    ),
)  # fmt: skip

SUBJECTS.register("slo", Subject(SloTotals, SloAccount, FAMILIES, _summary))
