"""Each client as its users call it; what it reports of its requests is returned by the names of `figures`, in ms."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from openai import OpenAI

from tests.clients.environments import FOLDER, environment, python_from, tokenizer

MODEL: Final = "deepseek-r1"
SUPERNODE: Final = f"{sys.executable} -c 'import sys; from deploy.cli import main; sys.exit(main())'"
"""The command line of this checkout, installed or not."""

CASE_S: Final = 300.0
"""Wall seconds that a client has."""

AIPERF: Final = "aiperf==0.13.0"
INFERENCE_PERF: Final = "inference-perf==0.7.0"
LOCUST: Final = "locust==2.47.0"
GUIDELLM: Final = "guidellm==0.8.1"

Report = dict[str, float]


class NotRunError(Exception):
    """What a client needs is not here; says what."""


def run(command: str, *more: str | Path, **environment_variables: str) -> str:
    """Run a command line, with more arguments behind it; returns its stdout, which is an error if it fails."""
    done = subprocess.run(
        [*shlex.split(command), *map(str, more)],
        capture_output=True,
        text=True,
        timeout=CASE_S,
        env=os.environ | environment_variables,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def curl(url: str) -> Report:
    """One stream, read as text."""
    body = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 8, "ignore_eos": True, "stream": True}
    text = run(f"curl -sN {url}/v1/completions -H 'Content-Type: application/json' -d", json.dumps(body))
    assert text.endswith("data: [DONE]\n\n"), text
    return {"requests": 1}


def openai(url: str) -> Report:
    """The official client: a conversation of three turns, as streams."""
    times_ms: list[tuple[float, float]] = []
    messages: list[Any] = []
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        for turn in range(3):
            messages.append({"role": "user", "content": f"question {turn} " * 2000})
            began_s, first_s, answer = time.perf_counter(), 0.0, ""
            options: Any = {"stream": True, "extra_body": {"ignore_eos": True}}
            for event in client.chat.completions.create(model=MODEL, messages=messages, max_tokens=32, **options):
                first_s = first_s or time.perf_counter()
                answer += event.choices[0].delta.content or ""
            times_ms.append((1e3 * (first_s - began_s), 1e3 * (time.perf_counter() - began_s)))
            messages.append({"role": "assistant", "content": answer})
    ttft_ms, e2e_ms = (sum(column) / len(times_ms) for column in zip(*times_ms, strict=True))
    return {"requests": len(times_ms), "ttft_ms": ttft_ms, "e2e_ms": e2e_ms}


def replay(_url: str) -> Report:
    """Our own, which finds the cluster by itself."""
    result = json.loads(run(f"{SUPERNODE} replay examples/demo.jsonl --limit 60 --live --via http --json"))
    means = {f"{name}_ms": 1e3 * result[f"{name}_s"]["mean"] for name in ("ttft", "tpot", "itl", "e2e")}
    return {"requests": result["requests"]["finished"], **means}


def aiperf(url: str) -> Report:
    """NVIDIA's; its "inter token latency" is our TPOT, its "inter chunk latency" our ITL."""
    programs, artifacts = environment(AIPERF), FOLDER / "aiperf_report"
    run(
        f"{programs}/aiperf profile --model {MODEL} --url {url} --endpoint-type chat --streaming "
        f"--tokenizer ./{tokenizer(programs)} --use-server-token-count --concurrency 4 --request-count 40 "
        "--synthetic-input-tokens-mean 100000 --synthetic-input-tokens-stddev 0 --output-tokens-mean 64 "
        f"--extra-inputs ignore_eos:true --ui none --artifact-dir {artifacts}"
    )
    report = json.loads((artifacts / "profile_export_aiperf.json").read_text())
    names = {
        "ttft_ms": "time_to_first_token",
        "tpot_ms": "inter_token_latency",
        "itl_ms": "inter_chunk_latency",
        "e2e_ms": "request_latency",
        "requests": "request_count",
    }
    return {ours: report[theirs]["avg"] for ours, theirs in names.items()}


