"""The command line of engines: what is wrong is one line with the fix, and a process ends when it is told to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from deploy.cli import main

SERVE = "import sys; from deploy.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["8000x"], "serve-engine 8000x: give HOST:PORT"),
        (["0.0.0.0:0"], "serve-engine 0.0.0.0:0: other machines reach it there, so it needs a key"),
        (["--plan", "2x16p+1x16d"], "has the instances decode, prefill, prefill; an engine is one aggregated"),
        (["--speed", "0"], "--speed is 0; give a number from 0.01"),
        (["--count", "0"], "--count is 0; give a number from 1"),
        (["--grace", "-1"], "--grace is -1; give seconds"),
        (["127.0.0.1:65535", "--count", "2"], "2 engines need as many ports"),
        (["--kv-topic", "x"], "give --kv-events as well"),
        (["--http-traces", "here"], "--http-traces here: give the URL of an OTLP/HTTP receiver"),
        (["--http-traces", "http://127.0.0.1:4318", "--speed", "2"], "in real time, which --speed 2 is not"),
        (["--kv-events", "tcp://*:1"], "without a key"),
        (["--kv-events", "--cache", "none", "127.0.0.1:0"], "the plan has no prefix cache whose blocks can be told"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPERNODE_HTTP_KEY", raising=False)
    assert main(["serve-engine", *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("supernode: ")
    assert said.err.count("\n") == 1
    assert line in said.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_serves_until_it_is_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVE, "serve-engine", "127.0.0.1:0", "--count", "2", "--record", "x.jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        addresses = [re.match(r"http://127\.0\.0\.1:\d+", process.stdout.readline()) for _ in range(2)]
        for found in addresses:
            assert found is not None
            with urlopen(f"{found[0]}/health", timeout=20) as answer:
                assert answer.status == 200
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(20) == 0
    assert rest.count("0 requests finished\n") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.0.jsonl", "x.1.jsonl"]


def test_an_engine_needs_no_ray() -> None:
    code = "import sys; import deploy.engines.serve, deploy.commands.serve_engine; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path.cwd())


def test_open_requests_end_before_the_process_does(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVE, "serve-engine", "127.0.0.1:0"]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    body = json.dumps({"prompt": "why?", "max_tokens": 60, "ignore_eos": True, "stream": True}).encode()
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        asked = Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
        with urlopen(asked, timeout=20) as answer:
            first = answer.readline()
            process.send_signal(signal.SIGTERM)
            events = first + answer.read()
        rest = process.stdout.read()
        assert process.wait(20) == 0
    assert events.endswith(b"data: [DONE]\n\n")
    words = [json.loads(event[6:])["choices"][0]["text"] for event in events.split(b"\n\n")[:-2]]
    assert sum(len(word) for word in words) == 4 * 60
    assert "1 requests finished; TTFT p50" in rest
