"""Instances come and go by the messages by which they are lost and join, and nothing is lost with them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from scheduler.core.lifecycle import State
from scheduler.core.scaling.placement import Phase
from scheduler.core.scaling.rules import DRAIN_CHECK_NS, InstanceSlot, ScalingRules
from scheduler.core.scaling.scaler import MAX_QUIET_INTERVALS, Scaler
from scheduler.policies.scaling_view import ScalingView, Wanted
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import (
    ArrivalsEnded,
    DrainInstances,
    FleetScaled,
    Message,
    PartsChanged,
    RunEnded,
    ScaleInstances,
    StartInstances,
    StartPrefill,
    StartTransfer,
    StopInstances,
    WorkersLost,
)
from tests.unit.scheduler.core.told import Told

# p1 and d1 would stand on the same NPUs; two more are spare.
SLOTS = (
    InstanceSlot("p0", "prefill", 0, 2),
    InstanceSlot("p1", "prefill", 2, 2),
    InstanceSlot("d0", "decode", 4, 2),
    InstanceSlot("d1", "decode", 2, 2),
)
INTERVAL_NS = 10_000_000_000


class Says:
    """A policy that says what it is told to say, and keeps what it was shown."""

    def __init__(self, **counts: int) -> None:
        self.counts: Mapping[str, int] = counts
        self.views: list[ScalingView] = []

    def wanted(self, view: ScalingView) -> Wanted:
        self.views.append(view)
        return Wanted(self.counts, "said so")


class Fleet(Told):
    """A core of which p1 and d1 are not there at first, and what its scaler knows."""

    def __init__(self, policy: Says | None = None) -> None:
        make = None if policy is None else lambda: policy
        super().__init__(scaling=ScalingRules(SLOTS, frozenset(["p1", "d1"]), 8, make, INTERVAL_NS))
        self.scaler = next(guest for guest in self.core._guests if isinstance(guest, Scaler))

    def phase(self, address: str) -> Phase:
        return self.scaler.book.phase[address]

    def scale(self, **counts: int) -> dict[str, list[Message]]:
        return self.tell(ScaleInstances(list(counts), list(counts.values())))

    def stopped(self, *addresses: str) -> dict[str, list[Message]]:
        return self.tell(WorkersLost(list(addresses), as_commanded=True))

    def come(self, address: str) -> None:
        """Its process is there, and nothing is to be loaded."""
        assert self.start(address)["core"]
        self.join(address)

    def check_drained(self) -> dict[str, list[Message]]:
        assert self.core.deadline_ns <= self.now_ns + DRAIN_CHECK_NS
        return self.wake(self.core.deadline_ns)


def commands(said: Mapping[str, list[Message]]) -> list[Message]:
    return said.get("provisioner", [])


def scaled(said: Mapping[str, list[Message]]) -> FleetScaled:
    (found,) = [one for one in said.get("core", []) if isinstance(one, FleetScaled)]
    return found


def test_who_is_not_there_at_first_gets_nothing() -> None:
    fleet = Fleet()
    for _ in range(4):
        assert set(fleet.arrive()) == {"p0"}
    assert fleet.core.state.decode.up == [0]


def test_one_starts_loads_joins_and_takes_work() -> None:
    fleet = Fleet()
    said = fleet.scale(prefill=2)
    assert commands(said) == [StartInstances(["p1"])]
    assert scaled(said).started == ["p1"]
    assert set(fleet.arrive()) == {"p0"}
    fleet.come("p1")
    assert fleet.phase("p1") is Phase.SERVING
    assert {address for _ in range(2) for address in fleet.arrive()} == {"p0", "p1"}


def test_one_that_is_drained_finishes_what_it_has_and_then_stops() -> None:
    fleet = Fleet()
    fleet.scale(prefill=2)
    fleet.come("p1")
    at = next(iter(fleet.arrive()))
    fleet.arrive()
    said = fleet.tell(DrainInstances([at]))
    assert scaled(said).drained == [at]
    assert all(at not in fleet.arrive() for _ in range(3))
    assert not commands(fleet.check_drained())
    # The pass has ended, but the KV has not left yet.
    fleet.computed(at, [0])
    assert not commands(fleet.check_drained())
    (flow,) = [one for one in fleet.reserved("d0", [0])["fabric"] if isinstance(one, StartTransfer)]
    fleet.moved(flow)
    assert commands(fleet.check_drained()) == [StopInstances([at])]
    fleet.stopped(at)
    assert fleet.phase(at) is Phase.ABSENT
    assert fleet.core.table.retries[0] == 0
    assert fleet.state(0) is State.DECODE_QUEUED
    assert not fleet.core.warnings()


def test_npus_change_their_role_when_those_who_had_them_have_left() -> None:
    fleet = Fleet()
    fleet.scale(prefill=2)
    fleet.come("p1")
    said = fleet.scale(prefill=1, decode=2)
    assert (scaled(said).drained, scaled(said).booked) == (["p1"], ["d1"])
    assert not commands(said)
    assert commands(fleet.check_drained()) == [StopInstances(["p1"])]
    assert commands(fleet.stopped("p1")) == [StartInstances(["d1"])]
    fleet.come("d1")
    assert fleet.core.state.decode.up == [0, 1]
    assert fleet.core.state.prefill.up == [0]


def test_there_is_no_room_for_both_on_the_same_npus() -> None:
    fleet = Fleet()
    said = fleet.scale(prefill=2, decode=2)
    assert commands(said) == [StartInstances(["p1"])]
    assert fleet.phase("d1") is Phase.ABSENT


def test_one_that_leaves_stays_when_it_is_wanted_again() -> None:
    fleet = Fleet()
    fleet.scale(prefill=2)
    fleet.come("p1")
    fleet.arrive(2)
    (leaving,) = scaled(fleet.scale(prefill=1)).drained
    assert all(leaving not in fleet.arrive() for _ in range(2))
    said = fleet.scale(prefill=2)
    assert scaled(said).kept == [leaving]
    assert not commands(said)
    assert leaving in {address for _ in range(2) for address in fleet.arrive()}


def test_one_that_starts_is_cancelled_before_one_that_serves_is_drained() -> None:
    fleet = Fleet()
    fleet.scale(prefill=2)
    said = fleet.scale(prefill=1)
    assert (scaled(said).cancelled, scaled(said).drained) == (["p1"], [])
    assert commands(said) == [StopInstances(["p1"])]
    fleet.stopped("p1")
    assert fleet.phase("p1") is Phase.ABSENT


def test_the_last_that_serves_is_never_drained_for_a_count() -> None:
    fleet = Fleet()
    assert not commands(fleet.scale(prefill=0, decode=0))
    fleet.scale(prefill=2)
    fleet.come("p1")
    fleet.lose("p0")
    fleet.scale(prefill=1)
    assert fleet.phase("p1") is Phase.SERVING
    assert fleet.core.state.prefill.eligible == [1]


def test_one_that_was_lost_while_it_left_does_not_come_back() -> None:
    fleet = Fleet()
    fleet.scale(prefill=2)
    fleet.come("p1")
    fleet.arrive(2)
    fleet.tell(DrainInstances(["p1"]))
    fleet.lose("p1")
    assert commands(fleet.start("p1")) == [StopInstances(["p1"])]
    fleet.stopped("p1")
    assert fleet.phase("p1") is Phase.ABSENT


def test_nobody_starts_on_npus_that_are_cut_off() -> None:
    fleet = Fleet()
    fleet.tell(PartsChanged(0, ["x"], [0] * 3, [1] * 3, ["p1"], [], []))
    assert not commands(fleet.scale(prefill=2))
    fleet.tell(PartsChanged(1, [], [0] * 3, [1] * 3, [], [], []))
    assert commands(fleet.scale(prefill=2)) == [StartInstances(["p1"])]


def test_another_takes_the_place_of_one_that_is_cut_off() -> None:
    fleet = Fleet()
    fleet.tell(PartsChanged(0, ["x"], [0] * 3, [1] * 3, ["p0"], [], []))
    assert commands(fleet.scale(prefill=1)) == [StartInstances(["p1"])]
    assert fleet.phase("p0") is Phase.SERVING


def test_a_policy_is_asked_every_interval_and_shown_what_came_and_who_waits() -> None:
    policy = Says(prefill=2)
    fleet = Fleet(policy)
    fleet.arrive(3)
    assert fleet.core.deadline_ns == INTERVAL_NS
    assert commands(fleet.wake(INTERVAL_NS)) == [StartInstances(["p1"])]
    (view,) = policy.views
    assert (view.now.arrived_requests, view.now.arrived_tokens) == (3, 300)
    prefill, decode = view.now.roles["prefill"], view.now.roles["decode"]
    assert (prefill.serving, prefill.waiting_requests, prefill.outstanding_tokens) == (1, 3, 300)
    assert (decode.serving, decode.outstanding_requests) == (1, 0)
    assert view.now.late_requests == 3
    assert view.spare_npus == 4
    assert view.roles["prefill"].startable == view.roles["decode"].startable == 1
    fleet.passed("p0", started=[0])
    fleet.wake(2 * INTERVAL_NS)
    now = policy.views[1].now
    assert now.arrived_requests == 0
    assert (now.roles["prefill"].starting, now.roles["prefill"].waiting_requests) == (1, 2)
    assert policy.views[1].spare_npus == 2
    assert policy.views[1].roles["decode"].startable == 0


def test_a_run_in_which_nothing_happens_ends_and_one_that_goes_on_is_asked_about_again() -> None:
    policy = Says()
    fleet = Fleet(policy)
    fleet.arrive()
    for _ in range(MAX_QUIET_INTERVALS + 1):
        fleet.wake(fleet.core.deadline_ns)
    assert fleet.core.deadline_ns == NEVER_NS
    fleet.passed("p0", started=[0])
    assert fleet.core.deadline_ns == fleet.now_ns + INTERVAL_NS


@pytest.mark.parametrize("last", [RunEnded(False), ArrivalsEnded()])
def test_nothing_is_due_after_the_last_request(last: Message) -> None:
    fleet = Fleet(Says())
    fleet.tell(last)
    assert fleet.core.deadline_ns == NEVER_NS


def test_an_operator_scales_a_core_that_knew_nothing_of_scaling() -> None:
    told = Told()
    assert set(told.core.instance_phases().values()) == {"serving"}
    said = told.tell(DrainInstances(["p1"]))
    assert scaled(said).drained == ["p1"]
    assert all(set(told.arrive()) == {"p0"} for _ in range(3))
    assert commands(told.wake(told.core.deadline_ns)) == [StopInstances(["p1"])]
    told.tell(WorkersLost(["p1"], as_commanded=True))
    assert told.core.instance_phases() == {"p0": "serving", "p1": "absent", "d0": "serving", "d1": "serving"}
    # The last that serves stays.
    assert not told.tell(DrainInstances(["p0"])).get("core")
    assert commands(told.tell(ScaleInstances(["prefill"], [2]))) == [StartInstances(["p1"])]
    told.start("p1")
    told.join("p1")
    assert "p1" in {address for _ in range(2) for address in told.arrive()}
    told.lose("d0")
    assert told.core.instance_phases()["d0"] == "lost"


def test_who_waits_goes_to_one_that_takes_work_again() -> None:
    fleet = Fleet()
    fleet.scale(prefill=2)
    fleet.come("p1")
    fleet.arrive(2)
    fleet.scale(prefill=1)
    (serving,) = fleet.core.state.prefill.eligible
    fleet.tell(PartsChanged(0, ["x"], [0] * 3, [1] * 3, [f"p{serving}"], [], []))
    assert not any(isinstance(one, StartPrefill) for said in fleet.arrive().values() for one in said)
    said = fleet.scale(prefill=1)
    assert [one.ids for ones in said.values() for one in ones if isinstance(one, StartPrefill)] == [[2]]
