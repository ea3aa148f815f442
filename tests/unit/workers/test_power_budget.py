"""Instances under a budget: no report above it, confirmed at a boundary, and the same however steps are grouped."""

from __future__ import annotations

from hypothesis import given, settings
from msgspec.structs import replace

from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PowerBudgetSet,
    PrefillStepped,
    ReserveKv,
    RunEnded,
    SetPowerBudget,
    StartDecode,
    StartPrefill,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.unit.workers.budget_scripts import PEAK_W, SCRIPTS, Script, play
from workers.decode.instance import DecodeInstance

BLUEPRINT = Blueprint(load_settings(None, {"plan": "1x16p+1x16d", "cache": "none", "power_cap": "400kW"}), 512)


def decode(*, skip_steps: bool) -> DecodeInstance:
    """The decode instance of the blueprint, in runs of steps or step by step."""
    made = BLUEPRINT.make_worker("decode-0")
    assert isinstance(made, DecodeInstance)
    if not skip_steps:
        made._config = replace(made._config, max_run_steps=1)
    return made


def work(number: int, size: int) -> list[Message]:
    """A request comes."""
    return [ReserveKv([number], [10 * size]), StartDecode([number], [1], seal_output_tokens([1 + size]))]


@settings(max_examples=30)
@given(script=SCRIPTS)
def test_no_account_is_above_the_budget_that_was_kept(script: Script) -> None:
    budget_w, end_ns = BLUEPRINT.make_core().state.config.power.decode[0].floor_w, 0  # type: ignore[attr-defined, union-attr]
    for at_ns, message in play(decode(skip_steps=True), script, work):
        if isinstance(message, DecodeStepped | UsageReported):
            usage = message.usage
            assert usage.start_ns == end_ns
            end_ns = usage.end_ns
            assert usage.joules <= budget_w * (usage.end_ns - usage.start_ns) * 1e-9 * (1 + 1e-9)
        if isinstance(message, PowerBudgetSet):
            assert at_ns == end_ns
            budget_w = message.budget_w


@settings(max_examples=30)
@given(script=SCRIPTS)
def test_grouping_steps_changes_nothing_under_a_budget(script: Script) -> None:
    runs, steps = (play(decode(skip_steps=skip), script, work) for skip in (True, False))
    assert len(runs) == len(steps)
    for (run_ns, of_run), (step_ns, of_step) in zip(runs, steps, strict=True):
        assert run_ns == step_ns
        if isinstance(of_run, DecodeStepped):
            assert isinstance(of_step, DecodeStepped)
            assert (of_run.finished_ids, of_run.steps_ns) == (of_step.finished_ids, of_step.steps_ns)


def test_a_pass_ends_under_the_budget_that_it_began_with_and_the_next_has_the_new_one() -> None:
    instance = BLUEPRINT.make_worker("prefill-0")
    start = StartPrefill([0, 1], [65536, 65536], [0, 0], [0, 0], seal_output_tokens([5, 5]), [], [])
    assert [type(m) for _, m in instance.handle(0, SetPowerBudget(PEAK_W))] == [PowerBudgetSet]
    instance.handle(0, start)
    instance.wake(0)
    fast_ns = instance.deadline_ns
    assert not instance.handle(1, SetPowerBudget(6000))
    (_, first), (_, confirmed) = instance.wake(fast_ns)
    assert isinstance(first, PrefillStepped)
    assert confirmed == PowerBudgetSet("prefill-0", 6000)
    assert first.usage.joules > 6000 * fast_ns * 1e-9
    slow_ns = instance.deadline_ns - fast_ns
    (_, second), *_ = instance.wake(instance.deadline_ns)
    assert isinstance(second, PrefillStepped)
    assert 1.2 * fast_ns < slow_ns
    assert second.usage.joules <= 6000 * slow_ns * 1e-9


def test_a_pass_that_is_cut_short_draws_no_more_than_it_was_to() -> None:
    instance = BLUEPRINT.make_worker("prefill-0")
    instance.handle(0, SetPowerBudget(5000))
    instance.handle(0, StartPrefill([0], [65536], [0], [0], seal_output_tokens([5]), [], []))
    instance.wake(0)
    ((_, account),) = instance.handle(10_000_000, RunEnded(interrupted=True))
    assert isinstance(account, UsageReported)
    assert 0 < account.usage.joules <= 5000 * 0.01
