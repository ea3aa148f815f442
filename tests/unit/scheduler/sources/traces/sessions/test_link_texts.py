"""What rows wait for is written and read back as the same graph, or what is lost is said; and it is described."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.protocol.errors import TraceError
from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import ArrivalBlock, Links, RowKey, Trace
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.traces.describe import describe
from scheduler.sources.traces.options import OpenedTrace, TraceOptions
from scheduler.sources.traces.registry import has_links, open_trace, open_workload
from scheduler.sources.traces.sessions.statistics import Spread
from scheduler.sources.traces.writers import write_trace
from tests.unit.scheduler.sources.trace_rows import Request, mooncake_line, requests_of, trace_of, write_lines

EXAMPLE = str(Path(__file__).parents[6] / "examples" / "agents.yaml")


@st.composite
def linked_blocks(draw: st.DrawFn, *, is_named: bool) -> ArrivalBlock:
    """Rows in time order that wait for earlier ones: those that they name, or the one before of their session."""
    num = draw(st.integers(1, 12))
    times_ns = sorted(draw(st.lists(st.integers(0, 10**12), min_size=num, max_size=num)))
    links, has_begun = Links(), set[int]()
    for row in range(num):
        session = draw(st.integers(NO_SESSION, 2))
        names: list[RowKey] | None = None
        if is_named and draw(st.booleans()):
            names = list(draw(st.sets(st.integers(0, row - 1), max_size=3))) if row else []
        waits = bool(names) if names is not None else session in has_begun
        has_begun |= {session} - {NO_SESSION}
        links.sessions.append(session)
        links.keys.append(row)
        links.waits_for.append(names)
        links.delays_ns.append(draw(st.integers(0, 10**12)) if waits else 0)
        links.lines.append(0)
        links.resets.append(draw(st.booleans()))
    prompts = [600 * (row + 1) for row in range(num)]
    prefixes = [list(range(1_000 * row, 1_000 * row + -(-prompt // 512))) for row, prompt in enumerate(prompts)]
    times_ns = [time_ns - times_ns[0] for time_ns in times_ns]
    return ArrivalBlock(times_ns, prompts, [5] * num, prefixes, [0] * num, links=links)


def copy_of(block: ArrivalBlock) -> ArrivalBlock:
    return block.part(slice(None))


def read_back(path: Path, **options: Any) -> OpenedTrace:
    assert has_links(str(path), TraceOptions())
    return open_trace(str(path), options=TraceOptions(links=True, **options))


def partition(sessions: Sequence[int]) -> set[frozenset[int]]:
    """Which rows are of one session."""
    return {
        frozenset(row for row, other in enumerate(sessions) if other == session)
        for session in sessions
        if session != NO_SESSION
    }


def is_same(one: RequestGraph, other: RequestGraph) -> bool:
    """Whether two graphs have the same rows that wait for each other in the same way."""
    assert requests_of([one.rows]) == requests_of([other.rows])
    assert one.followers == other.followers
    assert (one.num_waits, one.delays_ns) == (other.num_waits, other.delays_ns)
    return partition(one.sessions) == partition(other.sessions)


@given(block=linked_blocks(is_named=True))
def test_a_graph_that_was_written_reads_back(tmp_path_factory: pytest.TempPathFactory, block: ArrivalBlock) -> None:
    path = tmp_path_factory.mktemp("made") / "t.jsonl"
    written = write_trace(Trace("made", 512, None, iter([copy_of(block)])), str(path))
    assert (written.format, written.lost) == ("agentic_mooncake", ())
    after = open_trace(str(path), options=TraceOptions(links=True, format="agentic_mooncake"))
    assert is_same(RequestGraph.of([copy_of(block)]), RequestGraph.of(after.blocks))


@given(block=linked_blocks(is_named=False))
def test_sessions_are_written_where_a_format_has_them(
    tmp_path_factory: pytest.TempPathFactory, block: ArrivalBlock
) -> None:
    path = tmp_path_factory.mktemp("made") / "t.jsonl"
    block = replace(block, arrived_ns=[time_ns // 10**6 * 10**6 for time_ns in block.arrived_ns])
    assert write_trace(Trace("made", 512, None, iter([copy_of(block)])), str(path), "dynamo").lost == ()
    after = open_trace(str(path), options=TraceOptions(links=True, format="dynamo"))
    assert is_same(RequestGraph.of([copy_of(block)]), RequestGraph.of(after.blocks))


def test_generated_agents_are_written_and_read_back_as_they_were(tmp_path: Path) -> None:
    workload, options = load_workload(EXAMPLE), TraceOptions(links=True, seed=3)
    path = tmp_path / "agents.jsonl"
    written = write_trace(open_workload(workload, options), str(path))
    assert (written.format, written.lost) == ("agentic_mooncake", ())
    trace = read_back(path)
    assert trace.block_tokens == written.tokens_per_id == 128
    before, after = RequestGraph.of(open_workload(workload, options).blocks), RequestGraph.of(trace.blocks)
    assert is_same(before, after)
    first = json.loads(path.read_text().splitlines()[-1])
    assert {"request_id", "session_id", "wait_for", "tool_wait_ms", "hash_ids"} <= set(first)
    assert isinstance(first["request_id"], str)


def test_answers_are_found_along_the_branches_of_what_was_written(tmp_path: Path) -> None:
    path, size = tmp_path / "agents.jsonl", 128
    write_trace(open_workload(load_workload(EXAMPLE), TraceOptions(links=True)), str(path))
    first, *others = read_back(path, finds_answers=True).blocks
    for other in others:
        first.extend(other)
    links, num_found = first.links, 0
    assert links is not None
    row_of = {key: row for row, key in enumerate(links.keys)}
    for row, names in enumerate(links.waits_for):
        if not names or len(names) > 1 or links.resets[row]:
            continue
        before = row_of[names[0]]
        begin, answer = first.prompt_tokens[before] // size, first.answers[before]
        # The last token of an answer has no KV.
        end = (first.prompt_tokens[before] + first.output_tokens[before] - 1) // size
        assert first.prefixes[row][begin:end] == list(range(answer, answer + end - begin))
        num_found += end > begin
    assert num_found > 100


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    calls = Links([0, 0], ["a", "b"], [[], ["a"]], [0, 5], [0, 0], [False, False])
    turns = Links([0, 0], [None, None], [None, None], [0, 5], [0, 0], [False, False])
    nothing = Links([NO_SESSION] * 2, [None, None], [None, None], [0, 0], [0, 0], [False, False])
    all_of_it = ("sessions", "what requests wait for")
    for links, name, lost in (
        (calls, "mooncake", all_of_it),
        (calls, "azure", all_of_it),
        (calls, "aiperf", all_of_it),
        (turns, "mooncake", ()),
        (turns, "aiperf", ("sessions",)),
        (turns, "bailian", ("sessions",)),
        (turns, "azure", ("sessions",)),
        (nothing, "azure", ()),
    ):
        block = ArrivalBlock([0, 10**9], [5, 9], [1, 1], [[], []], [0, 0], links=links)
        written = write_trace(Trace("made", 512, None, iter([block])), str(tmp_path / "t"), name)
        assert (name, written.lost) == (name, lost)


def test_a_trace_without_links_is_written_as_before(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    assert write_trace(trace_of([Request(0)], [Request(5 * 10**6)]), str(path)).format == "mooncake"
    assert "request_id" not in path.read_text()


def test_sessions_and_graphs_are_described(tmp_path: Path) -> None:
    rows = [
        mooncake_line(0, 10, 1, request_id="a", session_id="s"),
        mooncake_line(1, 20, 1, request_id="b", session_id="s", wait_for=["a"], delay=500),
        mooncake_line(1, 20, 1, request_id="c", session_id="s", wait_for=["a"], delay=1500),
        mooncake_line(2, 30, 1, request_id="d", session_id="s", wait_for=["b", "c"]),
        mooncake_line(3, 10, 1, request_id="e", session_id="t"),
        mooncake_line(4, 10, 1),
    ]
    described = describe(read_back(write_lines(tmp_path / "t.jsonl", *rows)))
    found = described.sessions
    assert found is not None
    assert (found.sessions, found.requests_without_session, found.roots) == (2, 1, 3)
    assert (found.turns.mean, found.turns.max) == (2.5, 4)
    assert (found.depth.count, found.depth.mean, found.depth.max) == (3, 5 / 3, 3)
    assert found.fan_out == found.joins == Spread(1, 2.0, 2.0, 2.0, 2.0, 2.0)
    assert (found.waits_s.count, found.waits_s.mean, found.waits_s.max) == (3, 2 / 3, 1.5)
    assert described.to_json()["sessions"]["depth"]["max"] == 3
    assert ("requests that branch, that join", "1 and 1") in described.rows()
    plain = describe(trace_of([Request(0), Request(1)]))
    assert plain.sessions is None
    assert "sessions" not in plain.to_json()
    circle = write_lines(tmp_path / "c.jsonl", mooncake_line(0, request_id="a", wait_for=["a"]))
    with pytest.raises(TraceError, match=r"c.jsonl:1: wait_for: 'a' waits for itself"):
        describe(read_back(circle))
