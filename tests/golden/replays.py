"""Golden cases of replays on the virtual clock, which together use all that a replay can be asked for.

Plans are small and traces short, so that queues, preemptions, evictions and faults come soon.
"""

from __future__ import annotations

from typing import Final

from tests.golden.case import Case

DEMO: Final = "replay examples/demo.jsonl"
CHATS: Final = "replay chats.yaml"
RUSH: Final = "replay rush.yaml"
SLO: Final = "--slo ttft=2s,tpot=50ms"
SMALL: Final = "--plan 4x16p+2x32d+8c"

RECORDS: Final = ("requests.csv", "decisions.npz")


def _policies(name: str, policies: tuple[str, ...], rest: str) -> Case:
    """One trace under several policies; who was sent where is in the records."""
    steps = tuple(f"{CHATS} --policy {policy} {rest} --json --out {number}" for number, policy in enumerate(policies))
    return Case(name, steps, tuple(f"{number}/{file}" for number in range(len(policies)) for file in RECORDS))


ROUTING: Final[tuple[Case, ...]] = (
    Case(
        "default",
        (
            f"{DEMO} --limit 250 {SLO} --out run --fail-if slo.attainment<1.01 --fail-if ttft_s.p50>9",
            "explain 17 run",
            "explain 120 run --json",
            "explain 9999 run",
            "report run",
        ),
        tuple(f"run/{name}" for name in (*RECORDS, "timeline.csv", "run.json", "summary.json", "report.html")),
    ),
    _policies("policies_by_load", ("round_robin", "least_loaded", "random", "power_of_two", "conductor"), SMALL),
    _policies(
        "policies_by_prefix",
        (
            "cache_aware",
            "cache_aware:balance_abs=4,balance_rel=1.1,cold_by_tree=true",
            "prefix_affinity:imbalanced_threshold=4",
            "dynamo_kv:temperature=0.5,credit_decay=0.1",
            "llmd_weighted",
            "lmetric",
            "xllm_car",
            "xllm_car:integer_division=true",
            "aibrix_pd",
        ),
        f"{SMALL} --cache local",
    ),
    _policies(
        "policies_by_prediction",
        ("mooncake", "slo_aware:target_tpot_ms=12", "conductor:mean_prefill_ms=40"),
        f"{SMALL} {SLO} --rate-scale 3",
    ),
    _policies("policies_unprofiled", ("mooncake", "least_loaded", "dynamo_kv"), "--config unprofiled.yaml"),
    Case(
        "own_policy",
        (
            f"{CHATS} {SMALL} --cache local --policy own_policy.py:Sticky:least_match=0.3 --json",
            f"{CHATS} {SMALL} --policy own_policy.py:Pairs --json",
            f"{CHATS} {SMALL} --limit 60 --policy own_policy.py:Broken --json",
        ),
    ),
)

TROUBLE: Final[tuple[Case, ...]] = (
    Case(
        "fabric_faults",
        (
            f"{CHATS} --limit 70 --plan 4x16p+1x96d+48c --faults fabric_faults.yaml --seed 5 --out run",
            f"{CHATS} --limit 90 {SMALL} --faults fabric_faults.yaml --seed 6 --cache-plane vpc --json",
        ),
        ("run/requests.csv", "run/decisions.npz", "run/run.json", "run/summary.json", "run/timeline.csv"),
    ),
    Case(
        "worker_faults",
        (
            f"{CHATS} {SMALL} --faults worker_faults.yaml --json --out run",
            f"{CHATS} {SMALL} --faults worker_faults.yaml --cache-plane vpc --json",
            f"{CHATS} --plan 4x16p+1x32d+4c --faults worker_faults.yaml --config tiers.yaml --json --out tiers",
            "report run tiers --output both.html",
        ),
        ("run/requests.csv", "run/run.json", "tiers/requests.csv", "both.html"),
    ),
    Case(
        "lost_again",
        (
            "replay long_answers.yaml --plan 2x16p+1x32d+48c --limit 40 --faults often_lost.yaml --json --out run",
            f"{CHATS} {SMALL} --limit 40 --cache local --faults one_lost.yaml --json",
            f"{CHATS} {SMALL} --limit 40 --cache none --faults one_lost.yaml --rate-scale 0.003 --json",
        ),
        ("run/requests.csv",),
    ),
    Case(
        "new_weights",
        (f"{DEMO} --limit 700 --rate-scale 0.3 --faults new_model.yaml --plan 3x16p+2x48d+48c --json --out run",),
        ("run/requests.csv",),
    ),
)

