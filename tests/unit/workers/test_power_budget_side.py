"""Instances under a budget whose expert traffic gets a changing share of UB: slower, but never above the budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from deploy.system.instance_physics import InstancePhysics
from scheduler.protocol.component import NEVER_NS, Component, Outputs
from scheduler.protocol.messages import (
    DecodeStepped,
    LinkShare,
    PrefillStepped,
    ReserveKv,
    RunEnded,
    StartDecode,
    StartPrefill,
    Usage,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from workers.decode.instance import DecodeConfig, DecodeInstance
from workers.fabric.expert_load import ExpertLoad
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance

BLUEPRINT = Blueprint(load_settings(None, {"plan": "1x16p+1x16d", "cache": "none", "power_cap": "400kW"}), 512)
PHYSICS = InstancePhysics(BLUEPRINT.settings.hardware, BLUEPRINT.settings.instances, BLUEPRINT.drafting, is_capped=True)
LINE_BYTES_PER_S = 10**11

TOLD = st.lists(st.tuples(st.integers(1, 60), st.sampled_from([20_000, 100_000, 500_000, 1_000_000])), max_size=6)
BUDGETS = st.sampled_from([4_300, 5_000, 6_000, 8_000, 11_000])


def prefill(budget_w: int) -> PrefillInstance:
    """It gets a share of its lines, and keeps that budget."""
    physics = PHYSICS.prefill(16)
    assert physics.throttle is not None
    return PrefillInstance(
        "prefill-0",
        PrefillConfig(16 * 8192, physics.kv_blocks, budget_w),
        physics.cost,
        physics.power,
        expert_load=ExpertLoad("prefill-0", physics.at_shares, physics.line_ns, LINE_BYTES_PER_S),
        throttle=physics.throttle,
    )


def decode(budget_w: int) -> DecodeInstance:
    """It gets a share of its lines, and keeps that budget."""
    physics, steps = PHYSICS.decode(16), PHYSICS.decode(16).steps_at_shares()
    assert physics.throttle is not None
    config = DecodeConfig(
        physics.num_dies, physics.room.kv_blocks, physics.room.sequences, 8, *physics.tokens_per_step, budget_w=budget_w
    )
    expert_load = ExpertLoad("decode-0", steps, (physics.line_ns, 0.0), LINE_BYTES_PER_S)
    return DecodeInstance(
        "decode-0", config, steps.at(1_000_000), physics.power, expert_load=expert_load, throttle=physics.throttle
    )


def play(instance: Component, told: Sequence[tuple[int, int]]) -> tuple[int, list[Usage]]:
    """Tell it shares, each so many milliseconds after the one before; answers when its work ended, and its accounts."""
    usages: list[Usage] = []

    def note(outputs: Outputs) -> None:
        usages.extend(
            said.usage for _, said in outputs if isinstance(said, PrefillStepped | DecodeStepped | UsageReported)
        )

    def wake_until(end_ns: int) -> int:
        woken_ns = 0
        while instance.deadline_ns <= end_ns and instance.deadline_ns != NEVER_NS:
            woken_ns = instance.deadline_ns
            note(instance.wake(woken_ns))
        return woken_ns

    now_ns = last_ns = 0
    for after_ms, share_ppm in told:
        now_ns += after_ms * 1_000_000
        last_ns = max(last_ns, wake_until(now_ns))
        note(instance.handle(now_ns, LinkShare(share_ppm)))
    last_ns = max(last_ns, wake_until(NEVER_NS))
    note(instance.handle(max(now_ns, last_ns), RunEnded(interrupted=False)))
    return last_ns, usages


def pass_of(instance: PrefillInstance, told: Sequence[tuple[int, int]]) -> tuple[int, list[Usage]]:
    """One long pass."""
    instance.handle(0, StartPrefill([1], [60_000], [0], [0], seal_output_tokens([5]), [[]], [0]))
    return play(instance, told)


def assert_kept(usages: Sequence[Usage], budget_w: int) -> None:
    """No account draws more, and none is missing."""
    for usage in usages:
        assert usage.joules <= budget_w * (usage.end_ns - usage.start_ns) * 1e-9
    assert all(one.end_ns == other.start_ns for one, other in pairwise(usages))


@settings(max_examples=40)
@given(told=TOLD, budget_w=BUDGETS)
@example(told=[(1, 20_000), (60, 1_000_000)], budget_w=4_300)
def test_a_pass_keeps_its_budget_whatever_share_it_gets(told: list[tuple[int, int]], budget_w: int) -> None:
    ended_ns, usages = pass_of(prefill(budget_w), told)
    assert_kept(usages, budget_w)
    assert sum(usage.busy_ns for usage in usages) == ended_ns


@given(share_ppm=st.sampled_from([20_000, 100_000, 500_000]), budget_w=BUDGETS)
def test_a_share_from_the_start_is_a_pass_at_that_share(share_ppm: int, budget_w: int) -> None:
    told_first, told_soon = prefill(budget_w), prefill(budget_w)
    told_first.handle(0, LinkShare(share_ppm))
    ended_ns, usages = pass_of(told_first, [])
    told_soon.handle(0, StartPrefill([1], [60_000], [0], [0], seal_output_tokens([5]), [[]], [0]))
    told_soon.wake(0)
    told_soon.handle(0, LinkShare(share_ppm))
    assert told_soon.deadline_ns == ended_ns
    _, same = play(told_soon, [])
    assert abs(sum(u.joules for u in same) - sum(u.joules for u in usages)) <= 1e-6 * sum(u.joules for u in usages)


@settings(max_examples=30)
@given(told=TOLD, budget_w=BUDGETS, sequences=st.integers(1, 200))
def test_steps_keep_their_budget_whatever_share_they_get(
    told: list[tuple[int, int]], budget_w: int, sequences: int
) -> None:
    instance, ids = decode(budget_w), list(range(sequences))
    instance.handle(0, ReserveKv(ids, [2_000] * sequences))
    instance.handle(0, StartDecode(ids, [1] * sequences, seal_output_tokens([40] * sequences)))
    _, usages = play(instance, told)
    assert_kept(usages, budget_w)
