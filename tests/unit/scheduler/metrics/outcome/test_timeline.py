"""The course of a run: its steps say what a count by hand at fine instants says, and add up to the totals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.outcome.timeline import MAX_STEPS, STEP_DIGITS, Timeline, step_for, timeline
from scheduler.metrics.records import Records
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import WorkersLost
from tests.unit.scheduler.metrics.logged import (
    DECODE,
    PREFILL,
    SECOND,
    Request,
    collector_of,
    end_run,
    final,
    moved,
    one_token,
    passed,
    rejected,
    table_of,
    usage,
)

STAGES = ("waiting_prefill", "in_prefill", "in_hand_over", "in_decode")

times_s = st.lists(st.floats(0, 20, allow_nan=False), min_size=5, max_size=5).map(sorted)


def course_of(*requests: Request, end_s: float = 24, messages: tuple[object, ...] = ()) -> Timeline:
    """The time line of a run of these requests and messages."""
    collector = end_run(collector_of(table_of(*requests), (PREFILL, DECODE), *messages), int(end_s * SECOND))
    return timeline(collector, Records(collector.table))


def lasting(stamps_s: list[float], prompt: int = 100, output: int = 30) -> Request:
    """A request with these five times: arrival, prefill, first token, decode, end."""
    arrived, prefill, first, decode, end = (int(at_s * SECOND) for at_s in stamps_s)
    return Request(arrived, prefill, first, decode, end, end, prompt_tokens=prompt, output_tokens=output)


@given(st.floats(0.001, 1e7))
def test_steps_are_round_and_no_more_than_allowed(span_s: float) -> None:
    step_s = step_for(span_s)
    digit = step_s / 10 ** np.floor(np.log10(step_s) + 1e-9)
    assert any(digit == pytest.approx(one) for one in STEP_DIGITS)
    assert span_s <= step_s * MAX_STEPS * (1 + 1e-9)


@given(st.lists(times_s, min_size=1, max_size=12))
def test_stages_are_what_counting_at_many_instants_finds(stamps: list[list[float]]) -> None:
    course = course_of(*map(lasting, stamps))
    seconds = np.diff(np.append(course.columns["time_s"], course.span_s))
    for place, stage in enumerate(STAGES):
        expected = sum(one[place + 1] - one[place] for one in stamps)
        assert np.dot(course.columns[stage], seconds) == pytest.approx(expected, abs=1e-5)
        for at_s in (3.3333, 11.111, 19.777):
            index = int(at_s / course.step_s)
            low, high = index * course.step_s, (index + 1) * course.step_s
            present = sum(max(0.0, min(one[place + 1], high) - max(one[place], low)) for one in stamps)
            assert course.columns[stage][index] == pytest.approx(present / course.step_s, abs=1e-5)


@given(st.lists(times_s, min_size=1, max_size=12), st.integers(1, 4000))
def test_tokens_add_up(stamps: list[list[float]], output: int) -> None:
    requests = [*(lasting(one, output=output) for one in stamps), one_token()]
    began = [passed(one.prefill_started_ns, started=[index]) for index, one in enumerate(requests)]
    course = course_of(*requests, messages=tuple(began))
    seconds = np.diff(np.append(course.columns["time_s"], course.span_s))
    assert np.dot(course.columns["output_tokens_per_s"], seconds) == pytest.approx(output * len(stamps) + 1)
    assert np.dot(course.columns["input_tokens_per_s"], seconds) == pytest.approx(100 * (len(stamps) + 1))
    assert course.columns["lookup_tokens"].sum() == 100 * (len(stamps) + 1)


def test_kv_grows_evenly_from_the_prompt_to_the_end() -> None:
    course = course_of(lasting([0, 1, 2, 4, 14], prompt=1000, output=501))
    kv = course.columns["kv_tokens:decode-0"]
    at_s = course.columns["time_s"] + course.step_s / 2
    is_running = (at_s > 4.1) & (at_s < 13.9)
    assert kv[is_running] == pytest.approx(1001 + (at_s[is_running] - 4) / 10 * 500, abs=1.0)
    assert kv[~is_running & ((at_s < 3.9) | (at_s > 14.1))] == pytest.approx(0, abs=1e-3)


def test_ends_are_counted_by_their_kind_even_at_the_end_of_the_run() -> None:
    late = Request(ended_ns=24 * SECOND, last_token_ns=24 * SECOND)
    failed = Request(reason=FinishReason.INTERRUPTED)
    course = course_of(late, failed, rejected(), rejected(), one_token())
    counts = {name: course.columns[name].sum() for name in ("arrived", "finished", "rejected", "failed")}
    assert counts == {"arrived": 5, "finished": 2, "rejected": 2, "failed": 1}
    assert course.columns["finished"][-1] == 1


def test_bytes_are_spread_over_their_time() -> None:
    messages = (moved(9 * SECOND, 800, 4 * SECOND, Plane.UB), moved(9 * SECOND, 10, 0, Plane.UB))
    course = course_of(messages=messages)
    moved_bytes = course.columns["ub_bytes_per_s"] * course.step_s
    assert moved_bytes.sum() == pytest.approx(810)
    assert course.columns["ub_bytes_per_s"][int(7 / course.step_s)] == pytest.approx(200)
    assert not course.columns["rdma_bytes_per_s"].any()


def test_accounts_are_spread_over_their_time_and_a_lost_worker_draws_nothing() -> None:
    accounts = (
        final(usage(0, 4 * SECOND, 1 * SECOND, 400.0)),
        WorkersLost(["prefill-0"]),
        final(usage(10 * SECOND, 24 * SECOND, 14 * SECOND, 2800.0)),
    )
    course = course_of(messages=accounts)

    def at(name: str, at_s: float) -> float:
        return float(course.columns[f"{name}:prefill-0"][int(at_s / course.step_s)])

    assert (at("watts", 2), at("busy", 2)) == pytest.approx((100.0, 0.25))
    assert (at("watts", 7), at("busy", 7)) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert (at("watts", 15), at("busy", 15)) == pytest.approx((200.0, 1.0))


def test_a_run_without_time_has_no_steps() -> None:
    course = course_of(rejected(), end_s=0)
    assert {len(column) for column in course.columns.values()} == {0}
    assert course.span_s * NS_PER_S == 0
