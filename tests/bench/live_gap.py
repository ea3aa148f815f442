"""How far live runs on Ray are from the virtual run of the same trace, at several speeds."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any, Final

TRACE: Final = "examples/demo.jsonl"
NUM_REQUESTS: Final = 150
SPEEDS: Final = (1, 10, 20)


@dataclass(frozen=True, slots=True)
class LiveGap:
    """Live over virtual: ratios of medians, and the requests that finished on both sides.

    `kv_transfer_ratio` is of the times that KV transfers were waited for.
    """

    speed: int
    ttft_ratio: float
    tpot_ratio: float
    kv_transfer_ratio: float
    finished: tuple[int, int]


def live_gaps(supernode: str) -> list[LiveGap]:
    """One live run per speed, each on a cluster of its own, against one virtual run."""
    virtual = _replay(supernode)
    gaps: list[LiveGap] = []
    for speed in SPEEDS:
        live = _replay(supernode, "--live", "--speed", str(speed))
        ttft, tpot = (live[name]["p50"] / virtual[name]["p50"] for name in ("ttft_s", "tpot_s"))
        kv_transfer = live["fabric"]["rdma"]["transfer_s"]["p50"] / virtual["fabric"]["rdma"]["transfer_s"]["p50"]
        gaps.append(
            LiveGap(speed, ttft, tpot, kv_transfer, (live["requests"]["finished"], virtual["requests"]["finished"]))
        )
    return gaps


def _replay(supernode: str, *more: str) -> dict[str, Any]:
    command = [supernode, "replay", TRACE, "--limit", str(NUM_REQUESTS), "--json", *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
