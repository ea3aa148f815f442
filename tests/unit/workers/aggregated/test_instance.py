"""What an aggregated instance says at its boundaries; its rules are held by tests/sim."""

from __future__ import annotations

from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import (
    CancelRequests,
    CancelReservations,
    DecodeStepped,
    PrefillStepped,
    ReportUsage,
    RequestsCancelled,
    ReserveKv,
    RunEnded,
    StartPrefill,
    Usage,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.naive.case import IDLE_WATTS, Case, mixed_ps
from tests.sim.build import LinearMixed, decode_config, make_aggregated
from workers.aggregated.instance import AggregatedInstance

CASE = Case((), blocks_per_die=8, slots_per_die=4, step_budget=100)


def instance(case: Case = CASE) -> AggregatedInstance:
    """One with a step of 100 rows."""
    return make_aggregated(case, 0, None, decode_config(case))


def prompts(tokens: list[int], outputs: list[int], first: int = 0) -> StartPrefill:
    ids, zeros = list(range(first, first + len(tokens))), [0] * len(tokens)
    return StartPrefill(ids, tokens, zeros, zeros, seal_output_tokens(outputs), [], [])


def step(engine: AggregatedInstance) -> Outputs:
    return engine.wake(engine.deadline_ns)


def test_a_prompt_becomes_a_sequence_where_it_is() -> None:
    engine = instance()
    engine.handle(0, prompts([60], [2]))
    ((_, begun),) = step(engine)
    assert isinstance(begun, PrefillStepped)
    assert (begun.started_ids, begun.last_chunk_ids) == ([0], [0])
    assert engine.deadline_ns == LinearMixed(CASE).prefill_ns(60, 60 * 61 // 2, 0)
    (_, done), (_, joined) = step(engine)
    assert isinstance(done, PrefillStepped)
    assert isinstance(joined, DecodeStepped)
    assert (done.prefilled_ids, done.computed_tokens, joined.started_ids, joined.kv_tokens) == ([0], 60, [0], 61)
    # All time is accounted for once, by the first message of a boundary.
    assert done.usage.busy_ns == done.boundary_ns == joined.usage.start_ns == joined.usage.end_ns
    ((_, ended),) = step(engine)
    assert isinstance(ended, DecodeStepped)
    assert (ended.finished_ids, ended.finished_tokens, ended.num_steps) == ([0], [2], 1)
    assert engine.is_empty()


def test_sequences_come_first_and_a_step_with_prompts_is_told_by_itself() -> None:
    engine = instance()
    engine.handle(0, prompts([10, 10], [50, 50]))
    step(engine)
    began_ns = engine.deadline_ns
    step(engine)  # two sequences run from now on
    engine.handle(began_ns + 1, prompts([150], [5], first=2))
    (_, begun), (_, ran) = step(engine)
    assert isinstance(begun, PrefillStepped)
    assert isinstance(ran, DecodeStepped)
    # The run before it is closed, though nobody came or went.
    assert (ran.num_running, ran.started_ids, ran.finished_ids) == (2, [], [])
    began_ns = ran.boundary_ns
    (_, chunk), (_, mixed) = step(engine)
    assert isinstance(chunk, PrefillStepped)
    assert isinstance(mixed, DecodeStepped)
    assert chunk.computed_tokens == 100 - 2
    assert (mixed.num_steps, mixed.tokens_per_sequence) == (1, 1)
    prefill_ns = LinearMixed(CASE).prefill_ns(98, 98 * 99 // 2, 0)
    form = LinearMixed(CASE).form(2, ran.kv_tokens)
    assert mixed.boundary_ns - began_ns == mixed_ps(CASE, form.die_step_ps(2, ran.kv_tokens), prefill_ns, 2, 98) // 1000


def test_a_prompt_waits_behind_those_who_asked_for_room_and_begins_when_some_is_given_back() -> None:
    engine = instance(Case((), blocks_per_die=4, slots_per_die=4, step_budget=1000))
    engine.handle(0, ReserveKv([7, 8], [300, 300]))  # one has all of it, the other waits
    engine.handle(0, prompts([20], [5]))
    step(engine)
    assert engine.deadline_ns > 10**18
    engine.handle(5, CancelReservations([8]))
    step(engine)
    assert engine.deadline_ns > 10**18
    engine.handle(9, CancelReservations([7]))
    ((_, begun),) = step(engine)
    assert isinstance(begun, PrefillStepped)
    assert (begun.boundary_ns, begun.started_ids) == (9, [0])


def test_an_idle_instance_accounts_for_its_time() -> None:
    engine = instance()
    assert engine.handle(30, ReportUsage()) == [
        ("core", UsageReported("aggregated-0", Usage(0, 30, 0, 30 * IDLE_WATTS)))
    ]
    assert engine.handle(31, RunEnded(interrupted=False)) == [
        ("core", UsageReported("aggregated-0", Usage(30, 31, 0, IDLE_WATTS)))
    ]


def test_who_is_cancelled_is_dropped_before_it_begins_goes_on_meanwhile_and_leaves_when_it_decodes() -> None:
    engine = instance()
    engine.handle(0, prompts([150, 20], [50, 50]))
    step(engine)  # the first is cut, the second waits
    assert engine.handle(1, CancelRequests([0, 1])) == [("core", RequestsCancelled("aggregated-0", [1]))]
    step(engine)
    step(engine)
    assert not engine.handle(engine.deadline_ns - 1, CancelRequests([0]))
    ((_, ended),) = step(engine)
    assert isinstance(ended, DecodeStepped)
    assert ended.finished_ids == [0]
    assert engine.is_empty()
