"""`supernode trace`: what goes to stdout and what to stderr, and that commands agree with each other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from tests.unit.scheduler.sources.trace_rows import mooncake_line, read, write_lines

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def run(capsys: Captured) -> Callable[..., tuple[int, str, str]]:
    """Runs `supernode trace ...`; answers exit code, stdout and stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["trace", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


Run = Callable[..., tuple[int, str, str]]


def test_describe_answers_json_and_a_table(tmp_path: Path, run: Run) -> None:
    path = write_lines(tmp_path / "t.jsonl", *[mooncake_line(time, 600, 5, hash_ids=[0, time]) for time in range(1, 9)])
    code, out, err = run("describe", path, "--json")
    assert (code, err) == (0, "")
    answer: dict[str, Any] = json.loads(out)
    assert answer["trace"]["requests"] == 8
    assert answer["trace"]["sharing"]["distinct_blocks"] == 9
    assert answer["skipped"] == {"bad": 0, "failed": 0}
    assert run("describe", path, "--json") == (0, out, "")
    _, table, _ = run("describe", path, "--limit", "4", "--superpose", "2", "--rate-scale", "2")
    assert "distinct blocks of 512 tokens" in table
    assert "requests  " in table


def test_skipped_rows_are_told_on_stderr(tmp_path: Path, run: Run) -> None:
    path = write_lines(tmp_path / "t.jsonl", mooncake_line(), "{broken", mooncake_line())
    code, out, err = run("describe", path, "--json", "--skip-bad")
    assert code == 0
    assert json.loads(out)["skipped"] == {"bad": 1, "failed": 0}
    assert err.splitlines()[0] == "left out 1 bad rows:"
    assert f"{path}:2: not JSON" in err
    code, out, err = run("describe", path, "--json")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_describe_writes_a_page_that_fetches_nothing(tmp_path: Path, run: Run) -> None:
    path = write_lines(tmp_path / "<t>.jsonl", mooncake_line(), mooncake_line(5000, 1))
    code, _, err = run("describe", path, "--out", tmp_path / "made" / "page")
    assert code == 0
    page = tmp_path / "made" / "page" / "trace.html"
    assert err == f"wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "requests per second, in steps of" in text
    assert "<title>&lt;t&gt;.jsonl</title>" in text
    assert "plotly.js v" in text
    assert "<script src" not in text
    assert "cdn.plot.ly" not in text[text.rindex("<body>") :]
    code, _, err = run("describe", path, "--out", path)
    assert code == 2
    assert "give a folder that can be written" in err


def test_generate_is_deterministic_and_reads_back(tmp_path: Path, run: Run) -> None:
    wanted = ("--preset", "azure_conversation", "--num-requests", "300", "--rate-per-s", "20")
    code, out, err = run("generate", *wanted, "--out", tmp_path / "a.jsonl", "--seed", "5", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["requests"] == 300
    run("generate", *wanted, "--out", tmp_path / "b.jsonl", "--seed", "5")
    run("generate", *wanted, "--out", tmp_path / "c.jsonl", "--seed", "6")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a.jsonl").read_bytes() != (tmp_path / "c.jsonl").read_bytes()
    assert len(read(tmp_path / "a.jsonl")) == 300


def test_generate_says_that_a_file_holds_no_clients(tmp_path: Path, run: Run) -> None:
    workload = tmp_path / "clients.yaml"
    lengths = "prompt_tokens: {mean: 50, cv: 1}\noutput_tokens: {mean: 5, cv: 1}\n"
    classes = "classes: {chat: 1, batch: 1}\nclients:\n  chat: {count: 20}\n  batch: {count: 2}\n"
    workload.write_text(f"num_requests: 9\narrivals: {{rate_per_s: 1}}\n{lengths}{classes}", encoding="utf-8")
    code, _, err = run("generate", "--workload", workload, "--out", tmp_path / "rows.jsonl")
    assert code == 0
    assert err.splitlines()[-1].endswith("replay it with --concurrency chat=20,batch=2")


def test_every_option_of_generate_reaches_the_workload(tmp_path: Path, run: Run) -> None:
    options = {
        "--num-requests": "400",
        "--rate-per-s": "5",
        "--process": "gamma",
        "--cv": "2",
        "--diurnal-amplitude": "0.5",
        "--diurnal-period-s": "60",
        "--prompt-mean": "300",
        "--prompt-cv": "0.5",
        "--output-mean": "100",
        "--output-cv": "0",
        "--mean-turns": "3",
        "--think-mean-s": "1",
        "--system-tokens": "1024",
        "--system-groups": "2",
        "--set": "prompt_tokens.maximum=900",
    }
    arguments = [text for pair in options.items() for text in pair]
    code, _, err = run("generate", *arguments, "--out", tmp_path / "t.csv.gz", "--to", "mooncake", "--superpose", "2")
    assert (code, err) == (0, "")
    requests = read(tmp_path / "t.csv.gz")
    assert len(requests) == 800
    assert {request.output_tokens for request in requests} == {100}
    assert len({request.prefix[:2] for request in requests}) == 4


def test_generate_draws_from_files(tmp_path: Path, run: Run) -> None:
    source = write_lines(tmp_path / "t.jsonl", mooncake_line(0, 600, 5), mooncake_line(0, 7, 9))
    workload = tmp_path / "made.yaml"
    workload.write_text("preset: azure_conversation\nnum_requests: 9\narrivals: {rate_per_s: 1}\n")
    code, _, _ = run("generate", "--workload", workload, "--lengths-from", source, "--out", tmp_path / "a.jsonl")
    assert code == 0
    assert {request.prompt_tokens for request in read(tmp_path / "a.jsonl")} == {600, 7}
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "chunk-0-trace.csv").write_text("0,1,1,Gamma,1,1\n")
    (pool / "chunk-0-dataset.json").write_text('{"0": {"input_tokens": "{4: 1}", "output_tokens": "{5: 1}"}}')
    code, out, _ = run("generate", "--servegen", pool, "--rate-per-s", "0.5", "--out", tmp_path / "b.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["requests"] == 300


def test_convert_there_and_back(tmp_path: Path, run: Run) -> None:
    path = write_lines(tmp_path / "t.jsonl", *[mooncake_line(time, 600, 5) for time in range(5)])
    assert run("convert", path, tmp_path / "t.csv.gz")[0] == 0
    code, out, _ = run("convert", tmp_path / "t.csv.gz", tmp_path / "u.jsonl", "--format", "azure", "--json")
    assert code == 0
    assert json.loads(out)["format"] == "mooncake"
    assert (tmp_path / "u.jsonl").read_text() == path.read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["describe", "nope.jsonl"], "nope.jsonl: no such file"),
        (["describe", "nope.jsonl", "--limit", "0"], "limit is 0; give"),
        (["describe", "nope.jsonl", "--format", "azur"], "did you mean azure?"),
        (["generate", "--out", "t.jsonl"], "options: arrivals is missing; give it"),
        (["generate", "--out", "t.jsonl", "--set", "x"], "--set 'x' is no setting; give KEY=VALUE"),
        (["generate", "--out", "t.jsonl", "--set", "x=[1"], "--set x: '[1' is no value"),
        (["generate", "--out", "t.jsonl", "--set", "arrivals.rte=1"], "arrivals.rate_per_s is missing; give it"),
        (["convert", "nope.jsonl", "t.jsonl"], "nope.jsonl: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run: Run, arguments: list[str], problem: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert problem in err
    assert err.count("\n") == 1


def test_plots_and_yaml_are_imported_only_when_needed() -> None:
    program = "import sys, deploy.commands.trace; print({'plotly', 'yaml', 'ray', 'rich.table'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
