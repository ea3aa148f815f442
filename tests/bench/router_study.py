"""What it costs that several routers serve the same instances, each by its own, ageing view: `python -m
tests.bench.router_study`, a table for docs/fleets/scale.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import supernode

TRACES: Final = Path(os.environ.get("TRACES", "../shared/traces"))
TRACE: Final = TRACES / "mooncake_conversation.jsonl"
POLICIES: Final = ("round_robin", "cloudmatrix", "least_loaded", "power_of_two", "dynamo_kv")
AGES_S: Final = (0.1, 1.0)
ROUTERS: Final = (1, 4, 16)
SETTINGS: Final[dict[str, supernode.Keyword]] = {
    "plan": "14x16p+2x80d+48c",
    "rate_scale": 4.0,
    "spread": "random:3s",
    "slo": "ttft=2s,tpot=50ms",
}


def row(policy: str, **settings: supernode.Keyword) -> str:
    """TTFT and attainment of one run as cells."""
    run = supernode.replay(str(TRACE), policy=policy, **SETTINGS, **settings)
    return f"{run['ttft_s.p50'] * 1e3:.0f}, {run['ttft_s.p99']:.2f}, {run['slo.attainment'] * 100:.1f}"


def main() -> None:
    """Print the table."""
    print("TTFT p50 in ms, p99 in s, requests within the SLO in %\n")
    print("| view | routers | " + " | ".join(POLICIES) + " |")
    print("|---|---|" + "---|" * len(POLICIES))
    print("| as it is | 1 | " + " | ".join(row(policy) for policy in POLICIES) + " |", flush=True)
    for counts in (False, True):
        for age_s in AGES_S:
            for routers in ROUTERS:
                view = f"{age_s:g} s old" + (" and what it sent since" if counts else "")
                cells = [row(p, view_age_s=age_s, routers=routers, counts_sends=counts) for p in POLICIES]
                print(f"| {view} | {routers} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
