"""Fleets of equal goodput: how many systems of each variant bear what one of the first does.

A system is what a variant's plan describes, spare NPUs included. Each of a fleet is taken to replay the trace at its
even share of the rate, apart from the others: nothing of one fleet is simulated as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from deploy.compare.comparison import Compared, Task, idle_misses
from deploy.compare.goodput import Found
from deploy.compare.idle import idle_lines
from deploy.compare.measure import Measured, in_processes
from deploy.compare.systems import System, system_of
from deploy.compare.variants import Variant
from scheduler.sources.traces.options import TraceOptions


class Fleet(Struct, frozen=True):
    """Systems of one kind that together bear `wanted_requests_per_s`; `measured` is the run of one at its share.

    `each_requests_per_s`: the goodput of one, and the lowest rate tried that it does not bear. `num_systems` is whole
    unless the fleet is what the exact ratio gives, whose systems all run at their goodput.
    """

    variant: Variant
    system: System
    num_systems: float
    wanted_requests_per_s: float
    each_requests_per_s: tuple[float, float]
    measured: Measured

    @property
    def goodput_requests_per_s(self) -> float:
        return self.num_systems * self.each_requests_per_s[0]

    @property
    def load(self) -> float:
        """What the fleet bears, as a share of its goodput."""
        return self.wanted_requests_per_s / self.goodput_requests_per_s

    @property
    def arriving(self) -> float:
        """Share of the run in which requests arrived; the rest is its end, in which the last ones are served."""
        run = self.measured
        return run.document["requests"]["arrived"] / run.offered_requests_per_s / run.document["simulated_s"]

    @property
    def compared(self) -> Compared:
        """One system at its share of the rate: the fleet's joules and dollars a token are its own."""
        return Compared(self.variant, self.measured, None)


class Sizing(Struct, frozen=True):
    """`fleets`: one of the first, then for each other variant the exact ratio and the whole number of systems.

    `ratios` are least and greatest that the precision of both searches leaves open, for each other variant.
    `unknown`: why there is no answer, and no fleets; else None.
    """

    fleets: list[Fleet]
    ratios: list[tuple[float, float]]
    unknown: str | None


def least_count(wanted: float, each: float) -> int:
    """The least whole number of which `count * each >= wanted`, at least 1; `each` above 0."""
    count = max(1, ceil(wanted / each))
    # A quotient is rounded, and may say one too many or one too few.
    if count > 1 and (count - 1) * each >= wanted:
        return count - 1
    return count if count * each >= wanted else count + 1


def size(compared: Sequence[Compared], trace: str, options: TraceOptions, num_processes: int | None) -> Sizing:
    """Size all others to the goodput of the first; one run more for each, at the rate that a system then bears."""
    brackets: list[tuple[float, float]] = []
    for one in compared:
        bracket = goodput_bracket(one)
        if isinstance(bracket, str):
            return Sizing([], [], bracket)
        brackets.append(bracket)
    first, wanted = brackets[0], brackets[0][0]
    counts = [least_count(wanted, each) for each, _ in brackets[1:]]
    shares = [
        Share(Task(one.variant, trace, options, None), _found(one).scale * wanted / (count * each))
        for one, count, (each, _) in zip(compared[1:], counts, brackets[1:], strict=True)
    ]
    at_shares = in_processes(run_share, shares, "sizing", num_processes)
    fleets = [_fleet(compared[0], 1, wanted, first, _best(compared[0]))]
    for one, count, bracket, at_share in zip(compared[1:], counts, brackets[1:], at_shares, strict=True):
        fleets.append(_fleet(one, wanted / bracket[0], wanted, bracket, _best(one)))
        fleets.append(_fleet(one, count, wanted, bracket, at_share))
    return Sizing(fleets, [(first[0] / fails, first[1] / holds) for holds, fails in brackets[1:]], None)


class Share(Struct, frozen=True):
    """One system of a fleet, at a multiple of the trace's rate."""

    task: Task
    scale: float


def run_share(share: Share) -> Measured:
    """The run of it."""
    return share.task.at(share.scale)


def goodput_bracket(one: Compared) -> tuple[float, float] | str:
    """Rates in requests/s between which the goodput of a variant lies; if there are none, a line that says why."""
    found = _found(one)
    if found.best is None:
        misses = idle_misses(found)
        why = f": {idle_lines(misses, one.variant.settings)[0]}" if misses else ""
        return (
            f"{one.variant.name} attains the SLO at no rate that was tried{why}; widen the limits or lower --attainment"
        )
    failed = [run for scale, run in found.tried.items() if scale > found.scale]
    if not failed:
        rate = found.best.offered_requests_per_s
        return (
            f"{one.variant.name} attains the SLO at every rate tried, up to {rate:,.4g} req/s; "
            "too few requests to load it: raise --limit or --superpose"
        )
    return found.best.offered_requests_per_s, failed[0].offered_requests_per_s


def _fleet(one: Compared, num_systems: float, wanted: float, bracket: tuple[float, float], measured: Measured) -> Fleet:
    settings = one.variant.settings
    system = system_of(settings.hardware, settings.money.price)
    return Fleet(one.variant, system, num_systems, wanted, bracket, measured)


def _found(one: Compared) -> Found[Measured]:
    assert one.goodput is not None  # who sizes has searched
    return one.goodput


def _best(one: Compared) -> Measured:
    best = _found(one).best
    assert best is not None  # a bracket was found
    return best
