"""`make bench`: prints each figure beside its aim and the calibration loop before and after it, for each build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.builds import PURE, Build, builds
from tests.bench.calibration import calibration_s
from tests.bench.dynamo import DYNAMO, HOW, command_of_dynamo
from tests.bench.http_capacity import LATE_MS, http_capacity
from tests.bench.live_gap import live_gaps
from tests.bench.process import ProcessCost, run_process

TRACES: Final = Path(os.environ.get("TRACES", "../shared/traces"))
CONVERSATION: Final = TRACES / "mooncake_conversation.jsonl"
WHERE: Final = "conversation_trace.jsonl of kvcache-ai/Mooncake, FAST25-release/traces, saved under this name"

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Case:
    """A replay to time, the seconds it should take at most in pure Python and compiled, and how often to run it."""

    name: str
    arguments: tuple[str, ...]
    aims_s: tuple[float, float]
    runs: int

    def aim_s(self, build: str) -> float | None:
        """Of a build; None for what is not ours."""
        pure_s, compiled_s = self.aims_s
        return {"pure": pure_s, "compiled": compiled_s}.get(build)


CASES: Final = (
    Case("conversation trace, 12k requests", (str(CONVERSATION),), (2.0, 1.2), 5),
    Case("the same 30-fold, 361k requests", (str(CONVERSATION), "--superpose", "30"), (30.0, 20.0), 1),
    Case("1,000,000 requests at 800/s", ("examples/azure_conversation_million.yaml",), (30.0, 20.0), 1),
    Case("10,000 tasks of agents, 116k calls", ("tests/bench/agents.yaml",), (60.0, 30.0), 1),
)

KEEPING: Final = ("--autoscaler", "threshold", "--autoscaler-min", "prefill=14,decode=1")
"""An autoscaler with room for more instances, whose decisions keep the plan: results are those without one."""

SCALER_AIM: Final = 1.05

START_UPS: Final = {
    "--version": ("--version",),
    "replay --help": ("replay", "--help"),
    "replay of one request": ("replay", "examples/demo.jsonl", "--limit", "1", "--json"),
}


def interleaved(runs: int, *measured: Callable[[], ProcessCost]) -> list[ProcessCost]:
    """Medians of so many runs of each, one after the other, so that each meets the same machine."""
    rounds = [[one() for one in measured] for _ in range(runs)]
    names = ("wall_s", "cpu_s", "peak_mb")
    return [ProcessCost(*(median(getattr(c, name) for c in costs) for name in names)) for costs in zip(*rounds)]


def replays(compared: list[Build]) -> list[Row]:
    """Whole replays under each build, and of the first beside Dynamo's."""
    rows: list[Row] = []
    print(f"{'what':<46} {'aim':>7} {'wall':>9} {'cpu':>9} {'memory':>8}   calibration before / after")
    for case in CASES:
        if not Path(case.arguments[0]).exists():
            print(f"{case.name:<36} not run: {case.arguments[0]} is absent; get {WHERE}, or set TRACES=DIR")
            continue
        commands = {one.name: [one.supernode, "replay", *case.arguments, "--json"] for one in compared}
        measured = {name: partial(run_process, command) for name, command in commands.items()}
        if DYNAMO and case is CASES[0]:
            measured["Dynamo"] = partial(run_process, command_of_dynamo(CONVERSATION))
        before_s = calibration_s()
        costs = dict(zip(measured, interleaved(case.runs, *measured.values())))
        after_s = calibration_s()
        for name, cost in costs.items():
            aim_s = case.aim_s(name)
            aim = "-" if aim_s is None else f"{aim_s:.1f} s"
            print(
                f"{case.name + ', ' + name:<46} {aim:>7} {cost.wall_s:>7.2f} s {cost.cpu_s:>7.2f} s "
                f"{cost.peak_mb:>5.0f} MB   {before_s:.3f} / {after_s:.3f} s{_over(cost, costs)}"
            )
            row: Row = {"case": case.name, "build": name, "aim_s": aim_s, "wall_s": cost.wall_s}
            rows.append({**row, "cpu_s": cost.cpu_s, "calibration_s": [before_s, after_s]})
    if not DYNAMO:
        print(f"beside Dynamo: not run: {HOW}")
    return rows


