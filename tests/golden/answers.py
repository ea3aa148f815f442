"""Golden cases of commands that replay nothing, or compare several replays."""

from __future__ import annotations

from typing import Final

from tests.golden.case import Case

DEMO: Final = "examples/demo.jsonl"
SLO: Final = "--slo ttft=2s,tpot=50ms"

ANSWERS: Final[tuple[Case, ...]] = (
    Case(
        "compare_clusters",
        (
            f"compare cloudmatrix384 gb200-nvl72 --trace {DEMO} --limit 60 {SLO} --jobs 1 --json",
            f"compare cloudmatrix384 h800-cluster --trace {DEMO} --limit 40 {SLO} --jobs 1 "
            "--fail-if run.ttft_s.p50>0.05",
        ),
    ),
    Case(
        "compare_goodput",
        (
            f"compare --policy cloudmatrix,round_robin --trace {DEMO} --limit 25 --slo ttft=120ms,tpot=14ms "
            "--plan 2x16p+1x32d+4c --goodput --attainment 0.8 --jobs 1 --json",
        ),
    ),
    Case(
        "compare_equal_goodput",
        (
            f"compare cloudmatrix384 gb200-nvl72 --trace {DEMO} --limit 25 --slo ttft=200ms,tpot=30ms "
            "--size equal-goodput --jobs 1 --json",
            f"compare gb200-nvl72 h100-cluster --trace {DEMO} --limit 12 --slo ttft=200ms,tpot=50ms "
            "--size equal-goodput --jobs 1",
        ),
    ),
    Case(
        "cache_commands",
        (
            f"cache curve {DEMO} --limit 200 --json",
            f"cache curve {DEMO} --limit 100 --superpose 2 --ssd 4 --config small_pool.yaml",
            "cache reuse --prompt-tokens 512 --json",
        ),
    ),
    Case(
        "model_points",
        (
            "model show deepseek-r1 --json",
            "model show mini_moe.json",
            "model show mindformers.yaml --json",
            "model prefill --json",
            "model prefill --cluster h800-cluster --reuse 0.5 --cache-plane vpc --prompt 8192 --batch-tokens 8192",
            "model decode --batch 96 --context 4096 --json",
            "model decode --cluster h800-cluster --tpot-slo 50ms --json",
            "model decode --cluster gb200-nvl72 --model qwen3-235b-a22b --mtp 0 --overlap none --eplb perfect",
            "model decode --cluster examples/h20-cluster.yaml --model llama-3.1-70b --npus 8 --json",
            "model aggregated --batch 24 --json",
            "model op dispatch --json",
            "model op combine --ep 64 --batch 32 --cluster h100-cluster",
        ),
    ),
    Case(
        "hw_show",
        (
            "hw show cloudmatrix384 --json --optical-module 800G",
            "hw show h100",
            "hw show examples/h20-cluster.yaml",
            "hw show gb200-nvl72 --yaml",
        ),
    ),
    Case(
        "hw_power",
        (
            "hw power cloudmatrix384 --json",
            "hw power gb200-nvl72 --phase decode --batch 64 --site us-texas --pue 1.3",
            "hw power examples/h20-cluster.yaml --phase prefill",
            "hw power b200 --json",
        ),
    ),
    Case("validate", ("validate --json --fail-if mape>0.001", "validate")),
    Case("policies", ("policies --json", "policies", "--help", "replay --help")),
    Case(
        "trace_commands",
        (
            f"trace describe {DEMO} --json",
            f"trace describe {DEMO} --limit 300 --superpose 2 --rate-scale 1.5 --seed 4 --out page",
            "trace describe azure.csv --json",
            "trace describe burst.csv",
            "trace describe chats.yaml --json",
            "trace generate --workload chats.yaml --seed 3 --set sessions.think_cv=0.5 --out chats.jsonl --json",
            "trace generate --preset azure_conversation --num-requests 200 --rate-per-s 20 --process gamma --cv 2 "
            "--diurnal-amplitude 0.5 --diurnal-period-s 5 --out bursty.jsonl",
            "trace generate --lengths-from azure.csv --num-requests 50 --rate-per-s 3 --out like_azure.csv --json",
            "trace generate --servegen servegen --rate-per-s 5 --set servegen.duration_s=120 --out served.jsonl --json",
            "trace convert examples/demo.jsonl demo.csv --limit 100 --json",
            "trace convert burst.csv burst.jsonl",
            "trace convert bad.jsonl good.jsonl --skip-bad --json",
        ),
        keep=(
            "page/trace.html",
            "chats.jsonl",
            "bursty.jsonl",
            "like_azure.csv",
            "served.jsonl",
            "demo.csv",
            "burst.jsonl",
            "good.jsonl",
        ),
    ),
)
