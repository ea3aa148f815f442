"""Writing and reading again gives the same trace, for what the format holds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError, InputError, TraceError
from scheduler.sources.arrivals import Trace
from scheduler.sources.traces.encoders import TENANT_IDS
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from scheduler.sources.traces.writers import WrittenTrace, write_trace
from tests.unit.scheduler.sources.trace_rows import Request, block_of, mooncake_line, read, trace_of, write_lines

DAY_NS = 86_400 * 10**9


@st.composite
def request_lists(draw: st.DrawFn, tick_ns: int) -> list[Request]:
    """Rows in time order, from 0 on, in ticks; prefixes that fit or none."""
    gaps = draw(st.lists(st.integers(0, 3 * DAY_NS // tick_ns), min_size=0, max_size=8))
    requests: list[Request] = []
    for count in range(len(gaps) + 1):
        prompt_tokens = draw(st.integers(1, 3000) | st.just(10**7))
        num_blocks = -(-prompt_tokens // 512) if prompt_tokens < 10**7 and draw(st.booleans()) else 0
        start = draw(st.integers(0, 2**20 - 1))
        prefix = tuple(start * 2**20 + 2**10 * count + block for block in range(num_blocks))
        output_tokens = draw(st.integers(1, 10**7))
        requests.append(Request(sum(gaps[:count]) * tick_ns, prompt_tokens, output_tokens, prefix))
    return requests


@given(requests=request_lists(tick_ns=10**6), ending=st.sampled_from([".jsonl", ".jsonl.gz"]))
def test_mooncake_round_trip(tmp_path_factory: pytest.TempPathFactory, requests: list[Request], ending: str) -> None:
    path = tmp_path_factory.mktemp("made") / f"t{ending}"
    written = write_trace(trace_of(requests), str(path))
    assert (written.format, written.requests, written.span_s) == (
        "mooncake",
        len(requests),
        requests[-1].arrived_ns / 1e9,
    )
    assert read(path) == requests


@given(requests=request_lists(tick_ns=100), ending=st.sampled_from([".csv", ".csv.gz"]))
def test_azure_round_trip(tmp_path_factory: pytest.TempPathFactory, requests: list[Request], ending: str) -> None:
    path = tmp_path_factory.mktemp("made") / f"t{ending}"
    write_trace(trace_of(requests), str(path))
    assert read(path) == [Request(r.arrived_ns, r.prompt_tokens, r.output_tokens) for r in requests]


def test_times_are_rounded_down_so_that_order_stays(tmp_path: Path) -> None:
    requests = [Request(0), Request(1_999_999), Request(2_000_099)]
    write_trace(trace_of(requests), str(tmp_path / "t.jsonl"))
    write_trace(trace_of(requests), str(tmp_path / "t.csv"))
    assert [request.arrived_ns for request in read(tmp_path / "t.jsonl")] == [0, 1_000_000, 2_000_000]
    assert [request.arrived_ns for request in read(tmp_path / "t.csv")] == [0, 1_999_900, 2_000_000]


def test_tenants_go_into_block_ids(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(0, 600, 5, hash_ids=[3, 4]))
    write_trace(open_trace(str(path), options=TraceOptions(superpose=3)), str(tmp_path / "three.jsonl"))
    prefixes = {request.prefix for request in read(tmp_path / "three.jsonl")}
    assert prefixes == {(k * TENANT_IDS + 3, k * TENANT_IDS + 4) for k in range(3)}


@pytest.mark.parametrize(
    "requests",
    [
        [Request(0, 1, 1, (TENANT_IDS,)), Request(0, 1, 1, (1,), 1)],
        [Request(0, 1, 1, (1,), 2**12)],
    ],
)
def test_block_ids_that_would_meet_are_refused_and_leave_no_file(tmp_path: Path, requests: list[Request]) -> None:
    with pytest.raises(InputError, match=r"t\.jsonl: block ids of .* do not fit one file; write at most 4096 copies"):
        write_trace(trace_of(*[[request] for request in requests]), str(tmp_path / "t.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_what_ids_stand_for_is_told_only_if_there_are_any(tmp_path: Path) -> None:
    def written(name: str, *requests: Request) -> WrittenTrace:
        return write_trace(Trace("made", 16, None, iter([block_of([one]) for one in requests])), str(tmp_path / name))

    assert written("t.jsonl", Request(0, 9), Request(0, 17, 1, (1, 2))).tokens_per_id == 16
    assert '"input_length": 17, "output_length": 1, "hash_ids": [1, 2]' in (tmp_path / "t.jsonl").read_text()
    assert written("t.csv", Request(0, 17, 1, (1, 2))).tokens_per_id is None
    assert written("t.jsonl", Request(0, 9)).tokens_per_id is None
    assert read(tmp_path / "t.jsonl") == [Request(0, 9)]


def test_equal_traces_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_trace(trace_of([Request(0), Request(10**9)]), str(tmp_path / name))
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode() == (
        '{"timestamp": 0, "input_length": 1, "output_length": 1}\n'
        '{"timestamp": 1000, "input_length": 1, "output_length": 1}\n'
    )


def test_a_trace_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "bad.jsonl", *[mooncake_line(time) for time in range(3000)], "{broken")
    write_lines(tmp_path / "out.csv", "old")
    with pytest.raises(TraceError, match=r":3001: not JSON"):
        write_trace(open_trace(str(tmp_path / "bad.jsonl"), options=TraceOptions()), str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == "old\n"
    assert not (tmp_path / "out.csv.part").exists()


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the ending tells no format; end it in"):
        write_trace(trace_of([Request(0)]), str(tmp_path / "t.txt"))
    with pytest.raises(
        ConfigError, match="format 'servegen' cannot be written; give one of agentic_mooncake, aiperf, "
    ):
        write_trace(trace_of([Request(0)]), str(tmp_path / "t.txt"), "servegen")
    with pytest.raises(InputError, match=r"t\.csv: No such file or directory; give a path that can be written"):
        write_trace(trace_of([Request(0)]), str(tmp_path / "nowhere" / "t.csv"))
    write_trace(trace_of([Request(0)]), str(tmp_path / "t.txt"), "azure")
    assert read(tmp_path / "t.txt") == [Request(0)]