RULES: Final[tuple[Case, ...]] = (
    Case(
        "parking",
        (
            f"{DEMO} --limit 60 --rate-scale 0.1 {SLO} --parking idle=5s --out run",
            f"{CHATS} {SMALL} --parking idle=0.2s,spare=1 --json",
            f"{CHATS} {SMALL} --rate-scale 0.2 --parking idle=0.5s,spare=2 --json",
        ),
        ("run/requests.csv", "run/summary.json", "run/timeline.csv"),
    ),
    Case(
        "power_cap",
        (
            f"{RUSH} {SMALL} {SLO} --power-cap 221kW --json --out run",
            f"{RUSH} {SMALL} --power-cap 0.222MW --parking idle=1s --policy mooncake --json",
        ),
        ("run/requests.csv", "run/timeline.csv"),
    ),
    Case(
        "classes",
        (
            f"{CHATS} --config classes.yaml --rate-scale 3 --json --out run",
            f"{CHATS} --config classes.yaml --limit 100 --rate-scale 0.0001 --json --out deferred",
            f"{CHATS} --config classes.yaml --site us-average --limit 80 --order edf",
            f"{CHATS} {SMALL} --classes chat:priority=2,ttft_s=0.05;late:tenants=1+2 --superpose 3 --limit 60 --json",
        ),
        ("run/requests.csv", "deferred/requests.csv"),
    ),
    Case(
        "admission",
        (
            f"{RUSH} --plan 2x16p+1x32d+4c --admission token_bucket:tokens_per_s=50000,burst_tokens=40000 --json",
            f"{RUSH} --plan 2x16p+1x32d+4c --slo ttft=1s,tpot=20ms --admission slo_early_reject:slack=1.5 --json "
            "--out run",
            f"{RUSH} --plan 2x16p+1x32d+4c --admission shedding:queue_threshold=2 --order priority --json "
            "--classes chat:priority=1;batch:priority=-1",
            f"{RUSH} --config bounded.yaml --json",
        ),
        ("run/requests.csv",),
    ),
    Case(
        "order",
        (
            f"{RUSH} --plan 2x16p+1x32d+4c --order edf --classes chat:ttft_s=0.5;batch:ttft_s=20 --json --out 0",
            f"{RUSH} --plan 2x16p+1x32d+4c --order shortest:ageing_tokens_per_s=500 --json --out 1",
            f"{RUSH} --plan 2x16p+1x32d+4c --order fair:output_weight=3 --superpose 3 --rate-scale 20 --limit 60 "
            "--json --out 2",
        ),
        ("0/requests.csv", "1/requests.csv", "2/requests.csv"),
    ),
)

SYSTEMS: Final[tuple[Case, ...]] = (
    Case(
        "fleet",
        (
            f"{CHATS} --plan 2*(2x16p+1x32d+4c) --superpose 2 --faults fleet_faults.yaml --json --out run",
            f"{CHATS} --plan 1*(2x16p+4c)+2*(1x16p+1x32d+2c) --policy aibrix_pd --cache local --json",
            f"{CHATS} --plan 1*(2x16p+4c)+1*(1x32d) --config crossing.yaml --limit 100 --json",
            f"{CHATS} --plan 2*(2x16p+1x32d+4c) --power-cap 460kW --limit 80 --json",
            f"{CHATS} --plan 2*(2x16p+1x32d+4c) --cluster gb200-nvl72 --policy mooncake --limit 80",
        ),
        ("run/requests.csv", "run/decisions.npz", "run/run.json"),
    ),
    Case(
        "cache_tiers",
        (
            f"{CHATS} --config tiers.yaml --json --out run",
            f"{CHATS} --config quotas.yaml --superpose 3 --json",
            f"{CHATS} --config small_pool.yaml --json",
            f"{CHATS} --config tiers.yaml --cache-plane vpc --json",
        ),
        ("run/requests.csv",),
    ),
    Case(
        "slow_pool",
        (
            f"{CHATS} --plan 14x16p+1x32d+1c --cache-plane vpc --rate-scale 30 --json --out run",
            f"{CHATS} --plan 14x16p+1x32d+1c --cache-plane vpc --rate-scale 30 --faults card_faults.yaml --json",
            f"{CHATS} {SMALL} --cache none --json",
        ),
        ("run/requests.csv",),
    ),
    Case(
        "background",
        (f"{CHATS} {SMALL} --background background.yaml --json --out run", f"{CHATS} {SMALL} --json --out without"),
        ("run/requests.csv", "without/requests.csv"),
        hides_digest=True,
    ),
    Case(
        "little_room",
        (
            "replay long_answers.yaml --config tight.yaml --json --out run",
            "explain 3 run",
            "replay long_answers.yaml --config tight.yaml --faults tight_faults.yaml --json",
        ),
        ("run/requests.csv", "run/decisions.npz"),
    ),
)

