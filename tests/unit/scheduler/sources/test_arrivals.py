"""The class that a request asks for, from a generator through a file and what is done to rows, to the core."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import InputError
from scheduler.protocol.messages import RequestsArrived
from scheduler.sources.trace_source import TraceSource
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from scheduler.sources.traces.writers import write_trace
from tests.unit.scheduler.sources.trace_rows import Request, read, trace_of

WORKLOAD = """\
num_requests: 5000
arrivals: {rate_per_s: 10}
prompt_tokens: {mean: 100, cv: 0}
output_tokens: {mean: 10, cv: 0}
"""


def test_a_mix_of_classes_comes_as_it_was_asked_for_and_back_from_a_file(tmp_path: Path) -> None:
    plain, mixed, out = tmp_path / "plain.yaml", tmp_path / "mixed.yaml", tmp_path / "out.jsonl"
    plain.write_text(WORKLOAD)
    mixed.write_text(WORKLOAD + "classes: {chat: 3, batch: 1, none: 0}\n")
    requests = read(mixed)
    counts = Counter(request.class_name for request in requests)
    assert set(counts) == {"chat", "batch"}
    assert counts["chat"] == pytest.approx(3750, abs=150)  # five standard deviations of a binomial
    # Nothing else is drawn anew because of it.
    assert [request.arrived_ns for request in requests] == [request.arrived_ns for request in read(plain)]
    write_trace(open_trace(str(mixed), options=TraceOptions()), str(out))
    assert [request.class_name for request in read(out)] == [request.class_name for request in requests]


def test_copies_ask_for_what_their_original_does(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    ends = ("", ', "class": "chat"', ', "class": null')
    rows = [f'{{"timestamp": {at}, "input_length": {at + 1}, "output_length": 1{end}}}' for at, end in enumerate(ends)]
    path.write_text("\n".join(rows))
    of_length = {1: "", 2: "chat", 3: ""}
    for options in (TraceOptions(), TraceOptions(superpose=3, rate_scale=2.0)):
        requests = read(path, options)
        assert len(requests) == 3 * options.superpose
        assert all(request.class_name == of_length[request.prompt_tokens] for request in requests)


@pytest.mark.parametrize("value", ["7", "[]", '"' + "x" * 41 + '"', r'"a\u0000b"'])
def test_what_names_no_class_is_one_line(tmp_path: Path, value: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"timestamp": 0, "input_length": 1, "output_length": 1, "class": {value}}}\n')
    with pytest.raises(InputError, match=r"t\.jsonl:1: class: .* cannot name a class; give a name"):
        read(path)


def said(*requests: Request) -> list[RequestsArrived]:
    """All that a source says of arrivals."""
    source, messages = TraceSource(trace_of(requests[:2], requests[2:])), list[RequestsArrived]()
    while source.deadline_ns != NEVER_NS:
        messages += [m for _, m in source.wake(source.deadline_ns) if isinstance(m, RequestsArrived)]
    return messages


def test_the_core_is_told_of_classes_where_there_are_any() -> None:
    asked = said(Request(0), Request(1), Request(1, class_name="chat"), Request(2, class_name="batch"), Request(3))
    assert [message.classes for message in asked] in (
        [[""], ["", "chat"], ["batch"], [""]],
        [[], ["", "chat"], ["batch"], []],
    )
    assert all(message.classes == [] for message in said(Request(0), Request(1), Request(1)))
