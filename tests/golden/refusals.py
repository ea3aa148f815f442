"""Golden cases of wrong input: the exit code, and the one line that says what is wrong and how to mend it."""

from __future__ import annotations

from typing import Final

from tests.golden.case import Case

DEMO: Final = "examples/demo.jsonl"

REFUSALS: Final[tuple[Case, ...]] = (
    Case(
        "refused_command_lines",
        (
            "replai",
            "--verson",
            "replay",
            f"replay {DEMO} --polcy random",
            f"replay {DEMO} --limit many",
            f"replay {DEMO} --limit 0",
            f"replay {DEMO} --speed 2",
            f"replay {DEMO} --cache none --cache-plane vpc",
            f"replay {DEMO} --start-time 0",
            f"replay {DEMO} --out examples/demo.jsonl",
            f"replay {DEMO} --journal examples",
            f"replay {DEMO} --fail-if slo.attainment",
            f"replay {DEMO} --fail-if ttft_s.p98>1",
            "model",
            "model op gather",
            "hw show cloudmatrix384 --json --yaml",
            f"compare cloudmatrix384 cloudmatrix384 --trace {DEMO}",
            f"compare cloudmatrix384 --trace {DEMO} --size equal-goodput",
            f"compare --policy random --trace {DEMO} --goodput",
            f"compare --policy random --trace {DEMO} --jobs 0",
            "cache reuse --prompt-tokens 1000",
            "trace generate --out x.jsonl --num-requests 5",
            "journal check examples/demo.jsonl",
            "explain 3 nowhere",
        ),
    ),
    Case(
        "refused_settings",
        (
            f"replay {DEMO} --policy cloudmatrx",
            f"replay {DEMO} --policy dynamo_kv:overlap=2",
            f"replay {DEMO} --policy own_policy.py:Stiky",
            f"replay {DEMO} --policy nowhere.py:Sticky",
            f"replay {DEMO} --model deepseek-r2",
            f"replay {DEMO} --plan 14x16p+1x160d+99c",
            f"replay {DEMO} --plan 14x16p",
            f"replay {DEMO} --plan 40x16p+1x160d",
            f"replay {DEMO} --plan 14x16q+1x160d",
            f"replay {DEMO} --plan 2*(14x16p+1x160d",
            f"replay {DEMO} --slo ttft=fast",
            f"replay {DEMO} --site moon",
            f"replay {DEMO} --tariff free",
            f"replay {DEMO} --price rented=-1",
            f"replay {DEMO} --power-cap 10kW",
            f"replay {DEMO} --power-cap much",
            f"replay {DEMO} --parking idle=0s",
            f"replay {DEMO} --admission nobody",
            f"replay {DEMO} --order lifo",
            f"replay {DEMO} --classes chat:prioriti=1",
            f"replay {DEMO} --cache shared",
            f"replay {DEMO} --config names.yaml --cluster gb200-nvl72 --plan 3x8p+1x48d+18c --openmetrics x.txt",
        ),
    ),
    Case(
        "refused_files",
        (
            f"replay {DEMO} --config bad_key.yaml",
            f"replay {DEMO} --config bad_value.yaml",
            f"replay {DEMO} --config bad_syntax.yaml",
            f"replay {DEMO} --config nowhere.yaml",
            f"replay {DEMO} --faults bad_part.yaml",
            f"replay {DEMO} --faults bad_worker.yaml",
            f"replay {DEMO} --background bad_background.yaml",
            f"replay {DEMO} --cluster bad_key.yaml",
            f"replay {DEMO} --model azure.csv",
            f"replay {DEMO} --format azure",
            "journal replay bad_journal",
            "journal repair bad_journal mended",
            "replay bad.jsonl",
            "replay demmo.jsonl",
            "replay bad_key.yaml",
            "replay own_policy.py",
            "trace describe bad.jsonl --skip-bad --json",
            "replay bad.jsonl --skip-bad --plan 2x16p+1x32d+4c --json",
        ),
    ),
)
