"""The component that breaks and repairs parts of the fabric, as planned or at random, for as long as there is work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heapreplace, merge
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import FailParts, Message, RepairParts
from scheduler.sources.worker_losses import PlannedChange, PlannedLoss

if TYPE_CHECKING:
    from numpy.random import Generator

NS_PER_S: Final = 1_000_000_000

Change = tuple[int, str, bool]
"""(time in ns, part, whether it breaks then; else it is repaired)."""


class PlannedFault(Struct, frozen=True):
    """A part breaks at `at_ns` and works again from `repaired_ns` on; `NEVER_NS` if it stays broken."""

    part: str
    at_ns: int
    repaired_ns: int


class FaultRate(Struct, frozen=True):
    """Each part of a kind breaks on average that long after it last worked again, and is repaired on average that soon.

    Both times are exponentially distributed, and of one part independent of all others.
    """

    kind: str
    mean_s_between_failures: float
    mean_s_to_repair: float


class FaultPlan(Struct, frozen=True):
    """What is to break in a run."""

    schedule: tuple[PlannedFault, ...] = ()
    rates: tuple[FaultRate, ...] = ()
    losses: tuple[PlannedLoss, ...] = ()
    changes: tuple[PlannedChange, ...] = ()

    @property
    def workers(self) -> frozenset[str]:
        """Who is lost, or starts anew for a change."""
        changed = (worker for change in self.changes for worker in change.workers)
        return frozenset([*(loss.worker for loss in self.losses), *changed])


class FaultSource(TimingFlags):
    """Sends `FailParts` and `RepairParts` to the core when they are due, as long as `has_work` is true: requests are
    open or still to come. Once there are none it has no deadline any more, so that no run goes on for the sake of
    faults that nobody would notice.
    """

    address = "faults"
    priority = Priority.SOURCE

    def __init__(self, changes: Iterable[Change], has_work: Callable[[], bool]) -> None:
        self.broken: Final[set[str]] = set()
        """Parts that it has broken and not yet repaired."""
        self.kept_broken: Collection[str] = ()
        """Parts that an operator has broken: they work again when both have repaired them."""
        self._instants = _instants(changes)
        self._has_work = has_work
        self._outputs: Outputs = NOTHING
        self._next_ns = NEVER_NS
        self._advance()

    @property
    def deadline_ns(self) -> int:
        """When the next part breaks or is repaired."""
        return self._next_ns if self._has_work() else NEVER_NS

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """A source is told of the end of a run only, and then sends nothing more."""
        self._next_ns = NEVER_NS
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """All that changes at this instant."""
        outputs = self._outputs
        self._advance()
        kept = self.kept_broken
        for _, message in outputs:
            if isinstance(message, FailParts):
                self.broken.update(message.parts)
            elif isinstance(message, RepairParts):
                self.broken.difference_update(message.parts)
        return [_without(output, kept) for output in outputs] if kept else outputs

    def forget(self, parts: Iterable[str]) -> None:
        """An operator has repaired these, whoever broke them."""
        self.broken.difference_update(parts)

    def _advance(self) -> None:
        self._next_ns, self._outputs = next(self._instants, (NEVER_NS, NOTHING))
        if self._next_ns >= NEVER_NS:
            self._next_ns = NEVER_NS


def _without(output: Output, kept: Collection[str]) -> Output:
    """A repair leaves out what others keep broken."""
    address, message = output
    if not isinstance(message, RepairParts):
        return output
    return address, RepairParts([part for part in message.parts if part not in kept])


def planned_changes(schedule: Sequence[PlannedFault]) -> list[Change]:
    """What a schedule does, in the order of time."""
    changes = [(fault.at_ns, fault.part, True) for fault in schedule]
    changes += [(fault.repaired_ns, fault.part, False) for fault in schedule if fault.repaired_ns < NEVER_NS]
    return sorted(changes, key=itemgetter(0))


def random_changes(rate: FaultRate, parts: Sequence[str], stream: Generator) -> Iterator[Change]:
    """What happens to these parts, without end, in the order of time; all of them work at time 0."""
    means_s = rate.mean_s_between_failures, rate.mean_s_to_repair
    firsts_s: list[float] = stream.exponential(means_s[0], len(parts)).tolist()
    due = [(_later_ns(0, first_s), index) for index, first_s in enumerate(firsts_s)]
    heapify(due)
    is_broken = [False] * len(parts)
    while due:
        time_ns, index = due[0]
        is_broken[index] = not is_broken[index]
        yield time_ns, parts[index], is_broken[index]
        heapreplace(due, (_later_ns(time_ns, stream.exponential(means_s[is_broken[index]])), index))


def fault_changes(
    plan: FaultPlan, parts: Mapping[str, Sequence[str]], stream_of: Callable[[str], Generator]
) -> Iterator[Change]:
    """All that a plan does, in the order of time; `parts` by kind, `stream_of` makes the random stream of a name.

    Each kind has a stream of its own, so that a rate more changes nothing for the other kinds.
    """
    at_random = (random_changes(rate, parts[rate.kind], stream_of(f"faults/{rate.kind}")) for rate in plan.rates)
    return merge(planned_changes(plan.schedule), *at_random, key=itemgetter(0))


def _later_ns(time_ns: int, after_s: float) -> int:
    return time_ns + max(1, round(after_s * NS_PER_S))


def _instants(changes: Iterable[Change]) -> Iterator[tuple[int, Outputs]]:
    """(time, outputs of that instant). A part that is broken for two reasons works again when both have passed."""
    num_reasons: dict[str, int] = {}
    for time_ns, group in groupby(changes, key=itemgetter(0)):
        before: dict[str, int] = {}
        for _, part, breaks in group:
            reasons = num_reasons.get(part, 0)
            before.setdefault(part, reasons)
            num_reasons[part] = reasons + (1 if breaks else -1)
        failed = sorted(part for part, reasons in before.items() if not reasons and num_reasons[part])
        repaired = sorted(part for part, reasons in before.items() if reasons and not num_reasons[part])
        outputs: list[tuple[str, Message]] = []
        if repaired:
            outputs.append((CORE_ADDRESS, RepairParts(repaired)))
        if failed:
            outputs.append((CORE_ADDRESS, FailParts(failed)))
        if outputs:
            yield time_ns, tuple(outputs)
