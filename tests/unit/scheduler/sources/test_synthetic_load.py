"""Workload files: what they mean, and every mistake with its file, line, key and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.synthetic.load import load_workload
from scheduler.sources.synthetic.section import Overrides
from scheduler.sources.synthetic.workload import (
    ArrivalProcess,
    EmpiricalLengths,
    IndependentRequests,
    LogNormalLengths,
    Process,
    ServeGenRequests,
    SessionRequests,
    Workload,
)
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from tests.unit.scheduler.sources.trace_rows import read, write_lines

FULL = """\
name: full
num_requests: 1_000
arrivals:
  rate_per_s: 8
  process: weibull
  cv: 2.5
  diurnal_amplitude: 0.5
  diurnal_period_s: 3600
prompt_tokens: {mean: 900, cv: 1.2, minimum: 2, maximum: 5000}
output_tokens:
  values: [5, 5, 9]
sessions:
  mean_turns: 3
  max_turns: 9
  think_mean_s: 12.5
  think_cv: 0.5
  answer_s_per_output_token: 0.02
  system_groups: 4
  system_tokens: 1000
  max_prompt_tokens: 9000
"""


def load(tmp_path: Path, text: str, overrides: Overrides | None = None) -> Workload:
    path = tmp_path / "made.yaml"
    path.write_text(text, encoding="utf-8")
    return load_workload(str(path), overrides or {})


def test_every_key_has_its_field(tmp_path: Path) -> None:
    arrivals = ArrivalProcess(8.0, Process.WEIBULL, 2.5, 0.5, 3600.0)
    prompt_tokens = LogNormalLengths(900.0, 1.2, 2, 5000)
    output_tokens = EmpiricalLengths((5, 5, 9), (1.0, 1.0, 1.0))
    requests = SessionRequests(arrivals, prompt_tokens, output_tokens, 3.0, 9, 12.5, 0.5, 0.02, 4, 1000, 9000)
    assert load(tmp_path, FULL) == Workload("full", requests, 1000)


def test_presets_give_sections_that_the_file_may_replace(tmp_path: Path) -> None:
    text = "preset: azure_conversation\nnum_requests: 5\narrivals: {rate_per_s: 2}\n"
    plain = load(tmp_path, text).requests
    assert isinstance(plain, IndependentRequests)
    assert plain.prompt_tokens == LogNormalLengths(1155.6, 0.972, 1, 14_050)
    replaced = load(tmp_path, text + "output_tokens: {values: [7]}\n").requests
    assert isinstance(replaced, IndependentRequests)
    assert replaced.output_tokens == EmpiricalLengths((7,), (1.0,))


def test_lengths_and_servegen_folders_are_found_beside_the_file(tmp_path: Path) -> None:
    write_lines(tmp_path / "t.csv", "Timestamp,Request tokens,Response tokens", "1,4,5", "2,4,6", "3,9,6")
    text = "num_requests: 5\narrivals: {rate_per_s: 2}\nprompt_tokens: {trace: t.csv}\noutput_tokens: {trace: t.csv}\n"
    requests = load(tmp_path, text).requests
    assert isinstance(requests, IndependentRequests)
    assert requests.prompt_tokens == EmpiricalLengths((4, 9), (2.0, 1.0))
    assert requests.output_tokens == EmpiricalLengths((5, 6), (1.0, 2.0))
    pool = load(tmp_path, "servegen: {folder: pool, start_s: 60, duration_s: 9, rate_per_s: 3}\n")
    assert pool == Workload("made", ServeGenRequests(str(tmp_path / "pool"), 60.0, 9.0, 3.0))


def test_overrides_come_last_and_say_where_they_came_from(tmp_path: Path) -> None:
    said: Overrides = {"arrivals.cv": (1.5, "--cv"), "num_requests": (7, "--num-requests")}
    workload = load(tmp_path, FULL, said)
    assert workload.num_requests == 7
    assert isinstance(workload.requests, SessionRequests)
    assert workload.requests.arrivals.cv == 1.5
    with pytest.raises(ConfigError, match=r"^--cv: arrivals\.cv is 99\.0; give a number from 0\.01 to 20"):
        load(tmp_path, FULL, {"arrivals.cv": (99, "--cv")})
    with pytest.raises(ConfigError, match=r"^options: num_requests is missing; give it"):
        load_workload(None, {"preset": ("azure_conversation", "--preset"), "arrivals.rate_per_s": (1, "--rate-per-s")})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("num_requests:", "num_request:", "num_requests is missing; give it (is num_request meant for it?)"),
        ("  process: weibull", "  proces: weibull", ":5: arrivals.proces is not known here"),
        ("  process: weibull", "  proces: weibull", "(did you mean process?)"),
        (
            "weibull",
            "wiebull",
            ":5: arrivals.process is 'wiebull'; give poisson or gamma or weibull (did you mean weibull?)",
        ),
        ("rate_per_s: 8", "rate_per_s: -8", ":4: arrivals.rate_per_s is -8.0; give a number from"),
        ("rate_per_s: 8", "rate_per_s: .nan", ":4: arrivals.rate_per_s is nan; give a number from"),
        ("rate_per_s: 8", "rate_per_s: true", ":4: arrivals.rate_per_s is True; give a number"),
        ("rate_per_s: 8", "rate_per_s: fast", ":4: arrivals.rate_per_s is 'fast'; give a number"),
        ("rate_per_s: 8", "rate_per_s:", ":4: arrivals.rate_per_s is missing; give it"),
        ("rate_per_s: 8", "rate_per_s: " + "9" * 400, ":4: arrivals.rate_per_s is 999"),
        ("rate_per_s: 8", "rate_per_s: [8]", ":4: arrivals.rate_per_s is [8]; give a number"),
        ("rate_per_s: 8", "rate_per_s: {a: 8}", ":4: arrivals.rate_per_s is a section; give a number"),
        ("num_requests: 1_000", "num_requests: 1.5", ":2: num_requests is 1.5; give an integer"),
        ("num_requests: 1_000", "num_requests: 0", ":2: num_requests is 0; give a number from 1"),
        ("name: full", "name: 5", ":1: name is 5; give a text"),
        ("{mean: 900, cv: 1.2, minimum: 2, maximum: 5000}", "5", ":9: prompt_tokens is 5; give a section"),
        ("maximum: 5000", "maximum: 1", ":9: prompt_tokens.maximum is 1; give a number from 2"),
        ("values: [5, 5, 9]", "values: [5, true]", ":11: output_tokens.values is [5, True]; give a list of integers"),
        ("values: [5, 5, 9]", "values: []", ":11: output_tokens.values has 0 entries"),
        ("max_prompt_tokens: 9000", "max_prompt_tokens: 900", ":20: sessions.max_prompt_tokens is 900, but a first"),
        ("max_turns: 9", "max_turns: " + "9" * 400, ":14: sessions.max_turns is 999"),
        ("name: full", "name: full\nname: again", ":2: name is given twice; give it once"),
        ("name: full", "name: [full", ":2: not YAML ("),
        ("name: full", "name: !!python/object:os.system x", ":1: not YAML ("),
        ("name: full", "a: &a [x]\nname: *a", ":2: *a is an alias; write the value out"),
        ("name: full", "name: \x07", "not YAML ("),
        ("name: full", "name: 2001-99-99", "not YAML ("),
        ("name: full", "name: " + "{a: " * 20 + "1" + "}" * 20, "is nested too deeply"),
        ("name: full", "preset: azure", ":1: preset is 'azure'; give none or azure_conversation"),
    ],
)
def test_every_mistake_names_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in FULL
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FULL.replace(old, new, 1))
    message = str(caught.value)
    assert problem in message
    assert message.startswith(str(tmp_path / "made.yaml"))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no settings in it"),
        (b"- 1\n", "no settings in it"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"a: b: c\n", "not YAML"),
        (b"[" * 1100, "not YAML"),
        (b"# " + b"x" * 2**20, "longer than 1 MiB"),
    ],
)
def test_files_that_are_no_workload_are_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "made.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        open_trace(str(path), options=TraceOptions())
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_workload_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nope\.yaml: no such file"):
        read(tmp_path / "nope.yaml")


def test_a_workload_file_is_a_trace(tmp_path: Path) -> None:
    (tmp_path / "made.yaml").write_text(FULL)
    trace = open_trace(str(tmp_path / "made.yaml"), options=TraceOptions(limit=50))
    assert (trace.name, trace.num_requests_hint, sum(map(len, trace.blocks))) == ("full", 50, 50)


def test_the_demo_trace_is_what_its_workload_makes(examples: Path) -> None:
    made = read(examples / "demo.yaml")
    shipped = read(examples / "demo.jsonl")
    assert len(shipped) == 1500
    assert [(request.prefix, request.prompt_tokens, request.output_tokens) for request in shipped] == [
        (request.prefix, request.prompt_tokens, request.output_tokens) for request in made
    ]
    assert all(0 <= after.arrived_ns - before.arrived_ns < 10**6 for before, after in zip(shipped, made, strict=True))
