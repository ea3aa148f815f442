"""The planning itself: what cannot serve is left out, the rest is searched in step, first on a part of the trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from deploy.compare.idle import idle_lines
from deploy.compare.measure import Measured, RunProcesses, measure
from deploy.planning.confidence import confidence, slowdowns, slowed
from deploy.planning.effort import Effort, Stage
from deploy.planning.search import Counts, Search, cheapest
from deploy.planning.shapes import Shape
from deploy.planning.variations import variations_of
from deploy.run.replay import ReplayJob
from deploy.settings.settings import Settings
from deploy.statistics.intervals import Interval, series_interval
from scheduler.sources.traces.options import TraceOptions

SHORT_ROWS: Final = 1000
"""Of the trace, on which all shapes are searched first, if it has more than twice as many."""

IDLE_RATE: Final = 0.05
"""Multiple of the rate at which nearly nothing waits."""

MAX_SHAPES: Final = 6
"""Searched on the short part of the trace, of each cluster."""

SHAPES_OF_A_CLUSTER: Final = 2
"""Searched on the whole trace at once, those that needed the fewest NPUs on the short one first."""

NEAR: Final = 0.03
"""How far below the share that is asked for another policy or batch limit is still tried."""

PATIENCE: Final = 8
"""Tries in a row that do not serve, after which a search is given up."""

MAX_VARIATIONS: Final = 6
"""Tried at once on the whole trace."""

HEADROOMS: Final = (1.05, 1.2, 1.5)
"""Multiples of the rate that the answer is tried with."""

Minimise = Literal["npus", "joules", "dollars"]

_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "joules": ("energy", "joules_per_output_token"),
    "dollars": ("cost", "plan", "usd"),
}


class Try(Struct, frozen=True):
    """One plan on the whole trace."""

    shape: Shape
    counts: Counts
    measured: Measured

    @property
    def plan(self) -> str:
        """As a setting."""
        return self.shape.plan(self.counts)

    @property
    def num_npus(self) -> int:
        """Of all supernodes."""
        return self.shape.num_npus(self.counts)

    @property
    def cluster(self) -> str:
        """Its name."""
        return self.shape.cluster

    @property
    def interval(self) -> Interval | None:
        """Of the attainment, 95 %, from batches of the run; None for a run too short for any."""
        means = self.measured.batches.figures.get("slo.attainment")
        return None if means is None else series_interval(means)

    def cost(self, minimise: Minimise) -> tuple[float, float, str]:
        """What is minimised, then NPUs; the text decides between equals."""
        if minimise == "npus":
            return float(self.num_npus), 0.0, self.plan
        value: Any = self.measured.document
        for key in _PATHS[minimise]:
            value = value[key]
        return float("inf") if value is None else float(value), float(self.num_npus), self.plan


class Sensitivity(Struct, frozen=True):
    """Of the answer: the largest multiple of the rate tried that it bears (1 for none), what it attains with one
    instance less of each kind (None where that leaves none), if all were slower by the error bar, with what
    probability it serves at least, and the fewest cache servers with which it still serves."""

    headroom: float
    without_one: Mapping[str, float | None]
    error_bar: float
    attainment_if_slower: float
    confidence: float
    fewest_cache_servers: int | None


class Planned(Struct, frozen=True):
    """`best` is None if nothing that was tried serves; `nearest` then attains the most, and `ceilings` tell what keeps
    the shapes that were left out from serving even when nothing waits. `tried` are on the whole trace, `serving` those
    of them that serve, the cheapest first."""

    best: Try | None
    nearest: Try
    serving: Sequence[Try]
    tried: Sequence[Try]
    ceilings: Sequence[str]
    num_replays: int
    sensitivity: Sensitivity | None


class Question(Struct, frozen=True):
    """Of a trace with so many requests this share must be served within the limits."""

    trace: str
    options: TraceOptions
    num_requests: int
    attainment: float
    minimise: Minimise = "npus"


Finalist = tuple[Shape, list[Counts]]
"""A shape, and counts of it that a short part of the trace shows to fail so clearly that all of it need not tell."""


class Planner:
    """Answers one question, with replays in these processes."""

    def __init__(self, question: Question, processes: RunProcesses) -> None:
        self._question: Final = question
        self._processes: Final = processes
        self._tried: Final[list[Try]] = []
        self.num_replays = 0
        self.effort: Final = Effort(lambda: processes.num_done)

    def plan(self, shapes: Sequence[Shape]) -> Planned:
        """The answer, or what comes nearest to one; of at least one shape."""
        question = self._question
        self._expect(shapes)
        able, nearest, ceilings = self._able(shapes)
        if able:
            self._search_whole(able)
            self._refine()
        else:
            # For an answer that says no: what it comes to where nearly nothing waits.
            measured = self._measured([(nearest, nearest.largest)], question.options)
            self._tried.append(Try(nearest, nearest.largest, measured[0]))
        keeping = [one for one in self._tried if self._serves(one.measured)]
        serving = sorted(keeping, key=lambda one: one.cost(question.minimise))
        closest = max(self._tried, key=lambda one: (one.measured.attainment, -one.num_npus))
        best = serving[0] if serving else None
        self.effort.enter(Stage.SURE)
        sensitivity = None if best is None else self._sensitivity(best)
        return Planned(best, closest, serving, self._tried, ceilings, self.num_replays, sensitivity)

    def _expect(self, shapes: Sequence[Shape]) -> None:
        short, whole = self._short(), self._question.options
        if short is not whole:
            self.effort.expect(Stage.SHORT, self._num_requests(short), len(_first_of_clusters(shapes, MAX_SHAPES)))
        for stage, num in ((Stage.WHOLE, SHAPES_OF_A_CLUSTER), (Stage.REFINE, 1), (Stage.SURE, 1)):
            self.effort.expect(stage, self._num_requests(whole), len(_first_of_clusters(shapes, num)))

    def _search_whole(self, able: Sequence[Shape]) -> None:
        """On the whole trace, the best shapes first; the others only as long as nothing serves, as a short part of the
        trace may hold none of the long prompts that keep its best shapes from serving."""
        rounds = self._rounds(able)
        self.effort.enter(Stage.WHOLE)
        for finalists in rounds:
            shapes = [shape for shape, _ in finalists]
            searches = [cheapest(shape.lattice, shape.start, known) for shape, known in finalists]
            self._searched(shapes, searches, self._question.options, self._tried.append, num_kept=1)
            if any(self._serves(one.measured) for one in self._tried):
                return

    def _serves(self, measured: Measured) -> bool:
        return measured.attainment >= self._question.attainment

    def _short(self) -> TraceOptions:
        """The beginning of the trace; all of it if that is not much more."""
        options = self._question.options
        if self._question.num_requests // options.superpose <= 2 * SHORT_ROWS:
            return options
        return replace(options, limit=min(SHORT_ROWS, options.limit or SHORT_ROWS))

    def _num_requests(self, options: TraceOptions) -> int:
        """Of a replay with these, all of which have a limit or none."""
        num = self._question.num_requests
        return num if options.limit is None else min(num, options.limit * options.superpose)

    def _able(self, shapes: Sequence[Shape]) -> tuple[list[Shape], Shape, list[str]]:
        """Those that may serve where nothing waits, the smallest first; that which then serves the most; and lines on
        those that do not."""
        short = self._short()
        idle = replace(short, rate_scale=short.rate_scale * IDLE_RATE)
        found = self._measured([(shape, shape.largest) for shape in shapes], idle)
        able: list[Shape] = []
        lines: list[str] = []
        for shape, measured in zip(shapes, found, strict=True):
            share, num = measured.attainment, max(1, measured.document["requests"]["arrived"])
            if share + 3 * sqrt(share * (1 - share) / num) >= self._question.attainment:
                able.append(shape)
            elif measured.misses is not None:
                settings = shape.settings_of(shape.largest)
                lines += [f"{shape.cluster}: {line}" for line in idle_lines(measured.misses, settings)]
        most = max(range(len(shapes)), key=lambda at: (found[at].attainment, -at))
        return able, shapes[most], list(dict.fromkeys(lines))

    def _rounds(self, shapes: Sequence[Shape]) -> list[list[Finalist]]:
        """In each, of each cluster so many as are searched at once: those that do best on a short part of the trace
        first, last those that the cost model finds too large to be tried there."""
        ranked: dict[str, list[Finalist]] = {}
        for finalist in self._ranked(_first_of_clusters(shapes, MAX_SHAPES)):
            ranked.setdefault(finalist[0].cluster, []).append(finalist)
        for shape in shapes:
            of_cluster = ranked[shape.cluster]
            if all(shape.kinds != one.kinds for one, _ in of_cluster):
                of_cluster.append((shape, []))
        at_once = len(shapes) if self._short() is self._question.options else SHAPES_OF_A_CLUSTER
        longest = max(map(len, ranked.values()))
        return [
            [one for of_cluster in ranked.values() for one in of_cluster[first : first + at_once]]
            for first in range(0, longest, at_once)
        ]

    def _ranked(self, shapes: Sequence[Shape]) -> list[Finalist]:
        """Begun from what they needed on a short part of the trace, the smallest first; as they are if it has none."""
        short = self._short()
        if short is self._question.options:
            return [(shape, []) for shape in shapes]
        tried: list[Try] = []
        self.effort.enter(Stage.SHORT)
        searches = [cheapest(shape.lattice, shape.start) for shape in shapes]
        found = self._searched(shapes, searches, short, tried.append, num_kept=SHAPES_OF_A_CLUSTER)
        ranked = sorted(
            zip(shapes, found, strict=True),
            # What nothing served on the short part may do on the whole, and comes last.
            key=lambda one: float("inf") if one[1] is None else one[0].num_npus(one[1]),
        )
        return [
            (
                shape if counts is None else replace(shape, start=counts),
                [one.counts for one in tried if one.shape is shape and self._is_far(one)],
            )
            for shape, counts in ranked
        ]

    def _is_far(self, one: Try) -> bool:
        return one.measured.attainment < self._question.attainment - NEAR

    def _searched(
        self,
        shapes: Sequence[Shape],
        searches: Sequence[Search],
        options: TraceOptions,
        note: Callable[[Try], None],
        num_kept: int,
    ) -> list[Counts | None]:
        """The cheapest counts of each, all searched in step, so that the answer depends on no number of processes.

        A search that has found nothing is given up when what it asks for is larger than what `num_kept` others of its
        cluster have found already, and any after `PATIENCE` tries in a row that do not serve: what is left is the far
        ends of its proportions. Its answer is then the smallest that served, if any.
        """
        answers: list[Counts | None] = [None] * len(shapes)
        least: list[float] = [float("inf")] * len(shapes)
        failed_in_a_row = [0] * len(shapes)
        going = dict(enumerate(searches))
        asked = {at: next(search) for at, search in going.items()}
        while asked:
            found = self._measured([(shapes[at], counts) for at, counts in asked.items()], options)
            for (at, counts), measured in zip(list(asked.items()), found, strict=True):
                serves, shape = self._serves(measured), shapes[at]
                note(Try(shape, counts, measured))
                failed_in_a_row[at] = 0 if serves else failed_in_a_row[at] + 1
                if serves and shape.num_npus(counts) < least[at]:
                    least[at], answers[at] = shape.num_npus(counts), counts
                try:
                    asked[at] = going[at].send(serves)
                except StopIteration as done:
                    answers[at] = done.value
                    del asked[at]
            for at, counts in list(asked.items()):
                rivals = sorted(npus for other, npus in enumerate(least) if shapes[other].cluster == shapes[at].cluster)
                beaten = shapes[at].num_npus(counts) >= rivals[min(num_kept, len(rivals)) - 1]
                if failed_in_a_row[at] >= PATIENCE or (least[at] == float("inf") and beaten):
                    del asked[at]
        return answers

    def _refine(self) -> None:
        """Whether the best so far does with an instance less, and then with one less under another policy, batch limit
        or rule, as long as that finds a better one."""
        question, varied = self._question, None
        self.effort.enter(Stage.REFINE)
        while True:
            serving = [one for one in self._tried if self._serves(one.measured)]
            best = min(serving, key=lambda one: one.cost(question.minimise), default=None)
            if best is None:
                return
            fewer = _one_less(best.counts)
            asked = [(best.shape, counts) for counts in fewer if self._known(best.shape, counts) is None]
            if not asked:
                if best is varied:
                    return
                varied = best
                near = [counts for counts in fewer if self._comes_near(best.shape, counts)]
                asked = self._promising([(one, counts) for counts in near for one in variations_of(best.shape)])
            measured = self._measured(asked, question.options)
            self._tried.extend(Try(*one, answer) for one, answer in zip(asked, measured, strict=True))

    def _known(self, shape: Shape, counts: Counts) -> Measured | None:
        """What a try of this plan came to, if there was one."""
        return next((one.measured for one in self._tried if one.shape is shape and one.counts == counts), None)

    def _comes_near(self, shape: Shape, counts: Counts) -> bool:
        """Whether these counts, which were tried, do nearly: what is far off no other policy mends."""
        known = self._known(shape, counts)
        return known is not None and known.attainment >= self._question.attainment - NEAR

    def _promising(self, plans: Sequence[tuple[Shape, Counts]]) -> list[tuple[Shape, Counts]]:
        """Those that attain the most on the short part of the trace, if that is much shorter."""
        short = self._short()
        if short is self._question.options or len(plans) <= MAX_VARIATIONS:
            return list(plans)
        shares = [one.attainment for one in self._measured(plans, short)]
        best = sorted(range(len(plans)), key=lambda at: (-shares[at], at))[:MAX_VARIATIONS]
        return [plans[at] for at in sorted(best)]

    def _measured(self, plans: Sequence[tuple[Shape, Counts]], options: TraceOptions) -> list[Measured]:
        return self._replayed([(shape.settings_of(counts), options) for shape, counts in plans])

    def _replayed(self, runs: Sequence[tuple[Settings, TraceOptions]]) -> list[Measured]:
        self.num_replays += len(runs)
        if runs:
            self.effort.ask(len(runs), self._num_requests(runs[0][1]))
        trace = self._question.trace
        return self._processes.all(measure, [ReplayJob(trace, options, settings) for settings, options in runs])

    def _sensitivity(self, best: Try) -> Sensitivity:
        """All in one go: none of these needs another's answer."""
        question, shape, counts = self._question, best.shape, best.counts
        options, as_it_is = question.options, shape.settings_of(counts)
        slower = slowdowns(shape.error_bar)
        fewer, servers = _one_less(counts), _halves(shape.num_nodes(counts)) if shape.has_pool else []
        runs = [(as_it_is, replace(options, rate_scale=options.rate_scale * rate)) for rate in HEADROOMS]
        runs += [slowed(as_it_is, options, factor) for factor in slower]
        runs += [(shape.settings_of(one), options) for one in fewer]
        runs += [(shape.settings_of(counts, num), options) for num in servers]
        attained = iter([one.attainment for one in self._replayed(runs)])
        borne = [rate for rate in HEADROOMS if next(attained) >= question.attainment]
        if_slower = [next(attained) for _ in slower]
        without = {one: next(attained) for one in fewer}
        keeping = [num for num in servers if next(attained) >= question.attainment]
        return Sensitivity(
            headroom=max(borne, default=1.0),
            without_one={kind.role: without.get(_less(counts, at)) for at, kind in enumerate(shape.kinds)},
            error_bar=shape.error_bar,
            attainment_if_slower=if_slower[-1],
            confidence=confidence(if_slower, question.attainment),
            fewest_cache_servers=min(keeping, default=shape.num_nodes(counts)) if shape.has_pool else None,
        )


def _first_of_clusters(shapes: Sequence[Shape], num: int) -> list[Shape]:
    """So many of each cluster, in their order."""
    seen = Counter[str]()
    kept: list[Shape] = []
    for shape in shapes:
        seen[shape.cluster] += 1
        if seen[shape.cluster] <= num:
            kept.append(shape)
    return kept


def _less(counts: Counts, kind: int) -> Counts:
    """One instance of a kind less."""
    return tuple(count - (at == kind) for at, count in enumerate(counts))


def _one_less(counts: Counts) -> list[Counts]:
    """One instance less of each kind that has several."""
    return [_less(counts, kind) for kind, count in enumerate(counts) if count > 1]


def _halves(number: int) -> list[int]:
    """A half of it and an eighth, as far as these are whole numbers above 0."""
    found = [number >> shift for shift in (1, 3)]
    return [one for one in found if one]
