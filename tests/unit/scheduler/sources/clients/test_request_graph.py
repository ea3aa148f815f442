"""A graph of requests is what rows say of each other; what cannot be played is told with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import TraceError
from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import DELAY_NOT_GIVEN, ArrivalBlock, Links, RowKey
from scheduler.sources.clients.request_graph import MAX_PROMPT_TOKENS, RequestGraph

SAME_SESSION = None


def graph_of(
    *rows: tuple[RowKey, list[RowKey] | None],
    sessions: list[int] | None = None,
    delays_ns: list[int] | None = None,
    prompts: list[int] | None = None,
    resets: list[bool] | None = None,
    split: int = 1,
) -> RequestGraph:
    """Of (key, keys that it waits for), one row an instant, in blocks of `split` rows."""
    num = len(rows)
    links = Links(
        sessions or [NO_SESSION] * num,
        [key for key, _ in rows],
        [names for _, names in rows],
        delays_ns or [0] * num,
        list(range(1, num + 1)),
        resets or [False] * num,
    )
    block = ArrivalBlock(list(range(num)), prompts or [1] * num, [1] * num, [[]] * num, [0] * num, links=links)
    blocks = [block.part(slice(start, start + split)) for start in range(0, num, split)]
    return RequestGraph.of(iter(blocks), "t.jsonl")


def test_turns_follow_each_other_and_calls_those_that_they_name() -> None:
    graph = graph_of(
        (None, SAME_SESSION),
        ("a", []),
        (None, SAME_SESSION),
        ("b", ["a", "a"]),
        (None, SAME_SESSION),
        ("c", ["a", "b"]),
        sessions=[0, 1, 0, 1, NO_SESSION, 1],
        delays_ns=[0, 0, DELAY_NOT_GIVEN, 7, 0, DELAY_NOT_GIVEN],
        split=4,
    )
    assert graph.num_waits == [0, 0, 1, 1, 0, 2]
    assert graph.followers == {0: [2], 1: [3, 5], 3: [5]}
    assert graph.delays_ns == [0, 0, 2, 7, 0, 2]
    assert len(graph.rows) == 6


@given(edges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_a_graph_is_played_to_its_end_or_has_a_circle(edges: list[tuple[int, int]]) -> None:
    waits: list[list[RowKey]] = [[] for _ in range(10)]
    for row, before in edges:
        if row != before:
            waits[row].append(before)
    left = set(range(10))
    while ends := [row for row in left if left.isdisjoint(waits[row])]:
        left.difference_update(ends)
    rows: list[tuple[RowKey, list[RowKey] | None]] = list(enumerate(waits))
    if left:
        with pytest.raises(TraceError, match="a circle of"):
            graph_of(*rows)
        return
    graph = graph_of(*rows)
    assert graph.num_waits == [len(set(names)) for names in waits]
    assert {(row, before) for before, after in graph.followers.items() for row in after} == {
        (row, before) for row, names in enumerate(waits) for before in names
    }


def test_what_cannot_be_played_is_one_line_with_its_place() -> None:
    cases: list[tuple[str, list[tuple[RowKey, list[RowKey] | None]]]] = [
        ("t.jsonl:2: wait_for: 'z' is the request_id of no row; ", [("a", []), ("b", ["a", "z"])]),
        ("t.jsonl:2: wait_for: 'b' waits for itself; ", [("a", []), ("b", ["b"])]),
        ("t.jsonl:3: request_id: 'a' is given twice, first in line 1; ", [("a", []), (None, []), ("a", [])]),
        (
            "t.jsonl:2: wait_for: 'b' waits for 'd' waits for 'c' waits for 'b' (a circle of 3 rows); ",
            [("a", []), ("b", ["a", "d"]), ("c", ["b"]), ("d", ["c"]), ("e", ["d"])],
        ),
    ]
    for told, rows in cases:
        with pytest.raises(TraceError) as caught:
            graph_of(*rows)
        assert str(caught.value).startswith(told)


def test_a_long_circle_is_told_in_short() -> None:
    num = 40
    with pytest.raises(TraceError) as caught:
        graph_of(*[(row, [key]) for row, key in zip(range(num), [*range(1, num), 0], strict=True)])
    told = str(caught.value)
    assert "0 waits for 1 waits for 2" in told
    assert "(a circle of 40 rows, and 34 more)" in told
    assert len(told) < 250


def test_numbers_that_no_client_could_mean() -> None:
    with pytest.raises(TraceError, match=r"t.jsonl:2: delay: -0.002 ms is below zero; "):
        graph_of(("a", []), ("b", ["a"]), delays_ns=[0, -2_000])
    with pytest.raises(TraceError, match=r"t.jsonl:1: its prompt has 10,000,001 tokens with all before it"):
        graph_of(("a", []), prompts=[MAX_PROMPT_TOKENS + 1])


def test_a_context_may_shrink_only_where_it_begins_anew() -> None:
    turns: list[tuple[RowKey, list[RowKey] | None]] = [(None, SAME_SESSION)] * 3
    told = (
        r"t.jsonl:3: the session's context shrinks: 5 tokens are fewer than the 9 of the turn before in line 2; .*reset"
    )
    with pytest.raises(TraceError, match=told):
        graph_of(*turns, sessions=[0, 0, 0], prompts=[4, 9, 5])
    graph_of(*turns, sessions=[0, 0, 0], prompts=[4, 9, 5], resets=[False, False, True])
    graph_of(*turns, sessions=[0, 0, 1], prompts=[4, 9, 5])
    calls: list[tuple[RowKey, list[RowKey] | None]] = [("a", []), ("b", ["a"]), ("c", ["a", "b"])]
    with pytest.raises(TraceError, match=r":2: the session's context shrinks"):
        graph_of(*calls, sessions=[0, 0, 0], prompts=[4, 3, 1])
    # What joins branches goes on from none of them alone.
    graph_of(*calls, sessions=[0, 0, 0], prompts=[4, 9, 5])
    graph_of(*calls, sessions=[0, NO_SESSION, 0], prompts=[4, 3, 5])
