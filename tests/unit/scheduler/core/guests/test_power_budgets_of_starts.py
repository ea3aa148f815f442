"""Under a cap an instance starts when there are watts for it: the others give, and nobody who fits waits for ever."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.guests.power_budgets import PowerBudgets, PowerCap
from scheduler.policies.power import PoweredInstance
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import (
    ArrivalsEnded,
    Message,
    PowerBudgetSet,
    SetPowerBudget,
    StartInstances,
    StopInstances,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

PREFILL = [PoweredInstance(f"prefill-{i}", 100 + i, 500, 70) for i in range(3)]
DECODE = [PoweredInstance(f"decode-{i}", 200, 900, 150) for i in range(2)]
BOTH = [PoweredInstance(f"aggregated-{i}", 150, 700, 90) for i in range(2)]
ALL = [*PREFILL, *DECODE, *BOTH]
ABSENT = frozenset({"prefill-1", "prefill-2", "decode-1", "aggregated-1"})
LEAST_W = sum(one.empty_w if one.address in ABSENT else one.floor_w for one in ALL)

KINDS = ["work", "rest", "confirm", "confirm", "tick", "lose", "start", "start", "come", "stop"]
ACTIONS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(ALL)), max_size=80)


class Fleet:
    """Instances that come and go, and what each draws at most."""

    def __init__(self, cap_w: int) -> None:
        self.cap_w = cap_w
        stages = [
            Stage([InstanceInfo(one.address, 1, 1000) for one in of]) for of in ([*PREFILL, *BOTH], [*DECODE, *BOTH])
        ]
        self.stages = stages
        cap = PowerCap(cap_w, PREFILL, DECODE, 2.0, 0.05, BOTH, ABSENT)
        self.budgets = PowerBudgets(cap, *stages)
        for stage in stages:
            stage.take_down(ABSENT)
        self.kept_w = {one.address: one.floor_w for one in ALL if one.address not in ABSENT}
        self.told_w: dict[str, int] = {}
        self.down: set[str] = set()
        """Who is there and takes no work."""
        self.waiting: set[str] = set()
        self.now_ns = 0

    def take(self, outputs: Outputs) -> None:
        """What is said is so in time."""
        for address, message in outputs:
            match message:
                case SetPowerBudget():
                    assert address in self.kept_w
                    assert address not in self.down | self.told_w.keys()
                    self.told_w[address] = message.budget_w
                case StartInstances():
                    for one in message.addresses:
                        self.waiting.remove(one)
                        self.kept_w[one] = floor_of(one)
                        self.down.add(one)
                case StopInstances() | _:
                    assert isinstance(message, StopInstances)

    def hear(self, message: Message) -> None:
        """The core is told."""
        self.now_ns += 1
        if isinstance(message, WorkersLost):
            for stage in self.stages:
                stage.take_down(message.addresses)
        elif isinstance(message, WorkersJoined):
            for stage in self.stages:
                stage.bring_up([one for one in message.addresses if one in stage.index])
        self.take(self.budgets.after(self.now_ns, message))

    def most_w(self) -> int:
        """What all NPUs may draw, whichever of the instances has taken on its budget already."""
        there = {address: max(kept, self.told_w.get(address, 0)) for address, kept in self.kept_w.items()}
        return sum(there.get(one.address, one.empty_w) for one in ALL)

    def act(self, action: str, one: PoweredInstance) -> None:
        """One thing that may happen to one instance."""
        address, is_there, is_up = one.address, one.address in self.kept_w, False
        is_up = is_there and address not in self.down
        match action:
            case "work" | "rest" if is_up:
                for stage in self.stages:
                    if address in stage.index:
                        stage.outstanding_requests[stage.index[address]] = 1 if action == "work" else 0
                        stage.outstanding_tokens[stage.index[address]] = 1000
                self.hear(ArrivalsEnded())
            case "confirm" if address in self.told_w:
                self.kept_w[address] = self.told_w.pop(address)
                self.hear(PowerBudgetSet(address, self.kept_w[address]))
            case "tick":
                self.take(self.budgets.wake(self.now_ns))
            case "lose" if is_up:
                self.told_w.pop(address, None)
                self.kept_w[address] = one.floor_w
                self.down.add(address)
                self.hear(WorkersLost([address]))
            case "start" if not is_there and address not in self.waiting:
                self.waiting.add(address)
                self.take(self.budgets.start([address]))
            case "come" if is_there and not is_up:
                self.hear(WorkersStarted([address]))
                self.down.remove(address)
                self.hear(WorkersJoined([address]))
            case "stop" if is_there or address in self.waiting:
                self.waiting.discard(address)
                self.take(self.budgets.end([address]))
                if is_there:
                    self.told_w.pop(address, None)
                    del self.kept_w[address]
                self.down.discard(address)
                self.hear(WorkersLost([address], as_commanded=True))
            case _:
                pass

    def confirm_all(self) -> None:
        """Whoever was told takes it on."""
        while self.told_w:
            address = next(iter(self.told_w))
            self.act("confirm", next(one for one in ALL if one.address == address))


def floor_of(address: str) -> int:
    return next(one.floor_w for one in ALL if one.address == address)


@given(spare_w=st.integers(0, 2000), actions=ACTIONS)
def test_the_cap_holds_and_who_fits_starts(spare_w: int, actions: list[tuple[str, PoweredInstance]]) -> None:
    fleet = Fleet(LEAST_W + spare_w)
    has_waited = False
    for action, one in actions:
        fleet.act(action, one)
        assert fleet.most_w() <= fleet.cap_w
        has_waited |= bool(fleet.waiting)
    fleet.confirm_all()
    for one in ALL:  # whoever is down can be told nothing, and is at its floor
        fleet.act("tick", one)
        fleet.confirm_all()
    assert fleet.most_w() <= fleet.cap_w
    for address in fleet.waiting:
        assert not fleet.budgets.fits([*fleet.kept_w, address])
    event(f"somebody waited: {has_waited}, to the end: {bool(fleet.waiting)}")


def test_those_at_work_give_to_who_starts_at_once_and_it_gets_its_share_with_its_first_work() -> None:
    fleet = Fleet(LEAST_W + 600)
    first, _, third = PREFILL
    for one in (first, DECODE[0]):
        for action in ("work", "confirm", "tick", "confirm"):
            fleet.act(action, one)
    fleet.act("tick", first)
    fleet.confirm_all()
    before_w = fleet.kept_w["prefill-0"]
    fleet.act("start", BOTH[1])
    fleet.act("start", third)
    fleet.confirm_all()
    assert not fleet.waiting
    fleet.act("come", third)
    fleet.confirm_all()
    fleet.act("work", third)
    assert fleet.told_w["prefill-2"] > third.floor_w + 50
    fleet.confirm_all()
    fleet.act("tick", third)
    fleet.confirm_all()
    assert fleet.kept_w["prefill-0"] < before_w
    assert abs(fleet.kept_w["prefill-0"] - fleet.kept_w["prefill-2"]) <= 10


def test_what_starts_need_counts_only_those_who_are_there() -> None:
    fleet = Fleet(LEAST_W + 31)
    there = [one.address for one in ALL if one.address not in ABSENT]
    assert fleet.budgets.fits([*there, "prefill-1"])
    assert not fleet.budgets.fits([*there, "prefill-2"])
    assert not fleet.budgets.fits([*there, "prefill-1", "decode-1"])
    fleet.act("start", PREFILL[2])
    fleet.act("tick", PREFILL[2])
    assert fleet.waiting == {"prefill-2"}
    fleet.act("stop", BOTH[0])
    assert not fleet.waiting
