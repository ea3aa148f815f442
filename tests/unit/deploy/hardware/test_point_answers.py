"""What is said of an aggregated instance is what a replay of it measures, on loads that stay as they are."""

from __future__ import annotations

from math import floor
from pathlib import Path

import pytest

from deploy.hardware.operating_points import InstanceOptions
from deploy.hardware.point_answers import answer_aggregated
from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.load import load_settings
from scheduler.sources.traces.options import TraceOptions

WARMUP = 300
NUM_REQUESTS = 2500


@pytest.mark.parametrize(
    ("cluster", "model", "npus", "batch", "prompt", "output"),
    [
        ("cloudmatrix384", "deepseek-r1", 16, 8, 8192, 512),
        ("cloudmatrix384", "deepseek-r1", 16, 6, 1024, 1024),
        ("h800-cluster", "llama-3.1-70b", 8, 12, 2048, 256),
        ("h200-cluster", "qwen3-235b-a22b", 8, 12, 3000, 512),
    ],
)
def test_a_replay_of_a_constant_load_measures_it(
    tmp_path: Path, cluster: str, model: str, npus: int, batch: int, prompt: int, output: int
) -> None:
    lengths = [round(output * share / 4) for share in range(1, 8)]
    workload = tmp_path / "load.yaml"
    workload.write_text(
        f"num_requests: {NUM_REQUESTS}\narrivals: {{rate_per_s: 1000}}\n"
        f"prompt_tokens: {{values: [{prompt}]}}\noutput_tokens: {{values: {lengths}}}\n"
    )
    told = {"cluster": cluster, "model": model, "plan": f"1x{npus}a", "cache": "none", "concurrency": npus * batch}
    job = ReplayJob(
        str(workload), TraceOptions(None, 1, 1.0, 0, False, None), load_settings(None, {**told, "warmup": WARMUP})
    )
    summary = replay_virtual(job).summary
    # Of the requests in flight, those whose prompt is being computed do not decode.
    running = summary.decode_load.batch_per_npu or 0.0
    below, above = (
        answer_aggregated(InstanceOptions(num_npus=npus), cluster, model, batch=count, prompt=prompt, output=output)
        for count in (floor(running), floor(running) + 1)
    )

    def expected(name: str) -> float:
        return below[name] + (running - floor(running)) * (above[name] - below[name])

    assert summary.tpot_s.p50 == pytest.approx(expected("tpot_s"), rel=0.04)
    assert summary.per_npu.decode.tokens_per_s == pytest.approx(expected("tokens_per_s_per_npu"), rel=0.04)
    assert summary.per_npu.prefill.watts == pytest.approx(expected("watts_per_npu"), rel=0.03)
