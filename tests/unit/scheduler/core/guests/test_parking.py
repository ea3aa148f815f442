"""Whoever is parked had nothing to do for long enough, and so many stay awake as the rule says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.guests.parking import Parking, ParkingRules
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import NEVER_NS, Outputs
from scheduler.protocol.messages import ArrivalsEnded, ParkedSet, RunEnded, SetParked, WorkersJoined, WorkersLost

NUM, IDLE_NS = 5, 100
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["work", "rest", "answer", "answer", "refuse", "lose", "join"]), st.integers(0, NUM - 1)),
    max_size=60,
)


class Fleet:
    """One stage; what it was told and has not answered, and who is parked, in truth."""

    def __init__(self, spare: int) -> None:
        self.stage = Stage([InstanceInfo(f"prefill-{i}", 1, 1000) for i in range(NUM)])
        self.table = RequestTable()
        self.parking = Parking(ParkingRules(IDLE_NS, spare), [self.stage], self.table)
        self.told: dict[int, bool] = {}
        self.idle_since_ns = dict.fromkeys(range(NUM), 0)
        self.now_ns = 0

    def take(self, outputs: Outputs) -> None:
        """Messages reach instances, which will answer."""
        for address, message in outputs:
            assert isinstance(message, SetParked)
            index = self.stage.index[address]
            assert index not in self.told, "one question at a time"
            assert index in self.stage.up
            assert not self.stage.outstanding_requests[index]
            if message.is_parked:
                assert self.now_ns - self.idle_since_ns[index] >= IDLE_NS
            assert (index in self.stage.eligible) is False
            self.told[index] = message.is_parked

    def hear(self, message: ArrivalsEnded | ParkedSet | WorkersLost | WorkersJoined | RunEnded) -> None:
        """The core hears this."""
        if isinstance(message, ParkedSet):
            self.parking.before(self.now_ns, message)
        self.take(self.parking.after(self.now_ns, message))

    def act(self, action: str, index: int) -> None:
        """One thing that may happen to one instance, some time after the last."""
        stage, address = self.stage, self.stage.addresses[index]
        match action:
            case "work" if index in stage.eligible:
                stage.outstanding_requests[index] = 1
            case "rest" if stage.outstanding_requests[index]:
                stage.outstanding_requests[index] = 0
                self.idle_since_ns[index] = self.now_ns
            case "answer" | "refuse" if index in self.told:
                is_parked = self.told.pop(index) and action == "answer"
                self.idle_since_ns[index] = self.now_ns
                self.hear(ParkedSet(address, is_parked))
                return
            case "lose" if index in stage.up:
                stage.take_down([address])
                self.told.pop(index, None)
                self.hear(WorkersLost([address]))
                return
            case "join" if index not in stage.up:
                stage.bring_up([address])
                self.idle_since_ns[index] = self.now_ns
                self.hear(WorkersJoined([address]))
                return
            case _:
                pass
        self.take(self.parking.wake(self.now_ns))


@given(actions=ACTIONS, spare=st.integers(1, 3), steps=st.lists(st.integers(1, 60), min_size=60, max_size=60))
def test_who_is_parked_was_idle_and_enough_stay_awake(
    actions: list[tuple[str, int]], spare: int, steps: list[int]
) -> None:
    fleet = Fleet(spare)
    stage = fleet.stage
    for (action, index), step in zip(actions, steps, strict=False):
        while fleet.parking.deadline_ns <= fleet.now_ns + step:
            assert fleet.parking.deadline_ns > fleet.now_ns
            fleet.now_ns, before_ns = fleet.parking.deadline_ns, fleet.now_ns
            step -= fleet.now_ns - before_ns
            fleet.take(fleet.parking.wake(fleet.now_ns))
        fleet.now_ns += step
        fleet.act(action, index)
        idle = [i for i in stage.eligible if not stage.outstanding_requests[i]]
        waking = sum(not is_parked for is_parked in fleet.told.values())
        asleep = [i for i in stage.up if i not in stage.eligible and i not in fleet.told]
        assert len(idle) + waking >= spare or not asleep


def test_after_the_last_request_nothing_falls_due() -> None:
    fleet = Fleet(1)
    fleet.take(fleet.parking.wake(0))
    assert fleet.parking.deadline_ns == IDLE_NS
    fleet.hear(ArrivalsEnded())
    assert fleet.parking.deadline_ns == NEVER_NS
    fleet.now_ns = 10 * IDLE_NS
    fleet.hear(RunEnded(False))
    assert not fleet.told


def test_it_parks_the_last_and_wakes_the_first() -> None:
    fleet = Fleet(2)
    fleet.take(fleet.parking.wake(0))
    fleet.now_ns = IDLE_NS
    fleet.take(fleet.parking.wake(IDLE_NS))
    assert fleet.told == {4: True, 3: True, 2: True}
    assert fleet.stage.eligible == [0, 1]
    for index in (2, 3, 4):
        fleet.act("answer", index)
    fleet.act("work", 0)
    assert fleet.told == {2: False}
