"""Bad input: every kind is one line that names file, line, field, problem and mend; nothing else ever escapes."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from scheduler.protocol.errors import InputError, TraceError
from scheduler.sources.traces.lines import MAX_LINE_BYTES, unreadable
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from tests.unit.scheduler.sources.trace_rows import Request, mooncake_line, read, requests_of, write_lines

SKIP = TraceOptions(skip_bad=True)
GOOD = mooncake_line(0, 600, 5, hash_ids=[0, 1])
AZURE_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
AZURE_GOOD = "2023-11-16 18:15:46.6805900,374,44"
BURST_HEADER = "Timestamp,Model,Request tokens,Response tokens"
BURST_GOOD = "5,GPT-4,472,18"
BAILIAN = (
    '{"chat_id": 1, "timestamp": 61.114, "input_length": 40, "output_length": 3, "tenant": "a", "hash_ids": [1, 2, 3]}'
)
SIMULATED = '{"arrival_time_ns": 7, "input_toks": 17, "output_toks": 1, "input_tok_ids": ' + str([5] * 17) + "}"

MOONCAKE_CASES = [
    ("{broken", "", "not JSON"),
    ("[1, 2]", "", "is not an object"),
    ("17", "", "is not an object"),
    (GOOD + " x", "", "not JSON (Extra data"),
    ('{"timestamp": NaN, "input_length": 1, "output_length": 1}', "", "NaN is no JSON number"),
    ('{"timestamp": 0, "input_length": Infinity, "output_length": 1}', "", "Infinity is no JSON number"),
    ('{"timestamp": ' + "9" * 5000 + "}", "", "not JSON"),
    ("[" * 100_000, "", "nested too deeply"),
    ('{"input_length": 600, "output_length": 5}', "timestamp", "is missing"),
    ('{"timestamp": 0, "output_length": 5}', "input_length", "is missing"),
    ('{"timestamp": 0, "input_length": 600}', "output_length", "is missing"),
    (mooncake_line(True), "timestamp", "True is not an integer"),
    (mooncake_line(1.5), "timestamp", "1.5 is not an integer"),
    (mooncake_line("1"), "timestamp", "'1' is not an integer"),
    (mooncake_line(None), "timestamp", "None is not an integer"),
    (mooncake_line(-1), "timestamp", "-1 is less than 0"),
    (mooncake_line(10**14), "timestamp", "is more than"),
    (mooncake_line(0, 0), "input_length", "0 is less than 1"),
    (mooncake_line(0, -3), "input_length", "-3 is less than 1"),
    (mooncake_line(0, 10**7 + 1), "input_length", "10000001 is more than 10000000"),
    (mooncake_line(0, 600.0), "input_length", "600.0 is not an integer"),
    (mooncake_line(0, [600] * 99), "input_length", "... is not an integer"),
    (mooncake_line(0, 600, 0), "output_length", "0 is less than 1"),
    (mooncake_line(0, 600, False), "output_length", "False is not an integer"),
    (mooncake_line(0, 600, 1e400), "", "not JSON"),
    ('{"timestamp": 0, "input_length": 600, "output_length": 1e400}', "output_length", "1e400 is not an integer"),
    (
        mooncake_line(0, 600, 5, hash_ids=[1, 2, 3, 4]),
        "hash_ids",
        "4 ids do not fit input_length 600 at 512",
    ),
    (mooncake_line(0, 1600, 5, hash_ids=[1]), "hash_ids", "1 ids do not fit input_length 1600"),
    (mooncake_line(0, 600, 5, hash_ids=[1, 2, 3]), "hash_ids", "3 ids do not fit input_length 600"),
    (mooncake_line(0, 512, 5, hash_ids=[1, 2]), "hash_ids", "2 ids do not fit input_length 512"),
    (mooncake_line(0, 600, 5, hash_ids="12"), "hash_ids", "'12' is not a list"),
    (mooncake_line(0, 600, 5, hash_ids={}), "hash_ids", "{} is not a list"),
    (mooncake_line(0, 600, 5, hash_ids=0), "hash_ids", "0 is not a list"),
    (mooncake_line(0, 600, 5, hash_ids=[1, True]), "hash_ids[1]", "True is not an integer"),
    (mooncake_line(0, 600, 5, hash_ids=[1.0, 2]), "hash_ids[0]", "1.0 is not an integer"),
    (mooncake_line(0, 600, 5, hash_ids=[1, -2]), "hash_ids[1]", "-2 is less than 0"),
    (mooncake_line(0, 600, 5, hash_ids=[0, 2**64]), "hash_ids[1]", "18446744073709551616 is more than"),
    (mooncake_line(0, 600, 5, text_input="hello"), "text_input", "prompts as text are not supported"),
    (mooncake_line(0, 600, 5, messages=[]), "messages", "prompts as messages are not supported"),
    (mooncake_line(0, 600, 5, session_id="a", delay=0), "delay", "closed loop"),
    ('{"session_id": "a", "delay_ms": 5, "input_length": 1}', "delay_ms", "closed loop"),
    ("\x00" * 9, "", "NUL bytes"),
]

AZURE_CASES = [
    ("2023-11-16 18:15:46.6805900,374", "", "the row has 2 cells, the header 3"),
    ("2023-11-16 18:15:46.6805900,374,44,1", "", "the row has 4 cells, the header 3"),
    ("2023-11-16 18:15:46.6805900,,44", "ContextTokens", "'' is not an integer"),
    ("2023-11-16 18:15:46.6805900,0,44", "ContextTokens", "'0' is less than 1"),
    ("2023-11-16 18:15:46.6805900,374,0", "GeneratedTokens", "'0' is less than 1"),
    ("2023-11-16 18:15:46.6805900,374,-1", "GeneratedTokens", "'-1' is less than 1"),
    ("2023-11-16 18:15:46.6805900,374,4.5", "GeneratedTokens", "'4.5' is not an integer"),
    ("2023-11-16 18:15:46.6805900,374,nan", "GeneratedTokens", "'nan' is not an integer"),
    ("2023-11-16 18:15:46.6805900,374,1_0", "GeneratedTokens", "'1_0' is not an integer"),
    ("2023-11-16 18:15:46.6805900,374,٣", "GeneratedTokens", "is not an integer"),
    ("2023-11-16 18:15:46.6805900,374," + "9" * 5000, "GeneratedTokens", "is more than 10000000"),
    ("2023-11-16 25:15:46.6805900,374,44", "TIMESTAMP", "is no time of day"),
    ("2023-11-31 18:15:46.6805900,374,44", "TIMESTAMP", "day is out of range"),
    ("16.11.2023 18:15,374,44", "TIMESTAMP", "is not a time"),
    ("2523-11-16 18:15:46.6805900,374,44", "TIMESTAMP", "is not in the years 1970 to 2199"),
    ("2023-11-16 18:15:46.6+25:00,374,44", "TIMESTAMP", "impossible offset"),
    ('2023-11-16 18:15:46.6805900,374,"44', "", "not CSV"),
    ("2023-11-16 18:15:40.0000000,374,44", "TIMESTAMP", "time runs back by 6.68059 s"),
]

BURST_CASES = [
    ("x,GPT-4,472,18", "Timestamp", "'x' is not a number of seconds"),
    ("-5,GPT-4,472,18", "Timestamp", "'-5' is not a number of seconds"),
    ("5.x,GPT-4,472,18", "Timestamp", "'5.x' is not a number of seconds"),
    ("1e3.5,GPT-4,472,18", "Timestamp", "'1e3.5' is not a number of seconds"),
    ("9999999999,GPT-4,472,18", "Timestamp", "is not a number of seconds"),
    ("5,GPT-4,0,18", "Request tokens", "'0' is less than 1"),
    ("5,GPT-4,x,0", "Request tokens", "'x' is not an integer"),
    ("5,GPT-4,472,-18", "Response tokens", "'-18' is less than 0"),
    ("4,GPT-4,472,18", "Timestamp", "time runs back by 1 s"),
]

CASES = [
    *(("t.jsonl", (GOOD,), GOOD, *case) for case in MOONCAKE_CASES),
    *(("t.csv", (AZURE_HEADER, AZURE_GOOD), AZURE_GOOD, *case) for case in AZURE_CASES),
    *(("t.csv", (BURST_HEADER, BURST_GOOD), BURST_GOOD, *case) for case in BURST_CASES),
]


@pytest.mark.parametrize(("name", "before", "after", "bad", "field", "problem"), CASES)
def test_every_kind_of_bad_row_names_its_place_and_can_be_skipped(
    tmp_path: Path, name: str, before: tuple[str, ...], after: str, bad: str, field: str, problem: str
) -> None:
    path = write_lines(tmp_path / name, *before, bad, after)
    with pytest.raises(TraceError) as caught:
        read(path)
    error, message = caught.value, str(caught.value)
    assert (error.path, error.line, error.field) == (str(path), len(before) + 1, field)
    assert message.startswith(f"{path}:{len(before) + 1}: " + (f"{field}: " if field else ""))
    assert problem in message
    assert message.partition("; ")[2]
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300

    trace = open_trace(str(path), options=SKIP)
    assert len(requests_of(trace.blocks)) == 2
    assert trace.skipped.num_bad == 1
    assert trace.skipped.lines() == ["left out 1 bad rows:", f"  {message}"]


def test_time_that_runs_back_is_found_across_batches(tmp_path: Path) -> None:
    lines = [mooncake_line(time) for time in range(2048)]
    path = write_lines(tmp_path / "t.jsonl", *lines, mooncake_line(2046), mooncake_line(2047))
    with pytest.raises(TraceError, match=r":2049: timestamp: time runs back by 0\.001 s from the row before; sort"):
        read(path)
    assert len(read(path, SKIP)) == 2049


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"timestamp": 0, "caf\xe9": 1}\n' + GOOD.encode() + b"\n")
    with pytest.raises(TraceError, match=r":2: byte 0xe9 at character 22 is not UTF-8; save the trace as UTF-8"):
        read(path)
    assert len(read(path, SKIP)) == 2


def test_a_line_that_is_too_long_is_cut_and_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    for filler in (b"x", "é".encode()):
        path.write_bytes(GOOD.encode() + b"\n" + filler * (MAX_LINE_BYTES + 300_000) + b"\n" + GOOD.encode() + b"\n")
        with pytest.raises(TraceError, match=r":2: the line is longer than 16 MiB; put one request on each line"):
            read(path)
        assert len(read(path, SKIP)) == 2


def test_only_the_first_twenty_are_listed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", *["{"] * 50, GOOD)
    trace = open_trace(str(path), options=SKIP)
    assert len(requests_of(trace.blocks)) == 1
    assert trace.skipped.num_bad == 50
    lines = trace.skipped.lines()
    assert lines[0] == "left out 50 bad rows, the first:"
    assert len(lines) == 21
    assert f"{path}:20: not JSON" in lines[-1]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.jsonl", b"", "the file is empty"),
        ("t.jsonl", b"\n \n", "the file is empty"),
        ("t.csv", f"{AZURE_HEADER}\n".encode(), "no request in it"),
        ("t.jsonl.gz", gzip.compress(b""), "the file is empty"),
        ("t.csv", f"{BURST_HEADER}\n5,GPT-4,472,0\n".encode(), "no request among 1 rows"),
        ("t.csv", b"a,b,c\n1,2,3\n", "t.csv:1: header: the header has not the columns of a known format"),
        ("t.csv", b"TIMESTAMP,ContextTokens\n", "t.csv:1: header: the header has not the columns"),
        ("t.txt", b"hello\n", "t.txt:1: no known trace format"),
        ("t.bin", b"x\x80" * 9, "t.bin:1: byte 0x80 at character 2"),
        ("t.bin", b"\x00\x01\x02", "t.bin:1: the line holds NUL bytes"),
        ("t.csv.gz", AZURE_HEADER.encode(), "broken gzip data"),
        ("t.csv.gz", gzip.compress(AZURE_HEADER.encode())[:-3], "broken gzip data"),
        ("t.csv.gz", gzip.compress(AZURE_HEADER.encode())[:12] + b"xxxxxxxx", "broken gzip data"),
    ],
)
def test_files_that_are_no_trace_are_one_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for options in (TraceOptions(), SKIP):
        with pytest.raises(InputError) as caught:
            read(path, options)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert problem in message
        assert "; " in message
        assert "\n" not in message


def test_a_column_given_twice_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.csv", AZURE_HEADER + ",TIMESTAMP", AZURE_GOOD)
    with pytest.raises(TraceError, match=r":1: TIMESTAMP: stands twice in the header"):
        read(path)


def test_all_rows_bad_is_an_empty_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no request among 3 rows; an empty trace cannot be used"):
        read(write_lines(tmp_path / "t.jsonl", *["{"] * 3), SKIP)


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nope\.jsonl: no such file; give the path of a trace"):
        read(tmp_path / "nope.jsonl")
    with pytest.raises(InputError, match="is a directory"):
        read(tmp_path, TraceOptions(format="mooncake"))
    with pytest.raises(InputError, match=r"no chunk-N-trace\.csv in it"):
        read(tmp_path)
    with pytest.raises(InputError, match="holds a NUL"):
        read("a\0b")
    odd = tmp_path / "two\nlines.jsonl"
    with pytest.raises(InputError, match=r"two\\nlines\.jsonl': no such file"):
        read(odd)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (PermissionError(13, "Permission denied"), "permission denied; make the file readable"),
        (OSError(5, "Input/output error"), "Input/output error; give the path of a trace that can be read"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: OSError, problem: str) -> None:
    # The superuser may read everything, so the refusal itself cannot be staged everywhere.
    assert str(unreadable("t.jsonl", error)) == f"t.jsonl: {problem}"


def _read_or_message(path: Path, options: TraceOptions) -> tuple[list[Request] | None, str]:
    try:
        return read(path, options), ""
    except InputError as error:
        return None, str(error)


def _mutate(chance: random.Random, data: bytes) -> bytes:
    """One small accident: a byte changed, lost, doubled or added, a piece moved, or a value replaced."""
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(6)
    if kind == 0:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + data[at + chance.randrange(1, 9) :]
    if kind == 2:
        return data[:at] + data[max(0, at - chance.randrange(1, 30)) :]
    if kind == 3:
        piece = chance.choice([b"\n", b'"', b",", b"-", b"1e9", b"NaN", b"[", b"{", b"null", b"9" * 30, b"\xff", b"\0"])
        return data[:at] + piece + data[at:]
    if kind == 4:
        return data[at:] + data[:at]
    return data.replace(chance.choice([b"0", b"1", b"6", b":", b","]), chance.choice([b"", b".5", b"true", b"'"]), 1)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("t.jsonl", (GOOD, mooncake_line(1, 9, 9), mooncake_line(2, 513, 9, hash_ids=[3, 4]))),
        ("t.csv", (AZURE_HEADER, AZURE_GOOD, "2023-11-16 18:15:47,1,1")),
        ("t.csv", (BURST_HEADER, BURST_GOOD, "6.5,ChatGPT,1,0", "7,GPT-4,2,2")),
        ("t.csv", ("arrived_at,num_prefill_tokens,num_decode_tokens", "0.0,3,4", "1e-05,6.0,4", "1.25,500,20")),
        (
            "t.jsonl",
            (BAILIAN, BAILIAN.replace("61.114", "62.5").replace("[1, 2, 3]", "[1, 2]"), BAILIAN.replace("61", "63")),
        ),
        ("t.jsonl", tuple(SIMULATED.replace("7", str(n), 1) for n in (7, 8, 9))),
    ],
)
def test_thousands_of_accidents_raise_nothing_but_input_errors(
    tmp_path: Path, name: str, lines: tuple[str, ...]
) -> None:
    chance = random.Random(name + lines[0])
    good = "\n".join(lines).encode() + b"\n"
    path = tmp_path / name
    num_good = 0
    for _ in range(400):
        data = good
        for _ in range(chance.randrange(1, 4)):
            data = _mutate(chance, data)
        path.write_bytes(data)
        for options in (TraceOptions(), SKIP):
            requests, message = _read_or_message(path, options)
            if requests is None:
                assert "\n" not in message
                assert str(path) in message
                continue
            num_good += 1
            times = [request.arrived_ns for request in requests]
            assert times == sorted(times)
            assert times[0] == 0
            assert all(request.prompt_tokens >= 1 and request.output_tokens >= 1 for request in requests)
    assert num_good > 40

    lines_of_accidents = b"\n".join(_mutate(chance, line) for line in good.splitlines()[-1:] * 5000)
    path.write_bytes(good + lines_of_accidents)
    trace = open_trace(str(path), options=SKIP)
    # A time that jumps ahead makes all rows after it run back, so few may be left.
    assert len(requests_of(trace.blocks)) >= len(lines) - 2
    assert trace.skipped.num_bad > 500
    assert all(str(error).startswith(f"{path}:") and "\n" not in str(error) for error in trace.skipped.listed)
