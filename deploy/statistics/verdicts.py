"""Which of two set-ups is better, figure by figure: a verdict where the difference is more than chance, else none.

Differences are paired: of the same seed, or of the same batch of requests. A difference is shown if the 95 % interval
of its mean leaves out zero; then at most one verdict in forty is for the wrong one of two that differ, and one in
twenty is given where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from deploy.statistics.batches import BatchMeans
from deploy.statistics.intervals import Interval, interval, series_interval
from deploy.statistics.seeds import figures_of

Verdict = Literal["better", "worse", "no difference shown"]

Basis = Literal["seeds", "batches"]
"""What differences are taken over: several runs with other seeds, or batches of the requests of one."""

MORE_IS_BETTER: Final = ("throughput.", "slo.")
"""Beginnings of paths; of all other figures less is better."""


class Difference(Struct, frozen=True):
    """Of one figure: how much more it is than in the other set-up, and what that says."""

    interval: Interval
    verdict: Verdict
    prediction_error: float | None = None
    """Half of the 90 % interval of what the hardware model may be off by; None where both share it, or nobody knows."""

    @property
    def is_within_prediction_error(self) -> bool:
        """Whether two machines may well differ the other way."""
        return self.prediction_error is not None and abs(self.interval.mean) <= self.prediction_error


class Verdicts(Struct, frozen=True):
    """Of one set-up against another; `figures` by path, none where they cannot be paired, and `why_not` says why."""

    against: str
    basis: Basis
    figures: Mapping[str, Difference]
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "against": self.against,
            "basis": self.basis,
            "figures": {path: _plain(one) for path, one in self.figures.items()},
            **({"why_not": self.why_not} if self.why_not else {}),
        }


def verdicts_of_seeds(against: str, others: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> Verdicts:
    """Of the JSON of runs, one for each seed, against those of another set-up with the same seeds in the same order."""
    before, after = figures_of(others), figures_of(runs)
    figures = {
        path: _judge(path, interval([one - other for one, other in zip(values, before[path], strict=True)]))
        for path, values in after.items()
        if path in before
    }
    return Verdicts(against, "seeds", figures)


def verdicts_of_batches(against: str, other: BatchMeans, run: BatchMeans) -> Verdicts:
    """Of one run against one of another set-up."""
    if other.arrivals != run.arrivals:
        return Verdicts(against, "batches", {}, "their requests did not come at the same times: give --seeds N")
    figures: dict[str, Difference] = {}
    for path, means in run.figures.items():
        if (before := other.figures.get(path)) is not None:
            differences = [mean - other_mean for mean, other_mean in zip(means, before, strict=True)]
            figures[path] = _judge(path, series_interval(differences))
    why_not = "" if figures else "too few requests: give --seeds N, or a longer trace"
    return Verdicts(against, "batches", figures, why_not)


def _judge(path: str, difference: Interval) -> Difference:
    if difference.low <= 0 <= difference.high:
        return Difference(difference, "no difference shown")
    is_more = difference.low > 0
    return Difference(difference, "better" if is_more is path.startswith(MORE_IS_BETTER) else "worse")


def _plain(one: Difference) -> dict[str, Any]:
    mean, low, high = (float(f"{value:.6g}") for value in (one.interval.mean, one.interval.low, one.interval.high))
    document: dict[str, Any] = {"difference": mean, "low": low, "high": high, "verdict": one.verdict}
    if one.prediction_error is not None:
        document["prediction_error"] = float(f"{one.prediction_error:.6g}")
        document["is_within_prediction_error"] = one.is_within_prediction_error
    return document
