"""A made-up file in each public dialect: it is found, read and described, and written as every other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.protocol.errors import InputError, TraceError
from scheduler.sources.traces.describe import describe
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from scheduler.sources.traces.writers import writable, write_trace
from tests.unit.scheduler.sources.trace_rows import Request, mooncake_line, read, trace_of, write_lines

MS = 1_000_000

DIALECTS: dict[str, tuple[str, ...]] = {
    "mooncake": (
        '{"timestamp": 7, "input_length": 1100, "output_length": 3, "hash_ids": [0, 1, 2]}',
        '{"timestamp": 1507, "input_length": 1030, "output_length": 4, "hash_ids": [0, 1, 3]}',
    ),
    "aiperf": (
        '{"timestamp": 7, "session_id": "a", "input_length": 1100, "output_length": 3, "hash_ids": [5, 6, 7]}',
        '{"timestamp": 1507, "input_length": 1030, "output_length": 4, "hash_ids": [5, 6, 5], "extra": {"top_p": 1}}',
    ),
    "bailian": (
        '{"chat_id": 1, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 35, "output_length": 3, '
        '"type": "text", "turn": 1, "hash_ids": [1, 2, 3]}',
        '{"chat_id": 2, "parent_chat_id": 1, "timestamp": 62.614, "input_length": 40, "output_length": 4, '
        '"type": "text", "turn": 2, "hash_ids": [1, 2, 4]}',
    ),
    "dynamo": (
        '{"created_time": 7, "input_tokens": 1100, "output_tokens": 3, "hash_ids": [0, 1, 2], "session_id": "x"}',
        '{"created_time": 1507, "input_tokens": 1030, "output_tokens": 4, "hash_ids": [0, 1, 3]}',
    ),
    "agentic_mooncake": (
        '{"timestamp": 7.5, "request_id": "a", "input_length": 1100, "output_length": 3, "hash_ids": [0, 1, 2], '
        '"wait_for": [], "branches": [], "prefix_reset": false}',
        '{"timestamp": 1507.5, "request_id": "b", "input_length": 1030, "output_length": 4, "hash_ids": [0, 1, 3]}',
    ),
    "vllm_timed_trace": (
        '{"timestamp": 0.5, "input_length": 35, "output_length": 3, "hash_ids": [9, 8, 7]}',
        '{"timestamp": 2.0, "input_length": 40, "output_length": 4, "hash_ids": [9, 8, 9]}',
    ),
    "llmservingsim": (
        '{"input_toks": 35, "output_toks": 3, "arrival_time_ns": 4059740, '
        f'"input_tok_ids": {list(range(35))}, "output_tok_ids": [1, 2, 3]}}',
        '{"input_toks": 40, "output_toks": 4, "arrival_time_ns": 1504059740, '
        f'"input_tok_ids": {[*range(33), 5, 5, 5, 5, 5, 5, 5]}, "output_tok_ids": [1, 2, 3, 4]}}',
    ),
    "azure": (
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens",
        "2024-10-15 00:00:00.2500000,2,35,3",
        "2024-10-15 00:00:01.7500000,0,40,4",
    ),
    "burstgpt": (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type",
        "5,,1.5,ChatGPT,35,3,38,API log",
        "6,,1.5,ChatGPT,35,0,35,API log",
        "6.5,12,2.5,GPT-4,40,4,44,Conversation log",
    ),
    "vidur": (
        "arrived_at,num_prefill_tokens,num_decode_tokens",
        "0.00000005,35,3",
        "1.5000000499999999,40,4",
    ),
    "splitwise": (
        "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size",
        "0,2,0,5e-07,1,35,3",
        "1,2,0,1.5000005,1,40,4",
    ),
    "llmservingsim_table": (
        "input_toks\toutput_toks\tarrival_time_ns",
        "35\t3\t46926808",
        "40\t4\t1546926808",
    ),
}

SHARED_TOKENS = {
    "mooncake": 1024,
    "aiperf": 1024,
    "dynamo": 1024,
    "agentic_mooncake": 1024,
    "bailian": 32,
    "vllm_timed_trace": 32,
}
TOKENS_PER_ID = {"bailian": 16, "vllm_timed_trace": 16, "llmservingsim": 16}


def dialect(folder: Path, name: str) -> Path:
    lines = DIALECTS[name]
    return write_lines(folder / (f"{name}.jsonl" if lines[0].startswith("{") else f"{name}.csv"), *lines)


def test_there_is_a_file_for_each_format_of_rows() -> None:
    assert sorted(DIALECTS) == sorted(writable())


@pytest.mark.parametrize("name", DIALECTS)
def test_it_is_found_and_described(tmp_path: Path, name: str) -> None:
    path = dialect(tmp_path, name)
    for options in (TraceOptions(), TraceOptions(format=name), TraceOptions(strict=True)):
        trace = open_trace(str(path), options=options)
        described = describe(trace)
        assert (trace.reading.format, trace.reading.is_named) == (name, options.format is not None)
        assert (described.requests, described.arrivals.span_s) == (2, 1.5)
        assert (described.prompt_tokens.max - described.output_tokens.max) % 10 == 6
        assert described.sharing.hit_tokens == SHARED_TOKENS.get(name, 32 if name == "llmservingsim" else 0)
        assert trace.block_tokens == TOKENS_PER_ID.get(name, 512)
        assert not trace.skipped.unread
        told = dict(trace.reading.rows())
        assert told["time unit"] in ("s", "ms", "ns", "wall")
        assert told["ids are"].split(",")[0].split(" ")[0] in ("chain", "text", "none")


@pytest.mark.parametrize("to_format", DIALECTS)
@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_is_written_as_every_other(tmp_path: Path, name: str, to_format: str) -> None:
    path, out = dialect(tmp_path, name), tmp_path / "out.txt"
    written = write_trace(open_trace(str(path), options=TraceOptions()), str(out), to_format)
    assert (written.format, written.requests) == (to_format, 2)
    before, after = read(path), read(out, TraceOptions(format=to_format))
    assert [(r.prompt_tokens, r.output_tokens) for r in after] == [(r.prompt_tokens, r.output_tokens) for r in before]
    assert after[1].arrived_ns == 1_500 * MS
    # Whole blocks of 512 are lost where 16 were shared; all others are the same however large the blocks are.
    shared = describe(open_trace(str(path), options=TraceOptions())).sharing.hit_tokens
    trace = open_trace(str(out), options=TraceOptions(format=to_format))
    if "block ids" in written.lost or (trace.block_tokens > 16 and shared == 32):
        assert written.lost
        shared = 0
    assert describe(trace).sharing.hit_tokens == shared


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    requests = [Request(0, 600, 5, (1, 2)), Request(1_500 * MS, 600, 5, (1, 3))]
    for name, found in (("bailian", "vllm_timed_trace"), ("vidur", "vidur"), ("dynamo", "mooncake")):
        write_trace(trace_of(requests), str(tmp_path / name), name)
        assert open_trace(str(tmp_path / name), options=TraceOptions()).reading.format == found


@pytest.mark.parametrize(
    ("row", "field", "told"),
    [
        (
            '{"timestamp": 5, "input_length": 9, "output_length": 2, "wait_for": ["a"]}',
            "wait_for",
            "closed loop",
        ),
        ('{"timestamp": 5, "input_length": 9, "output_length": 2, "tool_wait_ms": 30}', "tool_wait_ms", "closed loop"),
        ('{"timestamp": 5, "input_length": 9, "output_length": 2, "branches": 2}', "branches", "branches"),
        ('{"timestamp": 5, "input_length": 9, "output_length": 2, "prefix_reset": true}', "prefix_reset", "reset"),
        ('{"session_id": "a", "arrival_time_ns": 0, "sub_requests": []}', "sub_requests", "closed loop"),
        ('{"chat_id": 1, "timestamp": 0.5, "input_length": 9, "output_length": 2, "delay": 5}', "delay", "closed loop"),
    ],
)
def test_what_would_make_a_client_wait_is_refused_in_every_dialect(
    tmp_path: Path, row: str, field: str, told: str
) -> None:
    path = write_lines(tmp_path / "t.jsonl", row)
    with pytest.raises(TraceError, match=told) as caught:
        read(path)
    assert (caught.value.line, caught.value.field) == (1, field)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [mooncake_line(0), mooncake_line(2.5)],
            "timestamp: 2.5 is not an integer; give whole ms, or name the unit: --time",
        ),
        (
            [mooncake_line(2.5, 600, 5, hash_ids=[1, 2])],
            "timestamp: 2.5 is not an integer; give whole ms, or name the unit",
        ),
        (['{"timestamp": 0, "input_length": 600}'], "--output-length N stands in for it"),
        (['{"start": 0, "input_length": 600, "output_length": 4}'], "--columns names others"),
        ([mooncake_line("2024-10-15 00:00:00")], "or name the unit: --time-unit wall"),
        (["when,in,out", "1,2,3"], "--columns arrived=NAME,prompt=NAME,output=NAME"),
        (
            ["version https://git-lfs.github.com/spec/v1", "oid sha256:00"],
            "is a Git LFS pointer, not the file itself; run",
        ),
    ],
)
def test_a_refusal_names_the_option_that_mends_it(tmp_path: Path, rows: list[str], told: str) -> None:
    path = write_lines(tmp_path / "t.any", *rows)
    with pytest.raises(InputError) as caught:
        read(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tokens_of_a_prompt_must_be_all_of_them(tmp_path: Path) -> None:
    row: dict[str, Any] = {"input_toks": 35, "output_toks": 3, "arrival_time_ns": 0, "input_tok_ids": [1, 2]}
    path = write_lines(tmp_path / "t.jsonl", str(row).replace("'", '"'))
    with pytest.raises(TraceError, match="input_tok_ids: 2 tokens are not the 35 of input_toks"):
        read(path)
