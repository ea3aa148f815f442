"""Gaps between tokens, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.core.lifecycle import State
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.protocol.messages import WorkersLost
from tests.unit.scheduler.metrics.logged import DECODE, PREFILL, Request, collector_of, passed, stepped, table_of


def gaps_of(collector: Collector, part_steps: int = 1000) -> list[float]:
    """All gaps in ns, sorted, each as often as it was had."""
    parts = list(TokenGaps(collector).parts(part_steps))
    values, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sorted(np.repeat(values, weights.astype(int)).tolist())


def test_each_running_sequence_has_one_gap_a_step() -> None:
    collector = collector_of(None, (PREFILL, DECODE), stepped(60, [10, 20, 30], running=2))
    assert gaps_of(collector) == pytest.approx([10, 10, 20, 20, 30, 30])


def test_the_first_gap_counts_from_the_first_token() -> None:
    table = table_of(Request(first_token_ns=100, decode_started_ns=150))
    collector = collector_of(table, (PREFILL, DECODE), stepped(150, started=[0]), stepped(210, [10, 20, 30]))
    assert gaps_of(collector) == pytest.approx([20, 30, 60])


def test_a_joiner_replaces_one_of_the_runs_first_steps_only() -> None:
    table = table_of(Request(first_token_ns=0, decode_started_ns=0), Request(first_token_ns=5, decode_started_ns=20))
    run = [stepped(0, started=[0]), stepped(20, [10, 10], started=[1]), stepped(40, [10, 10], running=2)]
    assert gaps_of(collector_of(table, (PREFILL, DECODE), *run)) == pytest.approx([10, 10, 10, 10, 10, 25])


def test_a_run_is_linear_and_keeps_its_time() -> None:
    # Ends tell 10 and 30, so 40 on average makes 60; what is known exactly is the sum, so all stretch to it.
    message = stepped(0, [10, 50, 30])
    assert gaps_of(collector_of(None, (PREFILL, DECODE), message)) == pytest.approx([15, 30, 45])


def test_a_join_that_never_stepped_has_no_gap() -> None:
    table = table_of(Request(first_token_ns=5, decode_started_ns=10))
    collector = collector_of(table, (PREFILL, DECODE), stepped(10, [10], running=3, started=[0]))
    assert gaps_of(collector) == [10, 10, 10]


def test_each_join_finds_the_run_of_its_own_instance() -> None:
    instances = (MeteredInstance("d0", "decode", 1), PREFILL, MeteredInstance("d1", "decode", 1))
    table = table_of(
        Request(first_token_ns=0, decode_started_ns=10, decode_instance=1),
        Request(first_token_ns=4, decode_started_ns=10, decode_instance=0),
    )
    messages = [stepped(10, at="d1", started=[0]), stepped(10, at="d0", started=[1])]
    messages += [stepped(17, [7], at="d0"), stepped(110, [100], at="d1")]
    assert gaps_of(collector_of(table, instances, *messages)) == [13, 110]


def test_preempted_and_resumed() -> None:
    table = table_of(Request(first_token_ns=2, decode_started_ns=5, prompt_tokens=50, cached_tokens=20))
    collector = collector_of(table)
    for message in (passed(0, started=[0]), stepped(5, started=[0]), stepped(25, [10, 10], preempted=[0])):
        collector.before(0, message)
    table.preemptions[0], table.cached_tokens[0], table.last_token_ns[0] = 1, 0, 25  # as the core does
    collector.before(0, passed(100, done=[0]))
    table.last_token_ns[0] = 100
    collector.before(0, stepped(110, started=[0]))
    table.decode_started_ns[0] = 110
    collector.before(0, stepped(125, [15]))
    # To the first step 2..15, the second; recomputed 25..100; joined 110, so 100..125.
    assert gaps_of(collector) == pytest.approx([10, 13, 25, 75])


def test_lost_and_resumed() -> None:
    table = table_of(Request(first_token_ns=2, decode_started_ns=5, prompt_tokens=50, cached_tokens=20))
    collector = collector_of(table)
    for message in (stepped(5, started=[0]), stepped(25, [10, 10])):
        collector.before(0, message)
    table.state[0] = State.DECODING
    collector.before(30, WorkersLost(["decode-0", "fabric"]))
    table.state[0], table.retries[0], table.cached_tokens[0], table.last_token_ns[0] = 0, 1, 0, 25  # as the core
    collector.before(40, WorkersLost(["prefill-0"]))  # it depends on none now
    collector.before(100, passed(100, done=[0]))
    table.last_token_ns[0] = 100
    collector.before(110, stepped(110, started=[0]))
    table.decode_started_ns[0] = 110
    collector.before(125, stepped(125, [15]))
    assert gaps_of(collector) == pytest.approx([10, 13, 25, 75])


@pytest.mark.parametrize("part_steps", [1, 2, 3, 5, 1000])
def test_it_does_not_matter_in_how_many_parts_steps_are_laid_out(part_steps: int) -> None:
    table = table_of(*(Request(first_token_ns=at - 3, decode_started_ns=at) for at in (0, 30, 37)))
    runs = [[10, 10, 10], [7], [1, 2, 3, 4, 5, 6], [9, 9]]
    ends = np.cumsum([sum(run) for run in runs]).tolist()
    messages = [stepped(end, run, running=3) for end, run in zip(ends, runs, strict=True)]
    collector = collector_of(table, (PREFILL, DECODE), *messages)
    assert gaps_of(collector, part_steps) == pytest.approx(gaps_of(collector))
    assert sum(gaps_of(collector)) == pytest.approx(3 * (ends[-1] + 3))


def test_nothing_ran() -> None:
    assert list(TokenGaps(collector_of()).parts()) == []
