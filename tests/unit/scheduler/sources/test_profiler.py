"""What is measured of instances, and that it is what their reports said."""

from __future__ import annotations

import pytest

from scheduler.core.estimates.decode_times import DecodeTimes
from scheduler.core.estimates.prefill_times import PrefillTimes
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import InstanceProfiled, WorkersLost
from scheduler.runtime.virtual import VirtualRuntime
from scheduler.sources.profiler import BATCHES, PROMPTS, ProfiledInstance, Profiler, ProfileSource, Starter
from tests.naive.case import Case
from tests.sim.build import LinearCost, LinearEnergy, LinearSteps, decode_config
from workers.decode.instance import DecodeInstance
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance

CASE = Case((), token_budget=40_000, prefill_blocks=1_000, blocks_per_die=4_000, slots_per_die=600, num_dies=2)


def measured(case: Case = CASE) -> tuple[InstanceProfiled, InstanceProfiled, PrefillInstance, DecodeInstance]:
    """One instance of each stage, with the made-up physics of the case."""
    config = PrefillConfig(case.token_budget, case.prefill_blocks, 0)
    prefill = PrefillInstance("p", config, LinearCost(case), LinearEnergy())
    decode = DecodeInstance("d", decode_config(case), LinearSteps(case), LinearEnergy())
    longest, kv_tokens = 128 * case.prefill_blocks, 128 * case.blocks_per_die * case.num_dies
    profiler = Profiler(
        [ProfiledInstance("p", True, longest, longest), ProfiledInstance("d", False, longest, kv_tokens)]
    )
    VirtualRuntime([Starter(), profiler, prefill, decode], "core").run()
    passes, steps = profiler.found()
    assert (passes.instance, steps.instance) == ("p", "d")
    return passes, steps, prefill, decode


def test_passes_and_steps_take_what_the_made_up_physics_say() -> None:
    passes, steps, prefill, decode = measured()
    cost = LinearCost(CASE)
    rows = zip(passes.new_tokens, passes.context_tokens, passes.cached_tokens, passes.taken_ns, strict=True)
    for new, context, cached, taken_ns in rows:
        assert taken_ns == cost.prefill_ns(new, new * context + new * (new + 1) // 2, cached)
    # The longest prompt takes two passes.
    assert len(passes.new_tokens) == len(PROMPTS) + 1 >= 16
    assert passes.new_tokens.count(40_000) == 1
    assert (steps.num_steps, steps.tokens_per_sequence) == (7 * len(BATCHES), 7 * len(BATCHES))
    assert max(steps.sequences) == 512  # with half of the KV, 1,024 would not fit
    # Nothing is left behind.
    assert prefill.free_blocks == CASE.prefill_blocks
    assert decode.deadline_ns == NEVER_NS


def test_an_estimator_predicts_from_the_profile_alone() -> None:
    passes, steps, _, _ = measured()
    times = PrefillTimes([16, 16, 8])
    times.take_profile(0, passes)
    assert [times.num_samples(i) for i in range(3)] == [len(passes.taken_ns)] * 2 + [0]
    cost = LinearCost(CASE)
    for total, cached in ((700, 0), (5_000, 0), (5_000, 3_000), (30_000, 0)):
        new = total - cached
        actual_ns = cost.prefill_ns(new, new * cached + new * (new + 1) // 2, cached)
        assert times.work_ns(total, [cached] * 3)[0] == pytest.approx(actual_ns, rel=0.02)
    decode_times = DecodeTimes([160])
    decode_times.take_profile(0, steps)
    # The slower of two dies: half of the sequences and of their KV.
    step_ns = (CASE.fixed_ps + CASE.sequence_ps * 100 + CASE.kv_ps * 100 * 1000) / 1000
    assert decode_times.tpot_ns(0, 200, 200_000) == pytest.approx(step_ns, rel=0.1)


def test_small_instances_are_asked_for_what_they_can_do() -> None:
    case = Case((), token_budget=300, prefill_blocks=8, blocks_per_die=40, slots_per_die=16)
    passes, steps, _, _ = measured(case)
    assert max(context + new for context, new in zip(passes.context_tokens, passes.new_tokens)) <= 1024
    assert max(steps.context_tokens) <= 128 * 40
    assert len(passes.taken_ns) >= 16


def test_who_is_lost_stays_unmeasured() -> None:
    profiler = Profiler([ProfiledInstance("p", True, 1000, 1000)])
    assert profiler.handle(5, WorkersLost(["p"])) == ()
    assert profiler.found() == []
    assert profiler.deadline_ns == NEVER_NS


def test_the_core_is_told_once() -> None:
    passes, steps, _, _ = measured()
    source = ProfileSource([passes, steps])
    assert source.deadline_ns == 0
    assert source.wake(0) == (("core", passes), ("core", steps))
    assert source.deadline_ns == NEVER_NS
