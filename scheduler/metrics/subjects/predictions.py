"""How right predicted times were."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from msgspec import Struct

from scheduler.core.estimates.prediction_error import RATIO_BOUNDS, PredictionError
from scheduler.metrics.buckets import HistogramTotals
from scheduler.metrics.family import HistogramFamily, by_value
from scheduler.metrics.layout import Layout
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject

KINDS: Final = ("ttft", "tpot")
"""What is predicted: the time from choosing a prefill instance to the first token, and that of a decode step."""


class PredictionTotals(Struct, frozen=True):
    """Predicted over actual times, in the order of `KINDS`; sums are of ratios."""

    ratios: tuple[HistogramTotals, ...]


class PredictionAccount(Account[PredictionTotals]):
    """Sums what the errors of past sessions came to with those of the present one, which the core keeps."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._counts: dict[str, list[int]] = {kind: [0] * (len(RATIO_BOUNDS) + 1) for kind in KINDS}
        self._sums: dict[str, float] = dict.fromkeys(KINDS, 0.0)

    def end(self, session: Session) -> None:
        """Keep what its errors came to."""
        for kind in session.errors:
            self._counts[kind], self._sums[kind] = self._with(session.errors, kind)

    def totals(self, session: Session | None) -> PredictionTotals:
        """As they stand."""
        found: list[HistogramTotals] = []
        for kind in KINDS:
            counts, total = self._with({} if session is None else session.errors, kind)
            found.append(HistogramTotals(tuple(accumulate(counts)), total))
        return PredictionTotals(tuple(found))

    def _with(self, errors: Mapping[str, PredictionError], kind: str) -> tuple[list[int], float]:
        error = errors.get(kind)
        if error is None:
            return self._counts[kind], self._sums[kind]
        counts = [past + now for past, now in zip(self._counts[kind], error.ratio_counts, strict=True)]
        return counts, self._sums[kind] + error.ratio_sum


FAMILIES: Final = (
    HistogramFamily(
        "supernode_prediction_error_ratio",
        "Predicted over actual times, where any are predicted: 1 is right, below it is optimistic.",
        RATIO_BOUNDS, lambda s: s[PredictionTotals].ratios, ("kind",), by_value(*KINDS),
    ),
)  # fmt: skip

SUBJECTS.register("predictions", Subject(PredictionTotals, PredictionAccount, FAMILIES))
