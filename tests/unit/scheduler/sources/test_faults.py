"""Faults come when they are planned or as often as they should, and never keep a run from ending."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import FailParts, RepairParts, RunEnded
from scheduler.runtime.random_streams import stream
from scheduler.sources.faults import (
    NS_PER_S,
    FaultPlan,
    FaultRate,
    FaultSource,
    PlannedFault,
    fault_changes,
    planned_changes,
    random_changes,
)

NICS = [f"npu/{index}/nic" for index in range(50)]
HOURLY = FaultRate("nic", 3600.0, 600.0)


def said_by(source: FaultSource, until_ns: int = NEVER_NS) -> list[tuple[int, str, list[str]]]:
    """(time, "fail" or "repair", parts) of all that it says before then."""
    said: list[tuple[int, str, list[str]]] = []
    while source.deadline_ns < until_ns:
        now_ns = source.deadline_ns
        for address, message in source.wake(now_ns):
            assert address == "core"
            assert isinstance(message, FailParts | RepairParts)
            said.append((now_ns, "fail" if isinstance(message, FailParts) else "repair", message.parts))
    return said


def _fault(part: str, at_ns: int, for_ns: int) -> PlannedFault:
    return PlannedFault(part, at_ns, at_ns + for_ns if for_ns else NEVER_NS)


FAULTS = st.lists(
    st.builds(
        _fault,
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 20),
        st.integers(0, 9),
    ),
    max_size=12,
)


@given(schedule=FAULTS)
def test_a_part_is_broken_as_long_as_there_is_a_reason(schedule: list[PlannedFault]) -> None:
    said = said_by(FaultSource(planned_changes(schedule), lambda: True))
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(said))
    for now_ns in range(40):
        broken: set[str] = set()
        for time_ns, what, parts in said:
            if time_ns <= now_ns:
                # Nothing is said that would change nothing.
                assert broken.isdisjoint(parts) if what == "fail" else broken.issuperset(parts)
                broken = broken.union(parts) if what == "fail" else broken.difference(parts)
        assert broken == {fault.part for fault in schedule if fault.at_ns <= now_ns < fault.repaired_ns}


def test_each_part_breaks_and_is_mended_by_turns_as_often_as_it_should() -> None:
    changes = list(islice(random_changes(HOURLY, NICS, stream(3, "faults/nic")), 20_000))
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(changes))
    up_s: list[float] = []
    down_s: list[float] = []
    for nic in NICS:
        own = [(time_ns, breaks) for time_ns, part, breaks in changes if part == nic]
        assert [breaks for _, breaks in own] == [index % 2 == 0 for index in range(len(own))]
        for (begin_ns, is_down), (end_ns, _) in pairwise(own):
            (down_s if is_down else up_s).append((end_ns - begin_ns) / NS_PER_S)
    assert np.mean(up_s) == pytest.approx(3600, rel=0.05)
    assert np.mean(down_s) == pytest.approx(600, rel=0.05)
    assert np.std(up_s) == pytest.approx(3600, rel=0.1)  # as of an exponential distribution


def test_the_seed_decides_and_one_kind_changes_nothing_for_another() -> None:
    parts = {"nic": NICS, "leaf": ["leaf/0", "leaf/1"]}

    def of_nics(plan: FaultPlan, seed: int) -> list[tuple[int, str, bool]]:
        changes = fault_changes(plan, parts, lambda name: stream(seed, name))
        return list(islice((change for change in changes if change[1] in NICS), 200))

    alone, both = FaultPlan((), (HOURLY,)), FaultPlan((), (FaultRate("leaf", 100.0, 10.0), HOURLY))
    assert of_nics(alone, 1) == of_nics(alone, 1) == of_nics(both, 1)
    assert of_nics(alone, 1) != of_nics(alone, 2)


def test_a_source_is_silent_once_there_is_no_work_and_after_the_end() -> None:
    work = [True]
    source = FaultSource(random_changes(HOURLY, NICS, stream(0, "faults/nic")), lambda: work[0])
    assert source.deadline_ns < NEVER_NS
    work[0] = False
    assert source.deadline_ns == NEVER_NS
    work[0] = True
    source.handle(0, RunEnded(interrupted=True))
    assert source.deadline_ns == NEVER_NS
    assert FaultSource([], lambda: True).deadline_ns == NEVER_NS


def test_what_an_operator_keeps_broken_is_not_repaired_as_planned_and_both_are_told_at_once() -> None:
    source = FaultSource(planned_changes([_fault("a", 1, 5), _fault("b", 1, 5), _fault("c", 2, 9)]), lambda: True)
    kept = {"a"}
    source.kept_broken = kept
    assert said_by(source, 3) == [(1, "fail", ["a", "b"]), (2, "fail", ["c"])]
    assert source.broken == {"a", "b", "c"}
    source.forget(["c"])
    assert said_by(source, 7) == [(6, "repair", ["b"])]
    assert source.broken == set()
