"""An aggregated instance under a budget, with real physics: no account is above what was kept, and none mixes two."""

from __future__ import annotations

from hypothesis import given, settings

from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PowerBudgetSet,
    PrefillStepped,
    SetPowerBudget,
    StartPrefill,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.unit.workers.budget_scripts import PEAK_W, SCRIPTS, Script, play

BLUEPRINT = Blueprint(load_settings(None, {"plan": "1x16a", "cache": "none", "power_cap": "400kW"}), 512)


def work(number: int, size: int) -> list[Message]:
    """A request comes."""
    return [StartPrefill([number], [50 * size], [0], [0], seal_output_tokens([1 + size // 2]), [], [])]


@settings(max_examples=30)
@given(script=SCRIPTS)
def test_no_account_is_above_the_budget_that_was_kept(script: Script) -> None:
    power = BLUEPRINT.make_core().state.config.power
    assert power is not None
    budget_w, end_ns, num_confirmed = power.aggregated[0].floor_w, 0, 0
    for at_ns, message in play(BLUEPRINT.make_worker("aggregated-0"), script, work):
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
        script = [("work", 400, 0.0), ("work", 300, 0.2)]
        instance = BLUEPRINT.make_worker("aggregated-0")
        instance.handle(0, SetPowerBudget(watts))
        lengths_ns.append(play(instance, script, work)[-1][0])
    assert lengths_ns[1] > 1.2 * lengths_ns[0]
