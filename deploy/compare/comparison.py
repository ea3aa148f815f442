"""The comparison itself: every variant replays the trace, and if asked its goodput is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from deploy.compare.goodput import Found, search
from deploy.compare.idle import Misses, idle_document
from deploy.compare.measure import Measured, in_processes, measure
from deploy.compare.prediction_error import Ran, with_prediction_error
from deploy.compare.variants import Variant
from deploy.run.replay import ReplayJob
from deploy.settings.settings import Settings
from deploy.statistics.intervals import Interval
from deploy.statistics.seeds import intervals_of, seeds_document
from deploy.statistics.verdicts import Verdicts, verdicts_of_batches, verdicts_of_seeds
from scheduler.sources.traces.options import TraceOptions


class Task(Struct, frozen=True):
    """One variant's share of the work; `attainment` asks for its goodput too, and `start` says where to begin."""

    variant: Variant
    trace: str
    options: TraceOptions
    attainment: float | None

    def at(self, scale: float) -> Measured:
        """The trace at a multiple of its rate."""
        options = replace(self.options, rate_scale=self.options.rate_scale * scale)
        return measure(ReplayJob(self.trace, options, self.variant.settings))


class Compared(Struct, frozen=True):
    """What came of one variant; `goodput` if it was asked for."""

    variant: Variant
    measured: Measured
    goodput: Found[Measured] | None
    seeds: Sequence[int] = ()
    intervals: Mapping[str, Interval] = field(default_factory=dict[str, Interval])
    """Of figures over several seeds, if they were asked for; all else is of the first."""
    verdicts: Verdicts | None = None
    """Against the first of all; None of that itself."""

    def to_json(self) -> dict[str, Any]:
        """Plain values: the run's own document, and what the search found."""
        flat = self.variant.settings.flat
        answer: dict[str, Any] = {"name": self.variant.name, "plan": flat["plan"], "cache": flat["cache"]}
        answer["num_npus"] = self.measured.num_npus
        answer["offered_requests_per_s"] = rounded(self.measured.offered_requests_per_s)
        if self.goodput is not None:
            answer["goodput"] = _goodput(self.goodput, self.variant.settings)
        if self.intervals:
            answer["seeds"] = seeds_document(self.seeds, self.intervals)
        if self.verdicts is not None:
            answer["verdicts"] = self.verdicts.to_json()
        return {**answer, "run": self.measured.document}


def compare(
    variants: Sequence[Variant],
    trace: str,
    options: TraceOptions,
    attainment: float | None,
    num_processes: int | None,
    seeds: Sequence[int] = (),
) -> list[Compared]:
    """All of them on one trace, in their order; with `seeds` each of them with every seed."""
    if len(seeds) < 2:
        tasks = [Task(variant, trace, options, attainment) for variant in variants]
        return _judged_by_batches(in_processes(run_task, tasks, "comparing", num_processes))
    tasks = [
        Task(at_seed(variant, seed), trace, replace(options, seed=seed), attainment if seed == seeds[0] else None)
        for variant in variants
        for seed in seeds
    ]
    runs = in_processes(run_task, tasks, "comparing", num_processes)
    groups = [runs[first : first + len(seeds)] for first in range(0, len(runs), len(seeds))]
    documents = [[one.measured.document for one in group] for group in groups]
    name = variants[0].name
    judged = [
        None,
        *(
            with_prediction_error(verdicts_of_seeds(name, documents[0], others), _ran(groups[0][0]), _ran(group[0]))
            for group, others in zip(groups[1:], documents[1:], strict=True)
        ),
    ]
    return [
        replace(group[0], seeds=seeds, intervals=intervals_of(runs), verdicts=verdicts)
        for group, runs, verdicts in zip(groups, documents, judged, strict=True)
    ]


def _judged_by_batches(compared: list[Compared]) -> list[Compared]:
    first, *others = compared
    name, batches = first.variant.name, first.measured.batches

    def judged(one: Compared) -> Verdicts:
        verdicts = verdicts_of_batches(name, batches, one.measured.batches)
        return with_prediction_error(verdicts, _ran(first), _ran(one))

    return [first, *(replace(one, verdicts=judged(one)) for one in others)]


def _ran(one: Compared) -> Ran:
    return Ran(one.variant.settings, one.measured.document)


def at_seed(variant: Variant, seed: int) -> Variant:
    """The same with another seed of all that is left to chance."""
    return replace(variant, settings=variant.settings.changed(seed=seed))


def run_task(task: Task) -> Compared:
    """One variant, from beginning to end."""
    measured = task.at(1.0)
    if task.attainment is None:
        return Compared(task.variant, measured, None)
    # The run at the trace's own rate is not made twice.
    found = search(lambda scale: measured if scale == 1.0 else task.at(scale), task.attainment)
    return Compared(task.variant, measured, found)


def idle_misses(found: Found[Measured]) -> Misses | None:
    """What fails at the lowest rate that was tried, if the SLO is attained at none; else None."""
    return None if found.best is not None or not found.tried else found.tried[min(found.tried)].misses


def _goodput(found: Found[Measured], settings: Settings) -> dict[str, Any]:
    misses = idle_misses(found)
    best = found.best
    rate = best.offered_requests_per_s if best is not None else 0.0
    per_npu = rate / best.num_npus if best is not None else 0.0
    return {
        "requests_per_s": rounded(rate),
        "requests_per_s_per_npu": rounded(per_npu),
        "rate_scale": rounded(found.scale),
        "attainment": rounded(best.attainment) if best is not None else None,
        "misses_at_idle": None if misses is None else idle_document(misses, settings),
        "curve": [
            {
                "rate_scale": rounded(scale),
                "offered_requests_per_s": rounded(run.offered_requests_per_s),
                "attainment": rounded(run.attainment),
            }
            for scale, run in found.tried.items()
        ],
    }


def rounded(value: float) -> float:
    """To the digits that documents carry."""
    return float(f"{value:.6g}")