FILES: Final[tuple[Case, ...]] = (
    Case(
        "journal",
        (
            f"{CHATS} {SMALL} --limit 100 --journal one --policy mooncake --admission slo_early_reject {SLO} --json",
            "journal check one --json",
            "journal replay one --json",
            "journal repair one mended",
            "journal replay mended",
            f"{CHATS} --config classes.yaml --limit 100 --journal two --faults worker_faults.yaml --json",
            "journal replay two --json",
            f"{CHATS} {SMALL} --limit 50 --journal three --cache local --policy own_policy.py:Sticky --parking idle=1s",
            "journal replay three",
            "journal replay three --policy own_policy.py:Sticky",
            "journal replay one --policy round_robin",
        ),
    ),
    Case(
        "openmetrics",
        (
            f"{CHATS} --config names.yaml --limit 100 --openmetrics own.txt --scrape-interval 2 --json",
            "replay azure.csv --openmetrics dated.txt --cluster gb200-nvl72 --faults gpu_faults.yaml",
            f"{CHATS} --config tiers.yaml --limit 60 --openmetrics tiers.txt --start-time 2025-06-01T12:00:00+02:00 "
            "--faults worker_faults.yaml --parking idle=1s --json",
        ),
        ("own.txt", "dated.txt", "tiers.txt"),
    ),
    Case(
        "clusters",
        (
            f"{DEMO} --limit 60 --cluster gb200-nvl72 --json",
            f"{DEMO} --limit 60 --cluster h800-cluster --model deepseek-v3 --json --out h800",
            f"{DEMO} --limit 60 --cluster h100-cluster --model qwen3-235b-a22b --plan 2x16p+1x32d+8c --cache pool "
            "--cache-plane vpc --json",
            f"{DEMO} --limit 60 --model llama-3.1-70b --plan 2x8p+2x8d+4c --json",
        ),
        ("h800/requests.csv",),
    ),
    Case(
        "own_files",
        (
            f"{DEMO} --limit 60 --cluster examples/h20-cluster.yaml --json",
            f"{DEMO} --limit 60 --model mini_moe.json --plan 2x4p+1x8d+4c --json --out run",
            f"{DEMO} --limit 60 --cluster examples/h20-cluster.yaml --parking idle=2s --site china-west",
        ),
        ("run/requests.csv",),
        hides_digest=True,
    ),
    Case(
        "money",
        (
            f"{DEMO} --limit 40 --site china-west --pue 1.1 --tariff china-average-time-of-use --json",
            f"{DEMO} --limit 40 --price bought=5000000 --site us-texas --json",
            f"{DEMO} --limit 40 --price rented=1.5",
            f"{DEMO} --limit 40 --cluster h100-cluster --price neocloud",
        ),
    ),
    Case(
        "trace_options",
        (
            f"{DEMO} --limit 40 --superpose 3 --rate-scale 2 --seed 7 --json --out run",
            "replay azure.csv --format azure --json",
            "replay burst.csv",
            "replay varied.yaml --seed 11 --json",
            "replay servegen --limit 80 --json",
            "replay demo.jsonl --limit 20",
        ),
        ("run/requests.csv",),
    ),
)
