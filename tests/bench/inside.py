"""What is measured inside a process: `python -m tests.bench.inside TRACE OUT`, in the environment of each build."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from msgspec import to_builtins

from scheduler.protocol.fabric_messages import TransferKind
from tests.bench.cache_store import store_costs
from tests.bench.calibration import calibration_s
from tests.bench.decisions import AIMS_US, NUM_BLOCKS, decision_us
from tests.bench.fabric import contention_cost, flow_us
from tests.bench.scrape import scrape_cost

Row = dict[str, object]

SCRAPES: Final = {
    "own names": ("own",),
    "with vLLM's": ("own", "vllm"),
    "all": ("own", "vllm", "ascend", "genai"),
}


def flows() -> list[Row]:
    """One transfer among many."""
    rows: list[Row] = []
    for kind in (TransferKind.CACHE_READ, TransferKind.KV_TRANSFER):
        microseconds = flow_us(kind)
        name = f"flow among 10,000, {kind.name.lower().replace('_', ' ')}"
        print(f"{name:<36} {'100 us':>9} {microseconds:>6.0f} us")
        rows.append({"case": name, "aim_us": 100, "us": microseconds})
    return rows


def contention(trace: Path) -> list[Row]:
    """What shared links cost a whole run; nothing without its trace."""
    if not trace.exists():
        return []
    cost = contention_cost(str(trace))
    print(
        f"{'contention, over unlimited links':<36} {'x 1.3':>9} {'x ' + format(cost.ratio, '.2f'):>9}"
        f"   {cost.contended_s:.2f} / {cost.unlimited_s:.2f} s"
    )
    return [{"case": "contention", "aim_ratio": 1.3, "ratio": cost.ratio}]


def decisions() -> list[Row]:
    """Every policy with 15 and with 200 prefill instances; the aims are for 15."""
    rows: list[Row] = []
    before_s = calibration_s()
    print(f"{'routing decisions, microseconds':<44} {'aim':>7} {'15':>8} {'p99':>8} {'200':>8} {'p99':>8}   us")
    for policy, aim_us in AIMS_US.items():
        (few_us, few_p99), (many_us, many_p99) = (decision_us(policy, num, NUM_BLOCKS) for num in (15, 200))
        print(f"  {policy:<42} {aim_us:>7} {few_us:>8.1f} {few_p99:>8.1f} {many_us:>8.1f} {many_p99:>8.1f}")
        times = {"us": few_us, "p99_us": few_p99, "us_200": many_us, "p99_us_200": many_p99}
        rows.append({"case": f"decision {policy}", "aim_us": aim_us, **times})
    after_s = calibration_s()
    print(f"  calibration {before_s:.3f} / {after_s:.3f} s")
    return [*rows, {"case": "decisions", "calibration_s": [before_s, after_s]}]


def cache_pools() -> list[Row]:
    """A look-up and a store in pools of a million blocks."""
    rows: list[Row] = []
    for cost in store_costs():
        print(
            f"{f'cache pool of a million blocks, {cost.name}':<36} {'':>9} {cost.look_up_us:>6.1f} us a look-up, "
            f"{cost.store_us:.1f} us a store (20 blocks, half of them found)"
        )
        rows.append({"case": f"cache {cost.name}", "look_up_us": cost.look_up_us, "store_us": cost.store_us})
    return rows


def scrapes() -> list[Row]:
    """A page of metrics, and the snapshot behind it."""
    rows: list[Row] = []
    for title, names in SCRAPES.items():
        scrape = scrape_cost(names)
        print(
            f"{f'scrape, 384 NPUs, {title}':<36} {'':>9} {scrape.render_ms:>6.2f} ms for {scrape.num_samples:,} "
            f"samples, {scrape.num_bytes / 1e3:,.0f} kB; gzip {scrape.gzip_ms:.2f} ms to "
            f"{scrape.packed_bytes / 1e3:.0f} kB"
        )
        print(
            f"{'snapshot, each emulated second':<36} {'':>9} {scrape.snapshot_ms:>6.2f} ms, at most "
            f"{scrape.slowest_snapshot_ms:.2f} ms; tap {scrape.tap_us:.1f} us a message"
        )
        rows.append({"case": f"scrape, {title}", **to_builtins(scrape)})
    return rows


def main() -> int:
    """Print each figure, and write all of them as JSON."""
    trace, out = map(Path, sys.argv[1:])
    rows = [*flows(), *contention(trace), *cache_pools(), *decisions(), *scrapes()]
    out.write_text(json.dumps(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
