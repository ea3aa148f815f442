"""Replays one day on a cluster of 128 H20, with splits that stand and with autoscalers.

Names behind `python -m tests.bench.elastic` are the rows to run, such as `8p+6d` for a split, `sla` for an autoscaler,
or `12a/sla` for one that begins with another split; `--keep DIR` keeps the trace there between runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from deploy.cli import main as supernode

HERE: Final = Path(__file__).parent
SYSTEM: Final = ("--cluster", "examples/h20-cluster.yaml", "--model", "llama-3.1-70b", "--cache", "none")
SLO: Final = "ttft=15s,tpot=40ms"
FIRST: Final = "8p+6d"
"""The split with which a run under an autoscaler begins."""

ROWS: Final = ("7p+6d", "8p+5d", "8p+6d", "9p+6d", "8p+8d", "threshold", "queue", "sla", "energy")

HEAD: Final = ("", "attained", "NPU hours", "GJ", "USD", "changes", "switches")


def make_trace(folder: Path) -> Path:
    """Both flows of the day in one file, in the order of time."""
    trace = folder / "day.jsonl"
    if not trace.exists():
        lines: list[str] = []
        for name in ("documents", "reasoning"):
            part = folder / f"{name}.jsonl"
            run(["trace", "generate", "--workload", str(HERE / f"{name}.yaml"), "--out", str(part)])
            lines += part.read_text(encoding="utf-8").splitlines(keepends=True)
        lines.sort(key=lambda line: json.loads(line)["timestamp"])
        trace.write_text("".join(lines), encoding="utf-8")
    return trace


def run(arguments: Sequence[str]) -> str:
    """One command; what it says on stdout."""
    out = StringIO()
    with redirect_stdout(out):
        code = supernode(list(arguments))
    if code:
        sys.exit(f"supernode {' '.join(arguments)}: exit code {code}")
    return out.getvalue()


def plan_of(split: str) -> str:
    """Of `8p+6d`: instances of 8 NPUs."""
    return "+".join(f"{term[:-1]}x8{term[-1]}" for term in split.split("+"))


def replay(trace: Path, row: str) -> dict[str, Any]:
    """The JSON of one row."""
    split, _, scaler = row.rpartition("/")
    if not split and scaler[0].isdigit():
        split, scaler = scaler, "static"
    how = ["--plan", plan_of(split or FIRST), "--autoscaler", scaler]
    return json.loads(run(["replay", str(trace), *SYSTEM, "--slo", SLO, *how, "--json"]))


def cells(row: str, found: dict[str, Any]) -> tuple[str, ...]:
    """Of one row of the table; joules and dollars are those of the NPUs that instances had, at the meter."""
    scaling = found.get("scaling")
    npus = sum(8 * int(term[:-1]) for term in row.split("+")) if scaling is None else 0
    npu_hours = npus * found["simulated_s"] / 3600 if scaling is None else scaling["npu_hours"]
    changes = ("", "") if scaling is None else (str(scaling["changes"]), str(scaling["switches"]))
    energy_gj, usd = found["energy"]["plan"]["joules"] / 1e9, found["cost"]["plan"]["usd"]
    return row, f"{found['slo']['attainment']:.4f}", f"{npu_hours:,.0f}", f"{energy_gj:.2f}", f"{usd:,.0f}", *changes


def main() -> None:
    """Print the table as Markdown, row by row."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.elastic", description=__doc__)
    parser.add_argument("rows", nargs="*", default=ROWS, metavar="ROW")
    parser.add_argument("--keep", type=Path)
    told = parser.parse_args()
    with TemporaryDirectory() as folder:
        trace = make_trace(told.keep or Path(folder))
        print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
        for row in told.rows:
            print(f"| {' | '.join(cells(row, replay(trace, row)))} |", flush=True)


if __name__ == "__main__":
    main()
