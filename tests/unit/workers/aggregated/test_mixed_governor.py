"""An aggregated instance under a budget, with real physics: no account is above what was kept, and none mixes two."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.component import NEVER_NS, Component, Outputs
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PowerBudgetSet,
    PrefillStepped,
    RunEnded,
    SetPowerBudget,
    StartPrefill,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens

BLUEPRINT = Blueprint(load_settings(None, {"plan": "1x16a", "cache": "none", "power_cap": "400kW"}), 512)
FLOOR_W, PEAK_W = 4_200, 11_000

SCRIPTS = st.lists(
    st.tuples(st.sampled_from(["prompt", "prompt", "budget", "wait"]), st.integers(1, 400), st.floats(0.0, 1.0)),
    min_size=1,
    max_size=15,
)


def command(number: int, action: str, size: int, share: float) -> list[Message]:
    """What an action says to it."""
    if action == "budget":
        return [SetPowerBudget(round(FLOOR_W + share * (PEAK_W - FLOOR_W)))]
    if action == "wait":
        return []
    return [StartPrefill([number], [50 * size], [0], [0], seal_output_tokens([1 + size // 2]), [], [])]


def play(instance: Component, script: list[tuple[str, int, float]]) -> list[tuple[int, Message]]:
    """What it says, and when; an action falls so many seconds after the one before as its share says."""
    said: list[tuple[int, Message]] = []

    def note(now_ns: int, outputs: Outputs) -> None:
        said.extend((now_ns, message) for _, message in outputs)

    now_ns = 0
    for number, (action, size, share) in enumerate(script):
        due_ns = now_ns + round(share * 1e9)
        while instance.deadline_ns <= due_ns:
            now_ns = instance.deadline_ns
            note(now_ns, instance.wake(now_ns))
        now_ns = due_ns
        for message in command(number, action, size, share):
            note(now_ns, instance.handle(now_ns, message))
    while instance.deadline_ns != NEVER_NS:
        now_ns = instance.deadline_ns
        note(now_ns, instance.wake(now_ns))
    note(now_ns, instance.handle(now_ns, RunEnded(interrupted=False)))
    return said


@settings(max_examples=30)
@given(script=SCRIPTS)
def test_no_account_is_above_the_budget_that_was_kept(script: list[tuple[str, int, float]]) -> None:
    power = BLUEPRINT.make_core().state.config.power
    assert power is not None
    budget_w, end_ns, num_confirmed = power.aggregated[0].floor_w, 0, 0
    for at_ns, message in play(BLUEPRINT.make_worker("aggregated-0"), script):
        if isinstance(message, PrefillStepped | DecodeStepped | UsageReported):
            usage = message.usage
            assert usage.start_ns == end_ns
            end_ns = usage.end_ns
            assert usage.joules <= budget_w * (usage.end_ns - usage.start_ns) * 1e-9 * (1 + 1e-9)
        if isinstance(message, PowerBudgetSet):
            assert at_ns == end_ns
            budget_w = message.budget_w
            num_confirmed += 1
    assert bool(num_confirmed) == any(action == "budget" for action, _, _ in script)


def test_a_lower_budget_lengthens_steps_of_both_kinds() -> None:
    lengths_ns: list[int] = []
    for watts in (PEAK_W, 5_000):
        script = [("prompt", 400, 0.0), ("prompt", 300, 0.2)]
        instance = BLUEPRINT.make_worker("aggregated-0")
        instance.handle(0, SetPowerBudget(watts))
        lengths_ns.append(play(instance, script)[-1][0])
    assert lengths_ns[1] > 1.2 * lengths_ns[0]
