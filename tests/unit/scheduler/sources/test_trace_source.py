"""The trace component: one message an instant, nothing lost, lazily, and the end said once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Priority
from scheduler.protocol.errors import TraceError
from scheduler.protocol.messages import ArrivalsEnded, RequestsArrived, RunEnded
from scheduler.protocol.sealed_payload import open_output_tokens
from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.trace_source import TraceSource
from tests.unit.scheduler.sources.trace_rows import Request, block_of, trace_of


def play(source: TraceSource) -> list[list[Request]]:
    """The requests of each instant; checks deadlines, addresses and the one end."""
    instants: list[list[Request]] = []
    while source.deadline_ns != NEVER_NS:
        now_ns = source.deadline_ns
        outputs = source.wake(now_ns)
        assert now_ns < source.deadline_ns
        (address, message), *rest = outputs
        assert address == "core"
        assert isinstance(message, RequestsArrived)
        assert message.block_tokens == 512
        columns = zip(message.prompt_tokens, message.payloads, message.prefixes, message.tenants, strict=True)
        instants.append(
            [
                Request(now_ns, tokens, open_output_tokens(payload), tuple(prefix), tenant)
                for tokens, payload, prefix, tenant in columns
            ]
        )
        if source.deadline_ns == NEVER_NS:
            assert [(to, type(said)) for to, said in rest] == [("core", ArrivalsEnded)]
        else:
            assert not rest
    return instants


@given(
    gaps=st.lists(st.sampled_from([0, 0, 1, 7]), min_size=1, max_size=40),
    cuts=st.lists(st.integers(1, 6), min_size=40, max_size=40),
)
def test_every_instant_is_one_message_however_blocks_are_cut(gaps: list[int], cuts: list[int]) -> None:
    requests = [Request(sum(gaps[1 : n + 1]), n + 1, n + 2, (n,) * (n % 3), n % 2) for n in range(len(gaps))]
    blocks: list[list[Request]] = []
    start = 0
    for size in cuts:
        if start < len(requests):
            blocks.append(requests[start : start + size])
            start += size
    expected = [list(group) for _, group in groupby(requests, key=lambda request: request.arrived_ns)]
    assert play(TraceSource(trace_of(*blocks))) == expected


def test_one_request_is_said_with_the_end() -> None:
    assert play(TraceSource(trace_of([Request(0, 3, 4)]))) == [[Request(0, 3, 4)]]


def test_a_long_run_of_one_instant_costs_no_more_than_its_rows() -> None:
    blocks = [[Request(0, number + 1)] * 100 for number in range(200)]
    assert [len(instant) for instant in play(TraceSource(trace_of(*blocks, [Request(1)])))] == [20_000, 1]


def test_blocks_are_pulled_when_needed_and_never_changed() -> None:
    block = block_of([Request(0), Request(1)])
    pulled: list[int] = []

    def blocks() -> Iterator[ArrivalBlock]:
        for number in range(3):
            pulled.append(number)
            yield block_of([Request(2 * number), Request(2 * number + 1)])
        yield block

    source = TraceSource(Trace("made", 512, None, blocks()))
    assert pulled == [0]
    source.wake(0)
    assert pulled == [0]
    source.wake(1)
    assert pulled == [0, 1]
    assert len(block) == 2


def test_a_source_wakes_first_and_falls_silent_at_the_end_of_a_run() -> None:
    source: Component = TraceSource(trace_of([Request(0), Request(5)]))
    assert (source.address, source.priority, source.deadline_ns) == ("source", Priority.SOURCE, 0)
    source.wake(0)
    assert source.deadline_ns == 5
    assert source.handle(3, RunEnded(interrupted=True)) == NOTHING
    assert source.deadline_ns == NEVER_NS


def test_an_error_of_the_trace_passes_through() -> None:
    def blocks() -> Iterator[ArrivalBlock]:
        yield block_of([Request(0), Request(1)])
        raise TraceError("t.jsonl", 3, "timestamp", "is missing", "give it")

    source = TraceSource(Trace("made", 512, None, blocks()))
    source.wake(0)
    with pytest.raises(TraceError, match=r"t\.jsonl:3: timestamp"):
        source.wake(1)
