"""One stepper, two clocks: run in turns by a clock that waits, and told of arrivals, it gives the virtual run."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.stepper import Stepper
from tests.naive.case import Case
from tests.naive.strategies import QUICK_PHASES, any_cases, parking_cases, sampled_cases, with_any_policy
from tests.sim.build import build_real, run_real


@settings(phases=QUICK_PHASES, max_examples=80)
@given(
    case=with_any_policy(st.one_of(any_cases(), parking_cases(any_cases()), sampled_cases(any_cases()))),
    turns_ns=st.lists(st.integers(1, 200_000), min_size=1, max_size=5),
)
def test_a_clock_that_waits_gives_the_virtual_run(case: Case, turns_ns: list[int]) -> None:
    expected = run_real(case)
    system = build_real(case)
    source, *workers = system.components
    elsewhere, here = Stepper([source]), Stepper([*workers, system.scheduler])
    now_ns, turn = 0, 0
    while (due_ns := min(elsewhere.deadline_ns, here.deadline_ns)) != NEVER_NS:
        turn += 1
        # Late by up to a turn, but not so late that an arrival is.
        now_ns = min(due_ns + turns_ns[turn % len(turns_ns)], elsewhere.deadline_ns)
        elsewhere.run_until(now_ns)
        for address, sent_ns, message in elsewhere.take_sent():
            here.deliver(address, sent_ns, message)
        here.run_until(min(now_ns, elsewhere.deadline_ns - 1))
    assert system.outcomes() == expected.outcomes
    assert here.last_ns == expected.end_ns
    assert not here.take_sent()
