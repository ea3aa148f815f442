"""Generated tasks of agents, sessions that wait, and who waits: shapes, shares and prompts are those asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import NO_ANSWER, NO_SESSION
from scheduler.sources.arrivals import ArrivalBlock, Links
from scheduler.sources.clients.groups import ClientGroup, ThinkKind, ThinkTime
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.synthetic.generate import generate
from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.synthetic.workload import (
    AgentRequests,
    ArrivalProcess,
    FieldError,
    LogNormalLengths,
    SessionRequests,
    Workload,
)
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import has_links, open_trace, open_workload

ARRIVALS = ArrivalProcess(rate_per_s=10.0)
PROMPTS = LogNormalLengths(100, 1.0, maximum=4_000)
OUTPUTS = LogNormalLengths(50, 0.5)
SIZE = 32


def agents(num_tasks: int = 400, **changes: Any) -> Workload:
    return Workload("a", AgentRequests(ARRIVALS, PROMPTS, OUTPUTS, num_tasks, **changes), block_tokens=SIZE)


def whole(workload: Workload, seed: int = 0, *, has_links: bool = True) -> ArrivalBlock:
    """All requests as one block."""
    first, *others = generate(workload, seed, SIZE, has_links=has_links)[1]
    for other in others:
        first.extend(other)
    return first


def links_of(block: ArrivalBlock) -> Links:
    assert block.links is not None
    return block.links


def is_near(values: Any, mean: float) -> bool:
    """Whether the mean of draws is that within five standard errors."""
    array = np.array(values, float)
    return abs(array.mean() - mean) <= 5 * array.std() / len(array) ** 0.5


def test_a_task_without_branches_is_a_chain_with_tools_between() -> None:
    block = whole(agents(2_000, branch_share=0.0, mean_turns=4.0, tool_wait_mean_s=3.0, tool_wait_cv=0.5))
    links = links_of(block)
    turns = Counter(links.sessions)
    assert sorted(turns) == list(range(2_000))
    assert is_near(list(turns.values()), 4.0)
    follows = [names for names in links.waits_for if names]
    assert all(names is not None and len(names) == 1 for names in follows)
    delays = [delay for delay, names in zip(links.delays_ns, links.waits_for, strict=True) if names]
    assert is_near(np.array(delays) / 1e9, 3.0)
    assert {delay for delay, names in zip(links.delays_ns, links.waits_for, strict=True) if not names} == {0}
    assert not any(links.resets)


def test_calls_branch_and_join_as_often_and_as_wide_as_asked() -> None:
    shape = {"mean_turns": 6.0, "max_turns": 1_000, "branch_share": 0.3, "fan_out_mean": 3.5, "fan_out_max": 1_000}
    block = whole(agents(1_500, **shape, branch_turns_mean=2.5, branch_turns_max=1_000))
    links, graph = links_of(block), RequestGraph.of([block])
    joins = [len(names) for names in links.waits_for if names and len(names) > 1]
    assert is_near(joins, 3.5)
    assert min(joins) == 2
    # Of the calls of main loops before the last, 30 % branch; each branch has 2.5 calls in the mean.
    num_main = len(block) - round(sum(joins) * 2.5)
    error_of_branches = (sum(joins) * 1.5 * 2.5) ** 0.5
    assert abs(num_main - 1_500 * 6) < 5 * (1_500 * 5 * 6 + error_of_branches**2) ** 0.5
    assert abs(len(joins) - 0.3 * (num_main - 1_500)) < 5 * ((0.3 * 0.7 * num_main) ** 0.5 + 0.3 * error_of_branches)
    assert sum(not count for count in graph.num_waits) == 1_500
    # A call that branches is followed by the first calls of its branches alone, and all of them end in the join.
    fan_out = [len(rows) for rows in graph.followers.values() if len(rows) > 1]
    assert sorted(fan_out) == sorted(joins)


@example(seed=76, system_tokens=0, branch_share=1.0, fresh_share=0.0, max_prompt_tokens=4_200)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 99),
    system_tokens=st.sampled_from([0, 5, 64, 100]),
    branch_share=st.sampled_from([0.0, 0.4, 1.0]),
    fresh_share=st.sampled_from([0.0, 0.5, 1.0]),
    max_prompt_tokens=st.sampled_from([4_200, 131_072]),
)
def test_prompts_hold_the_context_that_they_go_on_from(seed: int, **shape: Any) -> None:
    block = whole(agents(30, mean_turns=4.0, system_groups=2, **shape), seed)
    links = links_of(block)
    graph = RequestGraph.of([block])
    assert len(set(links.keys)) == len(block)
    assert block.arrived_ns == sorted(block.arrived_ns)
    row_of = {key: row for row, key in enumerate(links.keys)}
    system = shape["system_tokens"] // SIZE
    for row, names in enumerate(links.waits_for):
        prompt, prefix = block.prompt_tokens[row], block.prefixes[row]
        assert prompt <= shape["max_prompt_tokens"]
        assert len(prefix) == len(set(prefix)) == -(-prompt // SIZE)
        assert all(block_id < 2 * system for block_id in prefix[:system])
        if not names or len(names) > 1 or links.resets[row]:
            continue
        before = row_of[names[0]]
        assert before < row
        assert links.sessions[before] == links.sessions[row]
        begun = block.prompt_tokens[before] + block.output_tokens[before]
        assert prompt > begun
        first, end = block.prompt_tokens[before] // SIZE, begun // SIZE
        assert prefix[:first] == block.prefixes[before][:first]
        assert block.answers[before] != NO_ANSWER
        assert prefix[first:end] == list(range(block.answers[before], block.answers[before] + end - first))
    # What two tasks share is a system prompt.
    owners: dict[int, int] = {}
    for task, prefix in zip(links.sessions, block.prefixes, strict=True):
        for block_id in prefix[system:]:
            assert owners.setdefault(block_id, task) == task
    if shape["branch_share"] == 1.0:
        assert max(graph.num_waits) > 1


def test_what_joins_branches_goes_on_from_the_call_that_branched_with_their_answers() -> None:
    block = whole(agents(20, branch_share=1.0, mean_turns=5.0))
    links, graph = links_of(block), RequestGraph.of([block])
    row_of = {key: row for row, key in enumerate(links.keys)}
    num_joins = 0
    for row, names in enumerate(links.waits_for):
        if not names or len(names) == 1:
            continue
        num_joins += 1
        call = row_of[names[0]]
        while len(graph.followers[call]) == 1:
            call = row_of[(links.waits_for[call] or [])[0]]
        answered = sum(block.output_tokens[row_of[name]] for name in names)
        begun = block.prompt_tokens[call] + block.output_tokens[call]
        assert block.prompt_tokens[row] > begun + answered
        end = begun // SIZE
        assert (
            block.prefixes[row][: block.prompt_tokens[call] // SIZE]
            == block.prefixes[call][: block.prompt_tokens[call] // SIZE]
        )
        # Sub-agents that share the context share the answer of the call as well, and nothing of each other.
        heirs = [heir for heir in graph.followers[call] if not links.resets[heir]]
        for heir in heirs:
            assert block.prefixes[heir][:end] == block.prefixes[row][:end]
            assert set(block.prefixes[heir][end:]).isdisjoint(block.prefixes[row])
    assert num_joins > 20


def test_system_prompts_have_their_shares() -> None:
    weights = (0.7, 0.2, 0.1)
    block = whole(agents(3_000, mean_turns=1.0, system_groups=3, system_weights=weights, system_tokens=SIZE))
    counts = Counter(prefix[0] for prefix in block.prefixes)
    for group, weight in enumerate(weights):
        assert abs(counts[group] - 3_000 * weight) < 5 * (3_000 * weight * (1 - weight)) ** 0.5


def test_same_seed_same_tasks_and_links_change_nothing_else() -> None:
    workload = agents(60, branch_share=0.3, system_tokens=50)
    one, other = whole(workload, 7), whole(workload, 7)
    assert one == other != whole(workload, 8)
    plain = whole(workload, 7, has_links=False)
    assert plain.links is None
    assert (plain.arrived_ns, plain.prefixes) == (one.arrived_ns, one.prefixes)


def test_a_trace_is_cut_where_nobody_waits_for_what_is_gone() -> None:
    workload = agents(200, branch_share=0.5, answer_s_per_output_token=0.0, tool_wait_mean_s=0.0)
    for num_requests in (1, 37, 500):
        trace = open_workload(workload, TraceOptions(links=True, limit=num_requests))
        assert len(RequestGraph.of(trace.blocks).rows) == num_requests


def test_sessions_wait_for_answers_and_then_think() -> None:
    requests = SessionRequests(ARRIVALS, PROMPTS, OUTPUTS, mean_turns=4.0, think_mean_s=5.0, think_cv=0.5)
    workload = Workload("s", requests, 4_000, block_tokens=SIZE)
    block = whole(workload)
    links, graph = links_of(block), RequestGraph.of([block])
    later = [delay for delay, count in zip(links.delays_ns, graph.num_waits, strict=True) if count]
    assert is_near(np.array(later) / 1e9, 5.0)
    assert sum(not count for count in graph.num_waits) == len(set(links.sessions))
    plain = whole(workload, has_links=False)
    assert (plain.prompt_tokens, plain.prefixes) == (block.prompt_tokens, block.prefixes)
    assert links_of(whole(Workload("i", requests, 3))).waits_for == [None] * 3


def test_requests_that_wait_for_nobody_say_so(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("preset: azure_conversation\nnum_requests: 5\narrivals: {rate_per_s: 1}\n")
    assert not has_links(str(path), TraceOptions())
    trace = open_trace(str(path), options=TraceOptions(links=True))
    graph = RequestGraph.of(trace.blocks)
    assert (graph.sessions, graph.num_waits, trace.clients) == ([NO_SESSION] * 5, [0] * 5, ())


BASE = "arrivals: {rate_per_s: 1}\nprompt_tokens: {mean: 9, cv: 1}\noutput_tokens: {mean: 9, cv: 1}\n"


def workload_file(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "w.yaml"
    path.write_text(BASE + "\n".join(lines) + "\n")
    return str(path)


def test_agents_and_clients_are_read_from_a_file(tmp_path: Path) -> None:
    path = workload_file(
        tmp_path,
        "agents: {num_tasks: 7, tool_wait_mean_s: 500ms, system_groups: 2, system_weights: [1, 3]}",
        "clients:",
        "  interactive: {count: 200, think_s: 5, think_cv: 0.5}",
        "  batch: {count: 20, think: exponential, think_s: 1min, ramp_s: 30}",
    )
    assert has_links(path, TraceOptions())
    workload = load_workload(path)
    assert isinstance(workload.requests, AgentRequests)
    assert (workload.requests.num_tasks, workload.requests.tool_wait_mean_s) == (7, 0.5)
    trace = open_trace(path, options=TraceOptions(links=True))
    assert trace.clients == (
        ClientGroup(200, "interactive", ThinkTime(5.0, ThinkKind.LOGNORMAL, 0.5)),
        ClientGroup(20, "batch", ThinkTime(60.0, ThinkKind.EXPONENTIAL), 30.0),
    )
    assert len({session for block in trace.blocks for session in links_of(block).sessions}) == 7
    assert load_workload(workload_file(tmp_path, "num_requests: 3", "clients: {count: 8}")).clients == (ClientGroup(8),)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("agents: {num_tasks: 0}", "w.yaml:4: agents.num_tasks is 0; give a number from 1"),
        ("agents: {}", "num_requests is missing"),
        ("agents: {num_tasks: 1, fan_out_mean: 1}", "w.yaml:4: agents.fan_out_mean is 1.0; give a number from 2 to 16"),
        ("agents: {num_tasks: 1, branch_share: 2}", "agents.branch_share is 2.0; give a number from 0 to 1"),
        ("agents: {num_tasks: 1, tool_wait: 2}", "agents.tool_wait is not known here; known: "),
        ("agents: {num_tasks: 1, system_weights: [1, 2]}", "system_weights has 2 entries for 1 system prompts"),
        ("agents: {num_tasks: 1, system_weights: [-1]}", "system_weights have no positive sum"),
        ("agents: {num_tasks: 1, system_weights: 3}", "agents.system_weights is 3; give a list of numbers"),
        ("agents: {num_tasks: 1, system_tokens: 200000}", "max_prompt_tokens is 131072, but a first prompt may have"),
        ("clients: {count: 0}", "w.yaml:4: clients.count is 0; give a number from 1 to 1000000"),
        ("clients: {}", "clients.count is missing; give it"),
        ("clients: {a: {count: 1}, b: 3}", "clients.b is 3; give a section of settings"),
        (
            "clients: {a: {count: 1, think: fast}}",
            "clients.a.think is 'fast'; give constant or exponential or lognormal",
        ),
        ("clients: {count: 1, think: exponential, think_cv: 2}", "clients.think_cv is of log-normal think times"),
        ("clients: {count: 1, ramp: 2}", "clients.ramp is not known here"),
    ],
)
def test_what_cannot_be_generated_is_one_line_with_its_place(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_workload(workload_file(tmp_path, line))
    assert told in str(caught.value)


def test_a_workload_of_agents_ends_by_its_tasks_or_its_requests() -> None:
    requests = AgentRequests(ARRIVALS, PROMPTS, OUTPUTS)
    with pytest.raises(FieldError, match="num_requests is missing"):
        Workload("a", requests)
    assert len(whole(Workload("a", requests, 100))) == 100
    assert NO_ANSWER in whole(agents(5)).answers
