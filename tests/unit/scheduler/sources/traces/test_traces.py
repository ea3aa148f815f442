"""Good input: what each format's rows mean, and the laws of limit, superposition and rate scale."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.protocol.errors import ConfigError, InputError, TraceError
from scheduler.sources.arrivals import BLOCK_ROWS
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from scheduler.sources.traces.shaping.copies import WINDOW_NS, scale_rate, superpose
from scheduler.sources.traces.wall_time import stamp_to_ns, stamps_to_ns
from tests.unit.scheduler.sources.trace_rows import Request, block_of, mooncake_line, read, requests_of, write_lines

MS = 1_000_000
SECOND = 1_000_000_000


def test_mooncake_rows_count_from_the_first(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.jsonl",
        mooncake_line(27, 1025, 7, hash_ids=[4, 5, 6]),
        mooncake_line(27, 512, 1, hash_ids=[2**40 - 1]),
        mooncake_line(3000, 9, 10**7),
        mooncake_line(3000, 9, 2, hash_ids=[], session_id="a", extra={"top_p": 1}),
        mooncake_line(3001, 9, 2, hash_ids=None, text_input=None, delay=None),
    )
    assert read(path) == [
        Request(0, 1025, 7, (4, 5, 6)),
        Request(0, 512, 1, (2**40 - 1,)),
        Request(2973 * MS, 9, 10**7),
        Request(2973 * MS, 9, 2),
        Request(2974 * MS, 9, 2),
    ]


def test_azure_times_are_exact_to_the_last_digit(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens",
        "2023-11-16 23:59:59.9999999,374,44",
        "2023-11-17 00:00:00.0000000,396,109",
        "2023-11-17 00:00:00.0000001,1,1",
    )
    assert read(path) == [Request(0, 374, 44), Request(100, 396, 109), Request(200, 1, 1)]


def test_azure_columns_are_found_by_name(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.csv",
        "NumImages,GeneratedTokens, ContextTokens ,TIMESTAMP",
        "2,44,374,2024-10-15 00:00:00.5",
        '0,45,"375",2024-10-15T00:00:01',
        "0,46,376,2024-10-15 02:00:02.25+02:00",
    )
    assert read(path) == [
        Request(0, 374, 44),
        Request(SECOND // 2, 375, 45),
        Request(SECOND * 7 // 4, 376, 46),
    ]


def test_burstgpt_failures_are_counted_and_no_requests(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "t.csv",
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type",
        "5,,1.5,ChatGPT,472,18,490,Conversation log",
        "6,,1.5,ChatGPT,472,0,472,API log",
        "45.25,12,1.5,GPT-4,1087,230,1317,Conversation log",
        "46,,0,GPT-4,0,0,0,API log",
    )
    trace = open_trace(str(path), options=TraceOptions())
    assert requests_of(trace.blocks) == [Request(0, 472, 18), Request(40_250 * MS, 1087, 230)]
    assert (trace.skipped.num_failed, trace.skipped.num_bad) == (2, 0)
    assert trace.skipped.lines() == ["left out 2 rows without response tokens (requests that failed in the log)"]


def test_old_burstgpt_releases_have_fewer_columns(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", "Timestamp,Model,Request tokens,Response tokens", "5,GPT-4,4,18")
    assert read(path) == [Request(0, 4, 18)]


@pytest.mark.parametrize("ending", ["", "\n", "\n\n  \n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_line_ends_blank_lines_and_byte_order_marks_mean_nothing(
    tmp_path: Path, start: str, newline: str, ending: str
) -> None:
    lines = [mooncake_line(time, 600, 5, hash_ids=[9, time]) for time in range(3)]
    for path in (tmp_path / "t.jsonl", tmp_path / "t.unknown"):
        path.write_text(start + newline.join(lines) + ending, encoding="utf-8", newline="")
        assert [request.prefix for request in read(path)] == [(9, 0), (9, 1), (9, 2)]


def test_gzip_is_read_as_it_is_whatever_its_name(tmp_path: Path) -> None:
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n"
    for name in ("t.csv.gz", "t.bin"):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
        assert read(tmp_path / name) == [Request(0, 374, 44)]


def test_the_format_can_be_forced(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t", "Timestamp,Request tokens,Response tokens", "1,2,3")
    assert read(path, TraceOptions(format="burstgpt")) == [Request(0, 2, 3)]
    with pytest.raises(TraceError, match=r":1: TIMESTAMP: is not in the header"):
        read(path, TraceOptions(format="azure"))
    with pytest.raises(
        ConfigError,
        match=r"^unknown format 'azur'; did you mean azure\? known: agentic_mooncake, aiperf, azure, bailian, ",
    ):
        read(path, TraceOptions(format="azur"))


@given(st.integers(0, 2_000_000_000), st.integers(0, 9))
def test_both_ways_of_reading_a_time_agree(second: int, digits: int) -> None:
    from datetime import datetime, timedelta

    instant = datetime(1970, 1, 1) + timedelta(seconds=second)
    fraction = f".{123_456_789 % 10**digits:0{digits}}" if digits else ""
    stamp = f"{instant:%Y-%m-%d %H:%M:%S}{fraction}"
    expected = second * SECOND + (int(fraction[1:].ljust(9, "0")) if digits else 0)
    assert stamp_to_ns(stamp) == expected
    assert stamps_to_ns([stamp, stamp]) == [expected, expected]


@given(st.lists(st.text("0123456789-: .TZ+", min_size=19, max_size=27), min_size=1, max_size=3))
def test_no_time_is_taken_by_the_fast_way_alone(stamps: list[str]) -> None:
    fast = stamps_to_ns(stamps)
    if fast is not None:
        assert fast == [stamp_to_ns(stamp) for stamp in stamps]


@pytest.mark.parametrize(
    "stamp", ["2023-02-29 00:00:00", "2023-11-16 24:00:00", "2023-11-16 00:60:00", "1969-12-31 23:59:59"]
)
def test_impossible_times_are_refused_both_ways(stamp: str) -> None:
    assert stamps_to_ns([stamp]) is None
    with pytest.raises(ValueError, match=r"."):
        stamp_to_ns(stamp)


def _spaced_out(line: str) -> str:
    return f" {line} "


def _spaced(line: str) -> str:
    return line.replace(",", ", ")


def _quoted(line: str) -> str:
    return ",".join(f'"{cell}"' for cell in line.split(","))


@pytest.mark.parametrize(
    ("name", "lines", "odd"),
    [
        ("t.jsonl", [mooncake_line(time, 600, 5, hash_ids=[9, time]) for time in range(9)], _spaced_out),
        (
            "t.csv",
            ["Timestamp,Model,Request tokens,Response tokens", *(f'{n}.5,"GPT"4,{n + 1},{n % 3}' for n in range(9))],
            _spaced,
        ),
        (
            "t.csv",
            ["TIMESTAMP,ContextTokens,GeneratedTokens", *(f"2023-11-16 18:15:4{n}.25,{n + 1},7" for n in range(9))],
            _quoted,
        ),
    ],
)
def test_reading_by_batch_and_row_by_row_is_the_same(
    tmp_path: Path, name: str, lines: list[str], odd: Callable[[str], str]
) -> None:
    plain = read(write_lines(tmp_path / name, *lines))
    # An odd but good row sends its whole batch the slow way.
    assert read(write_lines(tmp_path / name, *lines[:-1], odd(lines[-1]))) == plain
    assert len(plain) >= 6


def test_limit_counts_rows_read_and_looks_no_further(tmp_path: Path) -> None:
    lines = [mooncake_line(time) for time in range(5)]
    path = write_lines(tmp_path / "t.jsonl", *lines, "{broken")
    assert len(read(path, TraceOptions(limit=5))) == 5
    assert len(read(path, TraceOptions(limit=3, superpose=4))) == 12
    with pytest.raises(TraceError):
        read(path, TraceOptions(limit=6))
    skipping = write_lines(tmp_path / "s.jsonl", "{broken", *lines)
    assert len(read(skipping, TraceOptions(limit=3, skip_bad=True))) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 0},
        {"superpose": 0},
        {"rate_scale": 0.0},
        {"rate_scale": float("nan")},
        {"rate_scale": float("inf")},
        {"rate_scale": -1.0},
        {"seed": -1},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="; give "):
        TraceOptions(**options)  # pyright: ignore[reportArgumentType]


TIMES = st.lists(st.integers(0, 200 * SECOND), min_size=1, max_size=40).map(
    lambda times: [time - min(times) for time in sorted(times)]
)


@given(times=TIMES, copies=st.integers(1, 7), seed=st.integers(0, 99), split=st.integers(1, 40))
def test_superposition_is_a_stable_merge_of_shifted_copies(
    times: list[int], copies: int, seed: int, split: int
) -> None:
    base = [Request(time, index + 1, index + 2, (index,)) for index, time in enumerate(times)]
    blocks = [block_of(base[start : start + split]) for start in range(0, len(base), split)]
    merged = requests_of(superpose(iter(blocks), copies, seed))
    assert merged[0].arrived_ns == 0
    offsets: list[int] = []
    for copy in range(copies):
        mine = [request for request in merged if request.tenant == copy]
        offsets.append(mine[0].arrived_ns)
        expected = [
            Request(r.arrived_ns + offsets[copy], r.prompt_tokens, r.output_tokens, r.prefix, copy) for r in base
        ]
        assert mine == expected
    assert 0 <= min(offsets) <= max(offsets) < WINDOW_NS
    # (time, copy, row): rows are numbered by their prompt tokens.
    assert merged == sorted(merged, key=lambda request: (request.arrived_ns, request.tenant, request.prompt_tokens))


def test_copies_tell_of_answers_what_their_original_does() -> None:
    block = replace(block_of([Request(0, 1, 1, (7,)), Request(SECOND, 1, 1, (8,))]), answers=[9, -1])
    merged = list(superpose(iter([block]), 3, seed=5))
    told = {
        (tuple(prefix), answer) for part in merged for prefix, answer in zip(part.prefixes, part.answers, strict=True)
    }
    assert told == {((7,), 9), ((8,), -1)}


def test_superposed_copies_share_prefix_lists_and_keep_their_offset_when_more_join() -> None:
    block = block_of([Request(0, 1, 1, (7,)), Request(SECOND, 1, 1, (8,))])
    few = list(superpose(iter([block]), 3, seed=5))
    assert len({id(prefix) for part in few for prefix in part.prefixes}) == 2
    assert requests_of(few) == requests_of(superpose(iter([block]), 3, seed=5))
    assert requests_of(few) != requests_of(superpose(iter([block]), 3, seed=6))
    gaps = [
        {request.tenant: request.arrived_ns for request in reversed(requests_of(superpose(iter([block]), copies, 5)))}
        for copies in (3, 9)
    ]
    assert gaps[0][1] - gaps[0][0] == gaps[1][1] - gaps[1][0]


def test_blocks_stay_small_however_many_copies() -> None:
    base = [Request(index * MS) for index in range(300)]
    blocks = list(superpose(iter([block_of(base)]), 100, seed=0))
    assert sum(map(len, blocks)) == 30_000
    assert max(map(len, blocks)) <= BLOCK_ROWS


@given(times=TIMES, scale=st.floats(0.01, 100))
def test_rate_scale_divides_times_and_changes_nothing_else(times: list[int], scale: float) -> None:
    base = [Request(time, index + 1) for index, time in enumerate(times)]
    scaled = requests_of(scale_rate(iter([block_of(base)]), scale))
    assert [request.prompt_tokens for request in scaled] == [request.prompt_tokens for request in base]
    for before, after in zip(base, scaled, strict=True):
        assert after.arrived_ns <= before.arrived_ns / scale < after.arrived_ns + 1.01


def test_rate_scale_comes_after_superposition(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(0), mooncake_line(10_000))
    plain = read(path, TraceOptions(superpose=5, seed=3))
    scaled = read(path, TraceOptions(superpose=5, seed=3, rate_scale=2.0))
    assert [request.arrived_ns for request in scaled] == [request.arrived_ns // 2 for request in plain]
    assert [request.tenant for request in scaled] == [request.tenant for request in plain]


def test_a_rate_scale_that_overflows_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(0), mooncake_line(3 * 10**12))
    with pytest.raises(InputError, match="give a larger factor"):
        read(path, TraceOptions(rate_scale=0.5))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("w") as file:
        file.write("Timestamp,Request tokens,Response tokens\n")
        file.writelines(f"{second},700,9\n" for second in range(200_000))
    tracemalloc.start()
    num_rows = sum(map(len, open_trace(str(path), options=TraceOptions()).blocks))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_rows == 200_000
    assert peak_bytes < 8 * 2**20


def test_mooncake_conversation_is_read_whole(real_trace: Callable[[str], Path]) -> None:
    path = real_trace("mooncake_conversation.jsonl")
    requests = read(path)
    lines = path.read_text().splitlines()
    assert len(requests) == 12_031
    for number in random.Random(0).sample(range(len(lines)), 100):
        row = json.loads(lines[number])
        expected = (row["timestamp"] * MS, row["input_length"], row["output_length"], tuple(row["hash_ids"]), 0)
        request = requests[number]
        assert expected == (
            request.arrived_ns,
            request.prompt_tokens,
            request.output_tokens,
            request.prefix,
            request.tenant,
        )


def test_azure_conversation_is_read_whole(real_trace: Callable[[str], Path]) -> None:
    requests = read(real_trace("azure2023_conv.csv"))
    assert len(requests) == 19_366
    assert requests[1] == Request(4_314_579_000, 396, 109)
    assert requests[-1] == Request(3_501_721_937_000, 197, 183)
