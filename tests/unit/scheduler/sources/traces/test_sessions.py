"""What rows say of each other: sessions, delays, parents, graphs of calls; and what no client could mean."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError, InputError, TraceError
from scheduler.protocol.messages import NO_ANSWER, NO_SESSION
from scheduler.sources.arrivals import ArrivalBlock, Links
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.traces.options import OpenedTrace, TraceOptions
from scheduler.sources.traces.registry import has_links, open_trace
from scheduler.sources.traces.sessions.histories import Histories
from tests.unit.scheduler.sources.trace_rows import write_lines

MS = 1_000_000


def row_of(timestamp: float | None = None, prompt: int = 9, output: int = 2, /, **more: object) -> str:
    """One row of JSON; without a timestamp it has none."""
    timed = {} if timestamp is None else {"timestamp": timestamp}
    return json.dumps({**timed, "input_length": prompt, "output_length": output, **more})


def opened(path: Path, **options: Any) -> OpenedTrace:
    return open_trace(str(path), options=TraceOptions(links=True, **options))


def one_block(path: Path, **options: Any) -> tuple[ArrivalBlock, Links]:
    """All rows of a file as one block, and its links."""
    first, *others = opened(path, **options).blocks
    for other in others:
        first.extend(other)
    assert first.links is not None
    return first, first.links


def test_turns_of_a_session_wait_for_the_one_before_as_dynamo_writes_them(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        row_of(1000, 20, session_id="a", hash_ids=[1, 2]),
        row_of(None, 30, session_id="a", hash_ids=[1, 2, 3], delay_ms=50),
        row_of(None, 30, session_id="a", hash_ids=[1, 2, 4], delay=50.25, tool_wait_ms=1),
        row_of(1010, 10, session_id=7, hash_ids=[9]),
        row_of(1060, 15, session_id=7, hash_ids=[9, 10]),
        row_of(1020, 5, delay=3),
    )
    block, links = one_block(path, tokens_per_id=10)
    assert block.arrived_ns == [0, 0, 0, 10 * MS, 20 * MS, 60 * MS]
    assert links.sessions == [0, 0, 0, 1, NO_SESSION, 1]
    # What is in no session waits for nobody, whatever delay it has.
    assert links.delays_ns == [0, 50 * MS, 51_250_000, 0, 0, 50 * MS]
    assert links.waits_for == [None] * 6
    assert links.lines == [1, 2, 3, 4, 6, 5]
    assert block.prefixes[1] == [1, 2, 3]


def test_calls_wait_for_those_that_they_name(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        row_of(0.5, request_id="plan", session_id="s", branches=["a", "b"]),
        row_of(500, request_id="a", session_id="s", wait_for=["plan"], tool_wait_ms=3000, prefix_reset=True),
        row_of(request_id="b", session_id="s", wait_for="plan", delay=1, tool_wait_ms=0.5, prefix_reset=True),
        row_of(request_id=4, wait_for=["a", "b"]),
        row_of(100.25, request_id="late", session_id="s", wait_for=[], delay=99),
    )
    trace = opened(path)
    assert trace.reading.format == "agentic_mooncake"
    block, links = one_block(path)
    assert block.arrived_ns == [0, 0, 99_750_000, 499_500_000, 499_500_000]
    by_key = dict(zip(links.keys, zip(links.waits_for, links.delays_ns, links.resets, strict=True), strict=True))
    assert by_key == {
        "plan": ([], 0, False),
        "a": (["plan"], 3000 * MS, True),
        "b": (["plan"], 1_500_000, True),
        4: (["a", "b"], 0, False),
        "late": ([], 0, False),
    }
    graph = RequestGraph.of(trace.blocks)
    assert [graph.num_waits[row] for row in range(5)] == [0, 1, 0, 1, 2]
    assert graph.followers == {0: [1, 3], 3: [4], 1: [4]}


def test_rows_of_bailian_go_on_from_their_parents(tmp_path: Path) -> None:
    turns = [(5, -1, 0.0), (6, 5, 1.5), (7, 5, 2.5), (8, 99, 3.0), (9, 8, 3.0)]
    lines = [
        json.dumps({"chat_id": i, "parent_chat_id": p, "timestamp": t, "input_length": 9, "output_length": 1})
        for i, p, t in turns
    ]
    _, links = one_block(write_lines(tmp_path / "t.jsonl", *lines))
    # The parent of the fourth is not in the trace.
    assert links.waits_for == [[], [5], [5], [], [8]]
    assert links.sessions == [0, 0, 0, 1, 1]
    assert links.delays_ns == [0, 1_500 * MS, 2_500 * MS, 0, 0]


def test_a_session_column_of_a_table_is_read(tmp_path: Path) -> None:
    header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    rows = ["5,x,1,m,35,3,38,c", "6,x,1,m,35,0,35,c", "7.5,y,1,m,35,3,38,c", "8,,1,m,35,3,38,a", "9,x,1,m,40,4,44,c"]
    block, links = one_block(write_lines(tmp_path / "t.csv", header, *rows))
    assert links.sessions == [0, 1, NO_SESSION, 0]
    assert links.delays_ns == [0, 0, 0, 4_000 * MS]
    assert links.lines == [2, 4, 5, 6]
    assert block.prompt_tokens == [35, 35, 35, 40]
    # A quoted cell is read by itself, and to the same.
    quoted = [*rows[:-1], '9,"x",1,m,40,4,44,c']
    assert one_block(write_lines(tmp_path / "q.csv", header, *quoted))[1] == links


def test_rows_of_aiperf_add_to_those_before_and_say_so(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        row_of(0, 4, 2, session_id="s", hash_ids=[1]),
        row_of(None, 2, 1, session_id="s", hash_ids=[2], delay=5),
        row_of(5, 4, 2, session_id="t", hash_ids=[1]),
        row_of(None, 2, 1, session_id="t", hash_ids=[2], delay=5),
    )
    trace = opened(path, tokens_per_id=4)
    told = dict(trace.reading.assumed)
    assert told["sessions"] == "closed loops, each row adds to those before (usual)"
    block, _ = one_block(path, tokens_per_id=4)
    by_length = sorted(zip(block.prompt_tokens, block.prefixes, strict=True), key=lambda pair: pair[0])
    # 4 tokens, an answer of 2, and 2 more; first prompts are the same text, answers are not.
    assert [length for length, _ in by_length] == [4, 4, 8, 8]
    (first, other), (one, two) = ([ids for _, ids in by_length[:2]], [ids for _, ids in by_length[2:]])
    assert first == other == one[:1] == two[:1]
    assert one[1] != two[1]
    assert dict(opened(path, turns="whole", tokens_per_id=4).reading.assumed)["sessions"].endswith("whole (named)")
    delta = opened(path, format="dynamo", turns="delta", tokens_per_id=4)
    assert max(next(delta.blocks).prompt_tokens) == 8


def test_a_context_that_begins_anew_shares_nothing_with_what_was_before(tmp_path: Path) -> None:
    rows = [row_of(0, 8, 2, session_id="s"), row_of(9, 6, 2, session_id="s", prefix_reset=True)]
    for turns in ("delta", "whole"):
        path = write_lines(tmp_path / "t.jsonl", *rows)
        block, _ = one_block(path, tokens_per_id=4, turns=turns)
        assert block.prompt_tokens == [8, 6]
        assert not set(block.prefixes[0]) & set(block.prefixes[1])
        RequestGraph.of(opened(path, tokens_per_id=4, turns=turns).blocks)


def test_blocks_of_made_histories_are_those_of_the_run(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", row_of(0, 10, 9, session_id="s"), row_of(5, 23, 1, session_id="s"))
    trace = opened(path, block_tokens=8, turns="whole")
    assert trace.block_tokens == 8
    assert trace.reading.assumed[-1] == ("ids are", "made here, of histories, for 8 tokens each (of the run)")
    (block,) = trace.blocks
    assert (list(map(len, block.prefixes)), block.answers) == ([2, 3], [])
    assert opened(path, block_tokens=8, tokens_per_id=16, turns="whole").block_tokens == 16


def test_answers_are_where_the_next_prompt_has_them(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        row_of(0, 10, 9, session_id="s"),
        row_of(5, 23, 1, session_id="s"),
        row_of(5, 7, 1),
    )
    block, _ = one_block(path, tokens_per_id=4, turns="whole", finds_answers=True)
    first, second, _ = block.prefixes
    assert second[:2] == first[:2]
    assert second[2:4] == [block.answers[0], block.answers[0] + 1]
    assert block.answers[2] == NO_ANSWER
    assert block.prefixes[2] == []


@given(
    turns=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8),
    size=st.integers(1, 16),
    is_delta=st.booleans(),
)
def test_prompts_hold_the_history_with_its_answers(turns: list[tuple[int, int]], size: int, is_delta: bool) -> None:
    prompts, total = list[int](), 0
    for new, output in turns:
        prompts.append(new if is_delta else total + new)
        total += new + output
    outputs, prefixes = [output for _, output in turns], [list[int]() for _ in turns]
    num = len(turns)
    histories = Histories(size, is_delta=is_delta, finds_answers=True)
    answers = histories.take(prefixes, prompts, outputs, [3] * num, [False] * num)
    total = 0
    for (new, output), prompt in zip(turns, prompts, strict=True):
        assert prompt == total + new
        total += new + output
    for turn, prefix in enumerate(prefixes):
        assert len(prefix) == len(set(prefix)) == -(-prompts[turn] // size)
        if turn:
            before, answer = prompts[turn - 1], answers[turn - 1]
            whole, end = before // size, (before + outputs[turn - 1]) // size
            assert prefix[:whole] == prefixes[turn - 1][:whole]
            assert prefix[whole:end] == list(range(answer, answer + end - whole))
            # The partial last block of a prompt is its own.
            assert set(prefix).isdisjoint(prefixes[turn - 1][whole:])


def test_later_prompts_of_other_sessions_are_nobody_elses(tmp_path: Path) -> None:
    rows = [row_of(at, 9 * (1 + at // 2), 3, session_id=str(at % 2)) for at in range(6)]
    block, _ = one_block(write_lines(tmp_path / "t.jsonl", *rows), tokens_per_id=4, turns="whole")
    ids = [set[int](), set[int]()]
    for row, prefix in enumerate(block.prefixes):
        ids[row % 2].update(prefix)
    assert not ids[0] & ids[1]


def test_rows_need_no_times_where_none_are_used(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", row_of(), row_of(), row_of(3), row_of())
    first, *_ = open_trace(str(path), options=TraceOptions(timeless=True)).blocks
    assert first.arrived_ns == [0, 0, 3 * MS, 3 * MS]
    sessions = write_lines(tmp_path / "s.jsonl", row_of(session_id="a"), row_of(None, 90, session_id="a"), row_of())
    block, links = one_block(sessions, timeless=True, turns="whole")
    assert block.arrived_ns == [0, 0, 0]
    assert links.delays_ns == [0, 0, 0]
    with pytest.raises(TraceError, match=r"t.jsonl:1: timestamp: is missing"):
        open_trace(str(path), options=TraceOptions())


def test_whether_a_file_says_that_its_clients_wait(tmp_path: Path) -> None:
    for fields, waits in (
        ({"delay": 0}, True),
        ({"wait_for": ["a"]}, True),
        ({"tool_wait_ms": 2.5}, True),
        ({"session_id": "a"}, False),
        ({"delay": None, "wait_for": [], "prefix_reset": False}, False),
    ):
        path = write_lines(tmp_path / "t.jsonl", row_of(0), row_of(1, **fields))
        assert has_links(str(path), TraceOptions()) is waits
    with pytest.raises(InputError, match="no such file"):
        has_links(str(tmp_path / "none.jsonl"), TraceOptions())


def test_copies_have_sessions_and_names_of_their_own_and_delays_are_no_rate(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        row_of(0, 9, request_id="a", session_id="s"),
        row_of(1000, 9, request_id=1, session_id="s", wait_for=["a"], tool_wait_ms=500),
        row_of(2000, 9, request_id="b", wait_for=["a", 1]),
    )
    graph = RequestGraph.of(opened(path, superpose=3, rate_scale=2).blocks)
    assert sorted(graph.num_waits) == [0] * 3 + [1] * 3 + [2] * 3
    assert sorted(graph.delays_ns) == [0] * 6 + [500 * MS] * 3
    assert sorted(graph.sessions) == [NO_SESSION] * 3 + [0, 0, 1, 1, 2, 2]
    for before, rows in graph.followers.items():
        tenants = {graph.rows.tenants[row] for row in (before, *rows)}
        assert len(tenants) == 1


BAD_ROWS = [
    ((row_of(0, session_id=[1]),), ":1: session_id: [1] names no turn"),
    ((row_of(0, session_id="s", delay="5"),), ":1: delay: '5' is no number"),
    ((row_of(0, session_id="s", delay=True),), ":1: delay: True is no number"),
    ((row_of(0, session_id="s", delay=-0.5),), ":1: delay: -0.5 is below zero"),
    ((row_of(0, session_id="s", delay_ms=-3),), ":1: delay_ms: -3 is below zero"),
    ((row_of(0, session_id="s", delay=1e300),), ":1: delay: 1e+300 is not a number of milliseconds"),
    ((row_of(0, session_id="s", delay=0, prefix_reset=1),), ":1: prefix_reset: 1 is neither true nor false"),
    ((row_of(0, session_id="s"), row_of(None, session_id="s")), ":2: timestamp: is missing, and so is a delay"),
    ((row_of(None, session_id="s", delay=1),), ":1: timestamp: is missing, and the row waits for no other"),
    (
        (row_of(2000, session_id="s"), row_of(0), row_of(500, session_id="s")),
        ":3: timestamp: time runs back by 1.5 s from the row before of its session",
    ),
    ((row_of(0, request_id="a", wait_for=[["b"]]),), ":1: wait_for[0]: ['b'] names no request"),
    ((row_of(0, request_id="a", wait_for=[None]),), ":1: wait_for: holds a null"),
    ((row_of(0, request_id=[], wait_for="a"),), ":1: request_id: [] names no request"),
    ((row_of(0, session_id="s", sub_requests=[1]),), ":1: sub_requests: "),
]


@pytest.mark.parametrize(("rows", "told"), BAD_ROWS)
def test_a_row_that_no_client_could_mean_is_one_line_with_its_place(
    tmp_path: Path, rows: tuple[str, ...], told: str
) -> None:
    with pytest.raises(TraceError) as caught:
        opened(write_lines(tmp_path / "t.jsonl", *rows))
    assert f"t.jsonl{told}" in str(caught.value)
    assert "; " in str(caught.value)


def test_what_a_run_at_fixed_times_refuses_says_how_it_is_read(tmp_path: Path) -> None:
    for fields, options, fix in (
        ({"delay": 5}, TraceOptions(), "say --sessions closed, or leave the field out"),
        ({"wait_for": ["a"]}, TraceOptions(), "say --sessions closed, or leave the field out"),
        ({"wait_for": ["a"]}, TraceOptions(format="mooncake", links=True), "say --format agentic_mooncake"),
        (
            {"wait_for": ["a"]},
            TraceOptions(format="mooncake"),
            "say --format agentic_mooncake --sessions closed",
        ),
    ):
        with pytest.raises(TraceError) as caught:
            open_trace(str(write_lines(tmp_path / "t.jsonl", row_of(0, **fields))), options=options)
        assert str(caught.value).endswith(f"; {fix}")


def test_what_turns_are_is_said_of_closed_sessions_only(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", row_of(0, session_id="s"))
    with pytest.raises(ConfigError, match="turns is of sessions that are closed loops; say --sessions closed"):
        open_trace(str(path), options=TraceOptions(turns="delta"))
    with pytest.raises(ConfigError, match="turns is 'deltas'; give one of whole, delta"):
        TraceOptions(turns="deltas")
    calls = write_lines(tmp_path / "c.jsonl", row_of(0, request_id="a", wait_for=[]))
    with pytest.raises(ConfigError, match="turns is delta, and each row of an agentic trace is a whole request"):
        opened(calls, turns="delta")


def test_a_window_would_cut_sessions(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", row_of(0, session_id="s"), row_of(9, session_id="s"))
    with pytest.raises(ConfigError, match=r"from and until cut sessions in two.*--sessions open"):
        opened(path, from_time="1ms")


def test_rows_that_cannot_be_played_name_the_file_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    rows = [{"request_id": "a", "timestamp": 0.0, "input_length": 64, "output_length": 8, "wait_for": ["b"]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened = open_trace(str(path), options=TraceOptions(links=True))
    with pytest.raises(TraceError, match=re.escape(f"{path}:1: wait_for: 'b' is the request_id of no row")):
        RequestGraph.of(opened.blocks, opened.place)


@pytest.mark.parametrize(
    ("header", "row"),
    [("num_prefill_tokens,num_decode_tokens", "100,7"), ("output;prompt", "7;100")],
)
def test_a_table_needs_no_times_where_none_are_used(tmp_path: Path, header: str, row: str) -> None:
    path = tmp_path / "lengths.csv"
    path.write_text(f"{header}\n{row}\n{row}\n")
    columns = "prompt=prompt,output=output" if "prompt" in header.split(";") else None
    (block,) = open_trace(str(path), options=TraceOptions(timeless=True, columns=columns)).blocks
    assert (block.prompt_tokens, block.output_tokens) == ([100, 100], [7, 7])
    assert block.arrived_ns == [0, 0]
    with pytest.raises(TraceError, match=r"lengths\.csv:1: header"):
        open_trace(str(path), options=TraceOptions(columns=columns))
