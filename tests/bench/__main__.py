"""`make bench`: prints each figure beside its aim and the calibration loop before and after it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final

from scheduler.protocol.fabric_messages import TransferKind
from tests.bench.cache_store import store_costs
from tests.bench.calibration import calibration_s
from tests.bench.decisions import AIMS_US, NUM_BLOCKS, decision_us
from tests.bench.fabric import contention_cost, flow_us
from tests.bench.live_gap import live_gaps
from tests.bench.process import ProcessCost, run_process
from tests.bench.scrape import scrape_cost

SUPERNODE: Final = str(Path(sys.executable).parent / "supernode")
TRACES: Final = Path(os.environ.get("TRACES", "../shared/traces"))
CONVERSATION: Final = TRACES / "mooncake_conversation.jsonl"
WHERE: Final = "conversation_trace.jsonl of kvcache-ai/Mooncake, FAST25-release/traces, saved under this name"


@dataclass(frozen=True, slots=True)
class Case:
    """A replay to time, the seconds it should take at most, and how often to run it."""

    name: str
    arguments: tuple[str, ...]
    aim_s: float
    runs: int


CASES: Final = (
    Case("conversation trace, 12k requests", (str(CONVERSATION),), 1.0, 5),
    Case("the same 30-fold, 361k requests", (str(CONVERSATION), "--superpose", "30"), 14.0, 1),
    Case("1,000,000 requests at 800/s", ("examples/azure_conversation_million.yaml",), 14.0, 1),
)


SCRAPES: Final = {
    "own names": ("own",),
    "with vLLM's": ("own", "vllm"),
    "all": ("own", "vllm", "ascend", "genai"),
}


def decisions() -> list[dict[str, object]]:
    """Every policy with 15 and with 200 prefill instances; the aims are for 15."""
    rows: list[dict[str, object]] = []
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


def _cache_rows() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for cost in store_costs():
        print(
            f"{f'cache pool of a million blocks, {cost.name}':<36} {'':>9} {cost.look_up_us:>6.1f} us a look-up, "
            f"{cost.store_us:.1f} us a store (20 blocks, half of them found)"
        )
        rows.append({"case": f"cache {cost.name}", "look_up_us": cost.look_up_us, "store_us": cost.store_us})
    return rows


def main() -> int:
    """Run all cases; answers 0 whether or not an aim is met, since a machine's speed is not the project's."""
    rows: list[dict[str, object]] = []
    print(f"{'what':<36} {'aim':>9} {'wall':>9} {'cpu':>9} {'memory':>8}   calibration before / after")
    for case in CASES:
        trace = Path(case.arguments[0])
        if not trace.exists():
            print(f"{case.name:<36} not run: {trace} is absent; get {WHERE}, or set TRACES=DIR")
            continue
        before_s = calibration_s()
        costs = [run_process([SUPERNODE, "replay", *case.arguments, "--json"]) for _ in range(case.runs)]
        after_s = calibration_s()
        cost = ProcessCost(*(median(getattr(c, name) for c in costs) for name in ("wall_s", "cpu_s", "peak_mb")))
        print(
            f"{case.name:<36} {case.aim_s:>7.1f} s {cost.wall_s:>7.2f} s {cost.cpu_s:>7.2f} s {cost.peak_mb:>5.0f} MB"
            f"   {before_s:.3f} / {after_s:.3f} s"
        )
        calibration = [before_s, after_s]
        rows.append({"case": case.name, "aim_s": case.aim_s, "wall_s": cost.wall_s, "calibration_s": calibration})
    for name in ("--version", "replay --help"):
        cost = run_process([SUPERNODE, *name.split()])
        print(f"{'supernode ' + name:<36} {'':>9} {cost.wall_s * 1000:>6.0f} ms")
        rows.append({"case": f"supernode {name}", "wall_s": cost.wall_s})
    for kind in (TransferKind.CACHE_READ, TransferKind.KV_TRANSFER):
        microseconds = flow_us(kind)
        name = f"flow among 10,000, {kind.name.lower().replace('_', ' ')}"
        print(f"{name:<36} {'100 us':>9} {microseconds:>6.0f} us")
        rows.append({"case": name, "aim_us": 100, "us": microseconds})
    if CONVERSATION.exists():
        contention = contention_cost(str(CONVERSATION))
        print(
            f"{'contention, over unlimited links':<36} {'x 1.3':>9} {'x ' + format(contention.ratio, '.2f'):>9}"
            f"   {contention.contended_s:.2f} / {contention.unlimited_s:.2f} s"
        )
        rows.append({"case": "contention", "aim_ratio": 1.3, "ratio": contention.ratio})
    rows += _cache_rows()
    rows += decisions()
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
        rows.append({"case": f"scrape, {title}", **asdict(scrape)})
    for gap in live_gaps(SUPERNODE):
        finished = " of ".join(map(str, gap.finished))
        print(
            f"{f'live at speed {gap.speed}, over virtual':<36} {'':>9} TTFT p50 x {gap.ttft_ratio:.3f}, "
            f"TPOT p50 x {gap.tpot_ratio:.3f}, KV transfer p50 x {gap.kv_transfer_ratio:.3f}, finished {finished}"
        )
        ratios = {name: getattr(gap, name) for name in ("ttft_ratio", "tpot_ratio", "hand_over_ratio")}
        rows.append({"case": f"live {gap.speed}", **ratios})
    Path("out").mkdir(exist_ok=True)
    Path("out/bench.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
