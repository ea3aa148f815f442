"""Whole random systems whose instances come, go and change their role as they run, with losses and broken parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from scheduler.core.scaling.rules import InstanceSlot, ScalingRules
from scheduler.policies.scaling_view import ScalingPolicy, ScalingView, Wanted
from scheduler.protocol.addresses import decode_address, prefill_address
from tests.checkers.losing_checks import run_checked
from tests.checkers.scaling import FleetChecker
from tests.naive.case import Case, Row
from tests.naive.strategies import (
    QUICK_PHASES,
    any_cases,
    cached_cases,
    mixed_cases,
    parking_cases,
    preempting_cases,
    with_any_policy,
)
from tests.sim.trouble import Loss, Trouble, faults, fetching_cases, troubles


class Fickle:
    """A policy that wants something else each time, in turn."""

    def __init__(self, counts: Sequence[tuple[int, int]]) -> None:
        self._counts = counts
        self._num_asked = 0

    def wanted(self, view: ScalingView) -> Wanted:
        """The next of its counts."""
        prefill, decode = self._counts[self._num_asked % len(self._counts)]
        self._num_asked += 1
        return Wanted({"prefill": prefill, "decode": decode}, f"ask {self._num_asked}")


def fickle(counts: Sequence[tuple[int, int]]) -> Callable[[], ScalingPolicy]:
    """Makes one that begins anew."""
    return lambda: Fickle(counts)


@st.composite
def scaling_rules(draw: st.DrawFn, case: Case) -> ScalingRules:
    """Instances of a case on NPUs of which they may share some; one of each role is there at first."""
    sizes = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    addresses = [(prefill_address(i), "prefill", sizes[0]) for i in range(case.num_prefill)]
    addresses += [(decode_address(i), "decode", sizes[1]) for i in range(case.num_decode)]
    num_npus = sum(sizes) + draw(st.integers(max(sizes), 6))
    slots: list[InstanceSlot] = []
    first_free = 0
    absent: set[str] = set()
    for address, role, size in addresses:
        if not any(slot.role == role for slot in slots):
            slots.append(InstanceSlot(address, role, first_free, size))
            first_free += size
            continue
        # Most of them where they can stand beside the first ones, and cannot beside one another.
        begin = draw(st.sampled_from([0, sum(sizes), sum(sizes)]))
        slots.append(InstanceSlot(address, role, draw(st.integers(begin, num_npus - size)), size))
        absent.add(address)
    counts = st.one_of(
        st.sampled_from([(case.num_prefill, 1), (1, case.num_decode)]),
        st.tuples(st.integers(0, case.num_prefill), st.integers(0, case.num_decode)),
    )
    return ScalingRules(
        slots,
        frozenset(absent),
        num_npus,
        fickle(draw(st.lists(counts, min_size=1, max_size=6))),
        draw(st.sampled_from([1_000, 5_000, 20_000])),
        drain_check_ns=draw(st.sampled_from([100, 700, 3_000])),
    )


@st.composite
def scaled_cases(draw: st.DrawFn) -> tuple[Case, Trouble, ScalingRules]:
    """A system of several instances, what goes wrong in it, and who comes and goes."""
    case = draw(st.one_of(any_cases(), cached_cases(st.one_of(mixed_cases(), preempting_cases())), fetching_cases()))
    case = replace(case, num_prefill=draw(st.integers(2, 4)), num_decode=draw(st.integers(2, 3)))
    case = draw(with_any_policy(st.one_of(st.just(case), parking_cases(st.just(case)))))
    trouble = draw(st.one_of(st.just(Trouble()), troubles(case)))
    if draw(st.booleans()):
        trouble = Trouble(
            trouble.losses, draw(faults(case)), trouble.delays_ns, trouble.max_retries, trouble.report_interval_ns
        )
    trouble = Trouble(
        trouble.losses,
        trouble.faults,
        trouble.delays_ns,
        trouble.max_retries,
        trouble.report_interval_ns,
        trouble.leaves,
        draw(st.sampled_from([0, 2_000, 30_000])),
    )
    return case, trouble, draw(scaling_rules(case))


@settings(phases=QUICK_PHASES, max_examples=80)
@given(scaled=scaled_cases())
def test_nothing_is_lost_when_instances_come_and_go(scaled: tuple[Case, Trouble, ScalingRules]) -> None:
    case, trouble, rules = scaled
    system = run_checked(case, trouble, rules)
    checker = FleetChecker(rules)
    checker.check(system.told, system.said)
    if not trouble.losses and not trouble.faults:
        assert not any(system.scheduler.table.retries), "who leaves sets nobody back"
    event(f"started: {min(3, checker.num_started)}, stopped: {min(3, checker.num_stopped)}")
    event(f"switched: {bool(checker.num_switched)}")


def test_whoever_comes_back_although_nobody_wants_it_takes_nothing() -> None:
    """`prefill-1`, which is not there, is reported lost and then started beside the one whose NPUs it would have: it is
    told to stop in the instant in which it joins, and whatever it took in between would be computed twice."""
    slots = [
        InstanceSlot("prefill-0", "prefill", 0, 1),
        InstanceSlot("prefill-1", "prefill", 0, 1),
        InstanceSlot("decode-0", "decode", 1, 1),
    ]
    rules = ScalingRules(slots, frozenset({"prefill-1"}), 2, fickle([(1, 1)]), 1_000)
    both = Loss(1, ("prefill-0", "prefill-1"))
    case = Case(tuple(Row(0, 1, output) for output in (2, 2)), num_prefill=2)
    system = run_checked(case, Trouble((Loss(0, ("prefill-0",), down_ns=500), both)), rules)
    FleetChecker(rules).check(system.told, system.said)
    assert not any(system.scheduler.table.retries), "nobody had begun when they were lost"


@settings(phases=QUICK_PHASES, max_examples=30)
@given(scaled=scaled_cases())
def test_a_policy_that_never_wants_a_change_changes_nothing(scaled: tuple[Case, Trouble, ScalingRules]) -> None:
    case, trouble, rules = scaled
    quiet = with_fields(rules, absent=frozenset[str](), slots=_apart(rules.slots), make_policy=_as_it_is)
    system, plain = run_checked(case, trouble, quiet), run_checked(case, trouble)
    tables = system.scheduler.table, plain.scheduler.table
    for name in ("reason", "output_tokens", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns"):
        assert getattr(tables[0], name) == getattr(tables[1], name)


class _AsItIs:
    def wanted(self, view: ScalingView) -> Wanted:
        return Wanted({}, "as it is")


def _as_it_is() -> ScalingPolicy:
    return _AsItIs()


def _apart(slots: Sequence[InstanceSlot]) -> list[InstanceSlot]:
    """On NPUs of their own."""
    firsts = [sum(slot.num_npus for slot in slots[:i]) for i in range(len(slots))]
    return [with_fields(slot, first_npu=first) for slot, first in zip(slots, firsts, strict=True)]
