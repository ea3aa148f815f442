"""The cap holds at every instant, however late budgets are confirmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.guests.power_budgets import PowerBudgets, PowerCap
from scheduler.policies.power import PoweredInstance
from scheduler.protocol.component import NEVER_NS, Outputs
from scheduler.protocol.messages import (
    ArrivalsEnded,
    Message,
    PowerBudgetSet,
    SetPowerBudget,
    UsageReported,
    WorkersJoined,
    WorkersLost,
)
from scheduler.protocol.messages import Usage as UsageRow

NUM_PREFILL, NUM_DECODE = 3, 2
PREFILL = [PoweredInstance(f"prefill-{i}", 100 + i, 500 + 10 * i) for i in range(NUM_PREFILL)]
DECODE = [PoweredInstance(f"decode-{i}", 200, 900) for i in range(NUM_DECODE)]
FLOOR_W = sum(one.floor_w for one in (*PREFILL, *DECODE))
NEWS = ArrivalsEnded()

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["work", "rest", "confirm", "confirm", "tick", "lose", "join"]),
        st.integers(0, 4),
        st.booleans(),
    ),
    max_size=60,
)


class Instances:
    """What they keep, and what they were told and have not taken on; `keep` is what counts against the cap."""

    def __init__(self, cap_w: int) -> None:
        stages = [Stage([InstanceInfo(one.address, 1, 1000) for one in of]) for of in (PREFILL, DECODE)]
        self.prefill, self.decode = stages
        self.budgets = PowerBudgets(PowerCap(cap_w, PREFILL, DECODE, 2.0, 0.05), self.prefill, self.decode)
        self.kept_w = {one.address: one.floor_w for one in (*PREFILL, *DECODE)}
        self.told_w: dict[str, int] = {}
        self.now_ns = 0

    def take(self, outputs: Outputs) -> None:
        """Budgets reach instances, which will keep them some time."""
        for address, message in outputs:
            assert isinstance(message, SetPowerBudget)
            assert address not in self.told_w, "one question at a time"
            self.told_w[address] = message.budget_w

    def hear(self, message: Message) -> None:
        """The core hears this."""
        self.now_ns += 1
        self.take(self.budgets.after(self.now_ns, message))

    def most_w(self) -> int:
        """What they may draw together, whichever of them has taken on its budget already."""
        return sum(max(kept, self.told_w.get(address, 0)) for address, kept in self.kept_w.items())

    def act(self, action: str, index: int) -> None:
        """One thing that may happen to one instance."""
        stage, at = (self.prefill, index) if index < NUM_PREFILL else (self.decode, index - NUM_PREFILL)
        address = stage.addresses[at]
        match action:
            case "work" | "rest":
                stage.outstanding_requests[at] = 1 if action == "work" else 0
                stage.outstanding_tokens[at] = 1000
                self.hear(NEWS)
            case "confirm" if address in self.told_w:
                self.kept_w[address] = self.told_w.pop(address)
                self.hear(PowerBudgetSet(address, self.kept_w[address]))
            case "tick":
                self.take(self.budgets.wake(0))
            case "lose" | "join":
                self.told_w.pop(address, None)
                self.kept_w[address] = {one.address: one.floor_w for one in (*PREFILL, *DECODE)}[address]
                self.hear(WorkersLost([address]) if action == "lose" else WorkersJoined([address]))
            case _:
                pass


@given(spare_w=st.integers(0, 3000), actions=ACTIONS)
def test_together_they_never_draw_more(spare_w: int, actions: list[tuple[str, int, bool]]) -> None:
    instances = Instances(FLOOR_W + spare_w)
    for action, index, _ in actions:
        instances.act(action, index)
        assert instances.most_w() <= FLOOR_W + spare_w
        assert all(watts >= 100 for watts in instances.told_w.values())


def test_whoever_gets_work_gets_watts_with_it_and_whoever_rests_gives_them_back() -> None:
    instances = Instances(FLOOR_W + 400)
    instances.act("work", 0)
    assert 100 < instances.told_w["prefill-0"] <= 500
    instances.act("confirm", 0)
    instances.act("work", 1)
    assert instances.told_w["prefill-1"] > 101  # some was kept back for it
    instances.act("confirm", 1)
    instances.act("rest", 0)
    assert instances.told_w["prefill-0"] == 100
    assert instances.budgets.deadline_ns != NEVER_NS
    instances.act("rest", 1)
    assert instances.budgets.deadline_ns == NEVER_NS


def test_a_higher_budget_waits_until_a_lower_one_is_confirmed() -> None:
    instances = Instances(FLOOR_W + 400)
    instances.act("work", 0)
    instances.act("confirm", 0)
    for index in (1, 2, 3, 4):
        instances.act("work", index)
        instances.act("confirm", index)
    kept_w = instances.kept_w["decode-1"]
    instances.act("tick", 0)
    assert instances.told_w["prefill-0"] < instances.kept_w["prefill-0"]
    assert "decode-1" not in instances.told_w or instances.most_w() <= FLOOR_W + 400
    instances.act("confirm", 0)
    assert instances.told_w.get("decode-1", 0) > kept_w


def test_the_end_of_a_run_arms_nothing() -> None:
    instances = Instances(FLOOR_W + 400)
    instances.act("work", 0)
    instances.budgets.wake(0)
    instances.hear(UsageReported("prefill-0", UsageRow(0, 1, 0, 0.0)))
    assert instances.budgets.deadline_ns == NEVER_NS