def scalers(compared: list[Build]) -> list[Row]:
    """What an autoscaler costs that changes nothing, beside a run without one."""
    if not CONVERSATION.exists():
        return []
    rows: list[Row] = []
    for build in compared:
        replay = [build.supernode, "replay", str(CONVERSATION), "--json"]
        before_s = calibration_s()
        plain, scaled = interleaved(5, partial(run_process, replay), partial(run_process, [*replay, *KEEPING]))
        after_s = calibration_s()
        ratio = scaled.cpu_s / plain.cpu_s
        name = f"an autoscaler, over none, {build.name}"
        print(
            f"{name:<46} {f'x {SCALER_AIM}':>7} {f'x {ratio:.2f}':>9} {scaled.cpu_s:>7.2f} s over {plain.cpu_s:.2f} s"
            f"   {before_s:.3f} / {after_s:.3f} s"
        )
        row: Row = {"case": "autoscaler", "build": build.name, "aim_ratio": SCALER_AIM, "ratio": ratio}
        rows.append({**row, "calibration_s": [before_s, after_s]})
    return rows


def _over(cost: ProcessCost, costs: Mapping[str, ProcessCost]) -> str:
    """Its wall time as a multiple of the pure build's."""
    pure = costs[PURE.name]
    return "" if cost is pure else f"   x {cost.wall_s / pure.wall_s:.2f} of {PURE.name}"


def start_ups(compared: list[Build]) -> list[Row]:
    """Commands that do next to nothing."""
    rows: list[Row] = []
    for name, arguments in START_UPS.items():
        costs = interleaved(5, *(partial(run_process, [build.supernode, *arguments]) for build in compared))
        for build, cost in zip(compared, costs):
            print(f"{'supernode ' + name + ', ' + build.name:<46} {cost.wall_s * 1000:>7.0f} ms")
            rows.append({"case": f"supernode {name}", "build": build.name, "wall_s": cost.wall_s})
    return rows


def insides(build: Build) -> list[Row]:
    """What its own process measures of a build."""
    print(f"-- inside, {build.name}", flush=True)
    out = Path("out/bench_inside.json").resolve()
    command = [build.programs / "python", "-m", "tests.bench.inside", CONVERSATION.resolve(), out]
    subprocess.run(command, cwd=build.folder, check=True)
    rows: list[Row] = json.loads(out.read_text(encoding="utf-8"))
    return [{**row, "build": build.name} for row in rows]


def live() -> list[Row]:
    """How far live runs are from the virtual one; the processes wait most of the time, whatever the build."""
    rows: list[Row] = []
    for gap in live_gaps(PURE.supernode):
        finished = " of ".join(map(str, gap.finished))
        print(
            f"{f'live at speed {gap.speed}, over virtual':<36} {'':>9} TTFT p50 x {gap.ttft_ratio:.3f}, "
            f"TPOT p50 x {gap.tpot_ratio:.3f}, KV transfer p50 x {gap.kv_transfer_ratio:.3f}, finished {finished}"
        )
        ratios = {name: getattr(gap, name) for name in ("ttft_ratio", "tpot_ratio", "kv_transfer_ratio")}
        rows.append({"case": f"live {gap.speed}", **ratios})
    return rows


def http() -> list[Row]:
    """What the HTTP service takes before its tokens are late; on clocks of the wall, as live runs are."""
    rows: list[Row] = []
    for name, (largest, steps) in http_capacity(PURE.supernode).items():
        told = ", ".join(f"{load:,}: {late:.1f} ms" for load, late in steps)
        print(f"{f'HTTP, {name} within {LATE_MS:.0f} ms':<36} {largest:>9,}   p99 late at {told}")
        rows.append({"case": f"HTTP {name}", "largest": largest, "late_p99_ms": dict(steps)})
    return rows


def main() -> int:
    """Run all cases; answers 0 whether or not an aim is met, since a machine's speed is not the project's."""
    compared = builds()
    Path("out").mkdir(exist_ok=True)
    parts: dict[str, Callable[[], list[Row]]] = {
        "replays": lambda: replays(compared),
        "scalers": lambda: scalers(compared),
        "start_ups": lambda: start_ups(compared),
        "inside": lambda: [row for build in compared for row in insides(build)],
        "live": live,
        "http": http,
    }
    skipped = os.environ.get("SKIP", "").replace(",", " ").split()
    if strangers := set(skipped).difference(parts):
        print(f"SKIP: no such parts: {', '.join(strangers)}; known: {', '.join(parts)}", file=sys.stderr)
        return 2
    rows = [row for name, part in parts.items() if name not in skipped for row in part()]
    Path("out/bench.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
