"""Whole random systems whose instances come, go and change their role as they run, with losses and broken parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from scheduler.core.scaling.rules import InstanceSlot, ScalingRules
from scheduler.policies.scaling_view import (
    COMPUTING,
    OutputWork,
    PromptWork,
    ScalingPolicy,
    ScalingSample,
    ScalingView,
    Wanted,
)
from scheduler.protocol.addresses import aggregated_address, decode_address, prefill_address
from scheduler.protocol.messages import DecodeStepped, Message, PrefillStepped
from tests.checkers.losing_checks import run_checked
from tests.checkers.scaling import FleetChecker
from tests.naive.case import Case, Row
from tests.naive.strategies import (
    QUICK_PHASES,
    aggregated_cases,
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

    def __init__(self, counts: Sequence[tuple[int, ...]]) -> None:
        self._counts = counts
        self._num_asked = 0

    def wanted(self, view: ScalingView) -> Wanted:
        """The next of its counts, of the roles in their order."""
        counts = self._counts[self._num_asked % len(self._counts)]
        self._num_asked += 1
        return Wanted(dict(zip(view.roles, counts, strict=True)), f"ask {self._num_asked}")


def fickle(counts: Sequence[tuple[int, ...]]) -> Callable[[], ScalingPolicy]:
    """Makes one that begins anew."""
    return lambda: Fickle(counts)


ADDRESSES = {"prefill": prefill_address, "decode": decode_address, "aggregated": aggregated_address}


@st.composite
def scaling_rules(draw: st.DrawFn, case: Case) -> ScalingRules:
    """Instances of a case on NPUs of which they may share some; one of each role is there at first."""
    numbers = {"prefill": case.num_prefill, "decode": case.num_decode, "aggregated": case.num_aggregated}
    numbers = {role: number for role, number in numbers.items() if number}
    sizes = {role: draw(st.integers(1, 2 if role == "prefill" else 3)) for role in numbers}
    addresses = [(ADDRESSES[role](i), role, sizes[role]) for role, number in numbers.items() for i in range(number)]
    num_first = sum(sizes.values())
    num_npus = num_first + draw(st.integers(max(sizes.values()), 6))
    slots: list[InstanceSlot] = []
    first_free = 0
    absent: set[str] = set()
    for address, role, size in addresses:
        if not any(slot.role == role for slot in slots):
            slots.append(InstanceSlot(address, role, first_free, size))
            first_free += size
            continue
        # Most of them where they can stand beside the first ones, and cannot beside one another.
        begin = draw(st.sampled_from([0, num_first, num_first]))
        slots.append(InstanceSlot(address, role, draw(st.integers(begin, num_npus - size)), size))
        absent.add(address)
    # All of one role and one of each other, or anything.
    counts = st.one_of(
        st.sampled_from([tuple(number if one == role else 1 for one, number in numbers.items()) for role in numbers]),
        st.tuples(*(st.integers(0, number) for number in numbers.values())),
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
def apart(draw: st.DrawFn) -> Case:
    """Several instances of each of prefill and decode, which may be parked."""
    case = draw(st.one_of(any_cases(), cached_cases(st.one_of(mixed_cases(), preempting_cases())), fetching_cases()))
    case = replace(case, num_prefill=draw(st.integers(2, 4)), num_decode=draw(st.integers(2, 3)))
    return draw(st.one_of(st.just(case), parking_cases(st.just(case))))


@st.composite
def with_aggregated(draw: st.DrawFn) -> Case:
    """Several aggregated instances, alone or beside others of which there may be several, too."""
    plain = st.one_of(any_cases(), cached_cases(mixed_cases()), preempting_cases())
    case = draw(aggregated_cases(st.one_of(plain, parking_cases(plain))))
    more = draw(st.integers(0, 2))
    return replace(
        case,
        num_prefill=case.num_prefill and case.num_prefill + more,
        num_decode=case.num_decode and case.num_decode + more,
        num_aggregated=draw(st.integers(2, 3)),
    )


@st.composite
def scaled_cases(draw: st.DrawFn, cases: st.SearchStrategy[Case]) -> tuple[Case, Trouble, ScalingRules]:
    """A system of several instances, what goes wrong in it, and who comes and goes."""
    case = draw(with_any_policy(cases))
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
@given(scaled=scaled_cases(apart()))
def test_nothing_is_lost_when_instances_come_and_go(scaled: tuple[Case, Trouble, ScalingRules]) -> None:
    run_scaled(*scaled)


@settings(phases=QUICK_PHASES, max_examples=80)
@given(scaled=scaled_cases(with_aggregated()))
def test_nothing_is_lost_when_aggregated_instances_come_and_go(scaled: tuple[Case, Trouble, ScalingRules]) -> None:
    run_scaled(*scaled)


def run_scaled(case: Case, trouble: Trouble, rules: ScalingRules) -> None:
    """Run and check everything, and the fleet."""
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
@given(scaled=scaled_cases(st.one_of(apart(), with_aggregated())))
def test_a_policy_that_never_wants_a_change_changes_nothing(scaled: tuple[Case, Trouble, ScalingRules]) -> None:
    case, trouble, rules = scaled
    quiet = with_fields(rules, absent=frozenset[str](), slots=_apart(rules.slots), make_policy=_as_it_is)
    system, plain = run_checked(case, trouble, quiet), run_checked(case, trouble)
    tables = system.scheduler.table, plain.scheduler.table
    for name in ("reason", "output_tokens", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns"):
        assert getattr(tables[0], name) == getattr(tables[1], name)


class Keeps:
    """Wants no change, and keeps what it was shown."""

    def __init__(self) -> None:
        self.samples: list[ScalingSample] = []

    def wanted(self, view: ScalingView) -> Wanted:
        """As it is."""
        self.samples.append(view.now)
        return Wanted({}, "as it is")


@settings(phases=QUICK_PHASES, max_examples=40)
@given(case=st.one_of(any_cases(), with_aggregated()), data=st.data())
def test_what_a_policy_sees_of_work_is_what_was_reported(case: Case, data: st.DataObject) -> None:
    kept: list[Keeps] = []

    def make() -> ScalingPolicy:
        kept.append(Keeps())
        return kept[-1]

    rules = data.draw(scaling_rules(case))
    rules = with_fields(rules, absent=frozenset[str](), slots=_apart(rules.slots), make_policy=make)
    system = run_checked(case, Trouble(), rules)
    samples = kept[0].samples
    if not samples:
        return
    role_of = {slot.address: slot.role for slot in rules.slots}
    # Whether what came at the very time of the last sample is in it hangs on the order within that nanosecond.
    until_s = samples[-1].at_s
    earlier = [one for at_ns, one in system.told if at_ns * 1e-9 < until_s]
    at_once = [one for at_ns, one in system.told if at_ns * 1e-9 == until_s]
    for role in rules.roles:
        seen = [sample.roles[role] for sample in samples]
        for found, counted in (
            (sum(one.prompts.num_tokens for one in seen), _computed),
            (sum(one.outputs.num_tokens for one in seen), _made),
        ):
            least = sum(counted(one) for one in earlier if role_of.get(getattr(one, "instance", "")) == role)
            more = sum(counted(one) for one in at_once if role_of.get(getattr(one, "instance", "")) == role)
            assert least <= found <= least + more
        for one in seen:
            assert 0 <= one.prompts.budget_share <= one.prompts.busy_share <= one.busy_share <= 1
            assert one.prompts.backlog_tokens >= 0 <= one.outputs.num_sequences <= one.outstanding_requests
            assert not one.outputs.mixed_steps or one.prompts.num_tokens
            assert role in COMPUTING or one.prompts == PromptWork()
            assert role != "prefill" or one.outputs == OutputWork()


def _computed(message: Message | None) -> int:
    return message.computed_tokens if isinstance(message, PrefillStepped) else 0


def _made(message: Message | None) -> int:
    return message.num_running * message.tokens_per_sequence if isinstance(message, DecodeStepped) else 0


class _AsItIs:
    def wanted(self, view: ScalingView) -> Wanted:
        return Wanted({}, "as it is")


def _as_it_is() -> ScalingPolicy:
    return _AsItIs()


def _apart(slots: Sequence[InstanceSlot]) -> list[InstanceSlot]:
    """On NPUs of their own."""
    firsts = [sum(slot.num_npus for slot in slots[:i]) for i in range(len(slots))]
    return [with_fields(slot, first_npu=first) for slot, first in zip(slots, firsts, strict=True)]
