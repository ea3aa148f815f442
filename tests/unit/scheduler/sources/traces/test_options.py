"""What a user says of a trace, or would have of it: units, names, windows, spreading, tenants, what is shared."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError, InputError, TraceError
from scheduler.runtime.random_streams import stream
from scheduler.sources.traces.describe import describe
from scheduler.sources.traces.options import AssumedSharing, Spreading, TraceOptions
from scheduler.sources.traces.registry import open_trace, trace_start_ns
from scheduler.sources.traces.shaping.assumed_sharing import assume_shared
from scheduler.sources.traces.shaping.timing import spread
from scheduler.sources.traces.time_units import DECIMAL_UNITS, SECONDS
from tests.unit.scheduler.sources.trace_rows import Request, block_of, mooncake_line, read, requests_of, write_lines

MS = 1_000_000
SECOND = 1_000_000_000

BURSTS = ("Timestamp,Request tokens,Response tokens", "0,1,5", "7200,1,5", "72000,2,5", "72000,3,5", "72001,4,5")


@given(st.integers(0, 4 * 10**18), st.sampled_from(sorted(DECIMAL_UNITS)))
def test_decimals_of_every_unit_are_exact(time_ns: int, name: str) -> None:
    unit = DECIMAL_UNITS[name]
    whole, rest = divmod(time_ns, unit.ns_per_unit)
    text = f"{whole}.{rest:0{len(str(unit.ns_per_unit)) - 1}}" if unit.ns_per_unit > 1 else str(time_ns)
    assert unit.read(text) == time_ns
    assert unit.read_all([text, text]) == [time_ns, time_ns]


def test_small_numbers_and_rounding_are_those_of_programs() -> None:
    assert [SECONDS.read(text) for text in ("1e-05", "5.8926549999999995", "1.5E3", "0.0000000005")] == [
        10_000,
        5_892_655_000,
        1500 * SECOND,
        1,
    ]


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("s", 2.5, 2_500 * MS),
        ("ms", 2.5, 2_500_000),
        ("us", 2.5, 2_500),
        ("ns", 7, 7),
        ("s", 1_700_000_000, 0),
        ("wall", "2024-10-15 00:00:02.5", 2_500 * MS),
    ],
)
def test_the_unit_of_times_can_be_named(tmp_path: Path, unit: str, value: object, expected: int) -> None:
    first = {"wall": "2024-10-15 00:00:00.0"}.get(unit, value if expected == 0 else 0)
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(first), mooncake_line(value))
    assert read(path, TraceOptions(time_unit=unit))[1].arrived_ns == expected


def test_unix_seconds_with_decimals_are_no_floats(tmp_path: Path) -> None:
    rows = [f'{{"timestamp": 17000000{n:02}.123456789, "input_length": 9, "output_length": 1}}' for n in (0, 1)]
    requests = read(
        write_lines(tmp_path / "t.jsonl", rows[0], rows[1].replace("789}", "790}").replace("789", "790")),
        TraceOptions(time_unit="s"),
    )
    assert requests[1].arrived_ns == SECOND + 1


def test_columns_can_be_named(tmp_path: Path) -> None:
    table = ("who;start;tokens_in;tokens_out;blocks", "a;10.5;600;7;1 2", "b;11;40;8;", "a;12;600;9;[1, 3]")
    path = write_lines(tmp_path / "t.csv", *table)
    names = "arrived=start,prompt=tokens_in,output=tokens_out,ids=blocks,tenant=who"
    assert read(path, TraceOptions(columns=names)) == [
        Request(0, 600, 7, (1, 2), 1),
        Request(SECOND // 2, 40, 8, (), 2),
        Request(1500 * MS, 600, 9, (1, 3), 1),
    ]
    with pytest.raises(InputError, match=r"t\.csv:1: header: .*--columns arrived=NAME"):
        read(path)
    rows = [
        mooncake_line(0, 600, 5, user=7).replace("input_length", "size"),
        mooncake_line(1, 6, 5).replace("input_length", "size"),
    ]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    assert [r.tenant for r in read(path, TraceOptions(columns="prompt=size,tenant=user"))] == [7, 0]


def test_wall_times_of_named_columns_are_known_as_such(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", "when,n,m", "2024-10-15 00:00:00,5,6", "2024-10-15 00:00:01.5,5,6")
    assert read(path, TraceOptions(columns="arrived=when,prompt=n,output=m"))[1].arrived_ns == 1500 * MS


def test_times_in_a_field_of_json_that_was_named_are_seconds_unless_said(tmp_path: Path) -> None:
    rows = [f'{{"ts": {time}, "input_length": 9, "output_length": 2}}' for time in ("1.5", "3")]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    for unit, expected in ((None, 1500 * MS), ("ms", 1_500_000)):
        trace = open_trace(str(path), options=TraceOptions(columns="arrived=ts", time_unit=unit))
        assert requests_of(trace.blocks)[1].arrived_ns == expected
        assert trace.reading.rows()[:2] == [
            ("format", "columns (found)"),
            ("time unit", f"{unit} (named)" if unit else "s (assumed)"),
        ]


def test_a_default_stands_in_for_output(tmp_path: Path) -> None:
    rows = ['{"timestamp": 0, "input_length": 9}', mooncake_line(1), mooncake_line(2, 600, None)]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    assert [r.output_tokens for r in read(path, TraceOptions(output_length=128))] == [128, 5, 128]
    path = write_lines(tmp_path / "t.csv", "arrived_at,num_prefill_tokens", "0,5", "1.5,6")
    assert [r.output_tokens for r in read(path, TraceOptions(output_length=128))] == [128, 128]


@given(times=st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_sorting_is_stable(tmp_path_factory: pytest.TempPathFactory, times: list[int]) -> None:
    path = tmp_path_factory.mktemp("made") / "t.jsonl"
    write_lines(path, *[mooncake_line(time, index + 1) for index, time in enumerate(times)])
    rows = sorted((time, index + 1) for index, time in enumerate(times))
    expected = [((time - rows[0][0]) * MS, prompt) for time, prompt in rows]
    assert [(r.arrived_ns, r.prompt_tokens) for r in read(path, TraceOptions(sort=True))] == expected
    if times != sorted(times):
        with pytest.raises(TraceError, match="--sort"):
            read(path)


def test_a_window_counts_what_is_before_and_begins_with_its_first(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", *BURSTS)
    trace = open_trace(str(path), options=TraceOptions(from_time="20h"))
    assert [(r.arrived_ns, r.prompt_tokens) for r in requests_of(trace.blocks)] == [(0, 2), (0, 3), (SECOND, 4)]
    assert trace.skipped.lines() == ["left out 2 rows before the window"]
    assert len(read(path, TraceOptions(until_time="7200s"))) == 1
    assert len(read(path, TraceOptions(from_time="1h", until_time="72001s"))) == 3
    with pytest.raises(InputError, match="no request from 108000 s on: those that were read reach to 72001 s; give"):
        read(path, TraceOptions(from_time="30h"))


def test_what_is_behind_a_window_is_not_read(tmp_path: Path) -> None:
    fillers = [mooncake_line(time) for time in range(5000)]
    path = write_lines(tmp_path / "t.jsonl", *fillers, "{broken")
    assert len(read(path, TraceOptions(until_time="1s"))) == 1000


def test_the_clock_of_a_window_is_that_of_its_first_request(tmp_path: Path) -> None:
    rows = [f"2024-10-15 0{hour}:00:00,5,6" for hour in range(4)]
    path = write_lines(tmp_path / "t.csv", "TIMESTAMP,ContextTokens,GeneratedTokens", *rows)
    starts = [trace_start_ns(str(path), TraceOptions(from_time=t, superpose=3)) for t in (None, "90m")]
    assert starts[0] is not None
    assert starts[1] == starts[0] + 7_200 * SECOND


TIMES = st.lists(st.integers(0, 20), min_size=1, max_size=60).map(lambda times: sorted(t * SECOND for t in times))


@given(times=TIMES, is_even=st.booleans(), grid_s=st.sampled_from([None, 1, 3]), split=st.integers(1, 60))
def test_spread_rows_stay_in_order_between_their_stamp_and_the_next(
    times: list[int], is_even: bool, grid_s: int | None, split: int
) -> None:
    base = [Request(time - times[0], index + 1) for index, time in enumerate(times)]
    blocks = [block_of(base[start : start + split]) for start in range(0, len(base), split)]
    how = Spreading(is_even, None if grid_s is None else grid_s * SECOND)
    made = requests_of(spread(iter(blocks), how, SECOND, stream(3, "spread")))
    assert [r.prompt_tokens for r in made] == [r.prompt_tokens for r in base]
    assert made[0].arrived_ns == 0
    assert [r.arrived_ns for r in made] == sorted(r.arrived_ns for r in made)
    if not is_even or grid_s is not None:
        return
    stamps = [*sorted(set(times)), times[-1] + 100 * SECOND]
    for one, other in zip(made, base, strict=True):
        stamp = other.arrived_ns + times[0]
        width = min(stamps[stamps.index(stamp) + 1] - stamp, SECOND)
        mates = [r.prompt_tokens for r in base if r.arrived_ns == other.arrived_ns]
        assert one.arrived_ns == other.arrived_ns + mates.index(one.prompt_tokens) * width // len(mates)


def test_rows_near_a_point_of_a_grid_are_spread_over_it() -> None:
    times = [0, 1, 2999, 3000, 3002, 3003, 6001]
    base = [Request(time * MS, index + 1) for index, time in enumerate(times)]
    made = requests_of(
        spread(iter([block_of(base[:3]), block_of(base[3:])]), Spreading(True, 3 * SECOND), MS, stream(0, "s"))
    )
    expected_ms = [0, 1499.5, 2999, 3749, 4499, 5249, 6001]
    assert [r.arrived_ns / MS for r in made] == expected_ms


def test_rows_of_one_second_are_spread_over_it(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", *BURSTS)
    options = TraceOptions(from_time="72000s", spread="even")
    assert [r.arrived_ns for r in read(path, options)] == [0, SECOND // 2, SECOND]
    drawn = [read(path, TraceOptions(spread="random", seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_tenants_are_numbers_or_names_and_copies_have_their_own(tmp_path: Path) -> None:
    rows = [mooncake_line(n, 600, 5, hash_ids=[1, 2], tenant=tenant) for n, tenant in enumerate((3, 3, 0, None))]
    path = write_lines(tmp_path / "t.jsonl", *rows, mooncake_line(9, 600, 5, hash_ids=[1, 2]))
    assert [r.tenant for r in read(path)] == [3, 3, 0, 0, 0]
    sharing = describe(open_trace(str(path), options=TraceOptions())).sharing
    assert (sharing.distinct_blocks, sharing.hit_blocks) == (4, 6)
    assert sorted({r.tenant for r in read(path, TraceOptions(superpose=2))}) == [0, 1, 6, 7]
    path = write_lines(tmp_path / "n.jsonl", *[mooncake_line(n, tenant=t) for n, t in enumerate(("b", "a", "b", ""))])
    assert [r.tenant for r in read(path)] == [1, 2, 1, 0]


@pytest.mark.parametrize(
    ("tenants", "told"),
    [
        ((1, "a"), "is a name where tenants before had numbers"),
        (("a", 1), "is a number"),
        ((-1,), "no number"),
        (([],), ""),
    ],
)
def test_what_names_no_tenant_is_one_line(tmp_path: Path, tenants: tuple[object, ...], told: str) -> None:
    path = write_lines(tmp_path / "t.jsonl", *[mooncake_line(0, tenant=tenant) for tenant in tenants])
    with pytest.raises(TraceError, match=f"tenant: .*{told}.*; give all tenants as integers"):
        read(path)


@given(prompts=st.lists(st.integers(1, 3000), min_size=1, max_size=50), groups=st.integers(1, 4))
def test_of_a_group_prompts_share_the_shorter_one_s_share(prompts: list[int], groups: int) -> None:
    base = [Request(index, prompt) for index, prompt in enumerate(prompts)]
    sharing = AssumedSharing(0.5, groups)
    made = requests_of(assume_shared(iter([block_of(base)]), sharing, 128, stream(1, "assumed sharing")))
    for one, request in enumerate(made):
        assert len(request.prefix) == -(-request.prompt_tokens // 128)
        for other in made[:one]:
            same = [a == b for a, b in zip(request.prefix, other.prefix, strict=False)]
            common = int(0.5 * min(request.prompt_tokens, other.prompt_tokens)) // 128
            assert sum(same) in (0, common)
            assert all(same[: sum(same)])
    if groups == 1:
        assert len({r.prefix[0] for r in made if r.prompt_tokens >= 256}) <= 1


def test_sharing_is_assumed_only_where_no_ids_say(tmp_path: Path) -> None:
    plain = write_lines(tmp_path / "p.jsonl", *[mooncake_line(n, 1024) for n in range(10)])
    described = describe(open_trace(str(plain), options=TraceOptions(assume_shared="0.5")))
    assert described.block_tokens == 128
    assert described.sharing.hit_tokens == 9 * 512
    assert (
        describe(open_trace(str(plain), options=TraceOptions(assume_shared="0.5", tokens_per_id=512))).block_tokens
        == 512
    )
    with_ids = write_lines(tmp_path / "i.jsonl", mooncake_line(0, 600, 5, hash_ids=[1, 2]))
    with pytest.raises(ConfigError, match="is for traces without ids"):
        read(with_ids, TraceOptions(assume_shared="0.5"))


def test_fields_that_nobody_reads_are_named_with_a_count_or_refused(tmp_path: Path) -> None:
    rows = [mooncake_line(0), mooncake_line(1, foo=1, session_id="s"), mooncake_line(2, bar=None, foo=2)]
    path = write_lines(tmp_path / "t.jsonl", *rows)
    trace = open_trace(str(path), options=TraceOptions())
    assert len(requests_of(trace.blocks)) == 3
    assert trace.skipped.lines() == [
        "fields that are not read: foo (of 2 rows), bar (of 1 rows); --strict refuses them"
    ]
    with pytest.raises(TraceError, match=r":2: foo: is not read; leave the field out, name what it is by --columns"):
        read(path, TraceOptions(strict=True))
    table = write_lines(tmp_path / "t.csv", "arrived_at,num_prefill_tokens,num_decode_tokens,gpu", "0,1,1,x", "1,1,1,y")
    trace = open_trace(str(table), options=TraceOptions())
    assert len(requests_of(trace.blocks)) == 2
    assert trace.skipped.lines() == ["fields that are not read: gpu (of 2 rows); --strict refuses them"]
    with pytest.raises(TraceError, match=r":1: gpu: is not read; leave the column out"):
        read(table, TraceOptions(strict=True))


def test_counts_do_not_depend_on_the_way_of_reading(tmp_path: Path) -> None:
    rows = [mooncake_line(0, foo=1), mooncake_line(1, foo=1), " " + mooncake_line(2, foo=1)]
    trace = open_trace(str(write_lines(tmp_path / "t.jsonl", *rows)), options=TraceOptions())
    assert len(requests_of(trace.blocks)) == 3
    assert dict(trace.skipped.unread) == {"foo": 3}


@pytest.mark.parametrize(
    "options",
    [
        {"time_unit": "min"},
        {"block_ids": "both"},
        {"tokens_per_id": 0},
        {"output_length": 0},
        {"columns": "when=x"},
        {"columns": "prompt"},
        {"columns": "prompt=a,prompt=b"},
        {"from_time": "azure"},
        {"from_time": "-5s"},
        {"from_time": "2h", "until_time": "1h"},
        {"spread": "odd"},
        {"spread": "even:x"},
        {"assume_shared": "1.5"},
        {"assume_shared": "0.5:20"[:0]},
        {"assume_shared": "0.5:groups=0"},
    ],
)
def test_options_that_say_nothing_are_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="; give "):
        TraceOptions(**options)  # pyright: ignore[reportArgumentType]


def test_columns_that_nobody_reads_are_counted_on_both_ways_of_reading(tmp_path: Path) -> None:
    lines = ("arrived_at,num_prefill_tokens,num_decode_tokens,gpu", "0,1,1,x", '"1",1,1,y')
    trace = open_trace(str(write_lines(tmp_path / "t.csv", *lines)), options=TraceOptions())
    assert len(requests_of(trace.blocks)) == 2
    assert dict(trace.skipped.unread) == {"gpu": 2}