def inference_perf(url: str) -> Report:
    """Of Kubernetes' working group on serving; it counts tokens by its own tokenizer, so that its TPOT is none."""
    python = python_from((3, 12))
    if not python:
        raise NotRunError("inference-perf needs Python 3.12; name one by PYTHON3_12=...")
    programs, folder = environment(INFERENCE_PERF, python), FOLDER / "inference-perf_report"
    sizes = {"std_dev": 0, "total_count": 40}
    config = {
        "api": {"type": "completion", "streaming": True},
        "data": {
            "type": "synthetic",
            "input_distribution": {"min": 2000, "max": 2000, "mean": 2000, **sizes},
            "output_distribution": {"min": 64, "max": 64, "mean": 64, **sizes},
        },
        "load": {"type": "concurrent", "num_workers": 1, "stages": [{"num_requests": 30, "concurrency_level": 4}]},
        "server": {"type": "vllm", "model_name": MODEL, "base_url": url, "ignore_eos": True},
        "tokenizer": {"pretrained_model_name_or_path": f"./{tokenizer(programs)}"},
        "storage": {"local_storage": {"path": str(folder)}},
    }
    path = FOLDER / "inference-perf.json"  # which is YAML too
    path.write_text(json.dumps(config, indent=2) + "\n")
    run(f"{programs}/inference-perf -c {path}", HF_HUB_OFFLINE="1")
    report = json.loads((folder / "summary_lifecycle_metrics.json").read_text())["successes"]
    assert report["count"] == 30, f"{report['count']} of 30 requests"
    latency = report["latency"]
    ttft_ms, e2e_ms = (1e3 * latency[name]["mean"] for name in ("time_to_first_token", "request_latency"))
    return {"requests": report["count"], "ttft_ms": ttft_ms, "e2e_ms": e2e_ms}


def locust(url: str) -> Report:
    """With a task that reads streams; what is open when its time is over it leaves, and does not count."""
    programs, task = environment(LOCUST), Path(__file__).with_name("locust_task.py")
    stem = FOLDER / "locust"
    run(f"{programs}/locust -f {task} --headless -u 4 -r 4 -t 15s --host {url} --only-summary --csv {stem}")
    with Path(f"{stem}_stats.csv").open(newline="") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    assert rows["stream"]["Failure Count"] == "0", rows["stream"]
    means = {f"{name.lower()}_ms": float(rows[name]["Average Response Time"]) for name in ("TTFT", "TPOT", "E2E")}
    return {"requests": float(rows["E2E"]["Request Count"]), **means}


def guidellm(url: str) -> Report:
    """Only where it was asked for: with PyTorch it is 6 GB."""
    if not os.environ.get("GUIDELLM"):
        raise NotRunError("guidellm is 6 GB with PyTorch; GUIDELLM=1 runs it all the same")
    programs, path = environment(GUIDELLM), FOLDER / "guidellm.json"
    run(
        f"{programs}/guidellm run --backend kind=openai_http,target={url},model={MODEL} "
        "--profile kind=concurrent,streams=4 --constraint kind=max_duration,seconds=15 "
        "--data kind=synthetic_text,prompt_tokens=8000,output_tokens=64 "
        f"--tokenizer kind=hf_auto,model=./{tokenizer(programs)} --output kind=json,path={path} --disable-progress",
        HF_HUB_OFFLINE="1",
    )
    [benchmark] = json.loads(path.read_text())["benchmarks"]
    metrics = benchmark["metrics"]
    names = {"ttft_ms": "time_to_first_token_ms", "tpot_ms": "inter_token_latency_ms"}
    found = {ours: metrics[theirs]["successful"]["mean"] for ours, theirs in names.items()}
    found["e2e_ms"] = 1e3 * metrics["request_latency"]["successful"]["mean"]
    return {"requests": metrics["request_totals"]["successful"], **found}


CASES: Final[Sequence[Callable[[str], Report]]] = (
    curl,
    openai,
    replay,
    aiperf,
    inference_perf,
    locust,
    guidellm,
)
