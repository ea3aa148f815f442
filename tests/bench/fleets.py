"""What a request costs in fleets of one, ten and a hundred supernodes: `python -m tests.bench.fleets`.

Requests of one part of a trace cost more than those of another, so fleets are compared over the same rows, of which
each supernode has a copy. From each run that of a single row is taken off: start-up, and building the instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.__main__ import CONVERSATION
from tests.bench.builds import PURE
from tests.bench.calibration import calibration_s
from tests.bench.process import ProcessCost, run_process

PLAN: Final = "14x16p+1x160d+48c"
ROUNDS: Final = 3
"""Of all fleets that are compared, one after the other, so that each meets the same machine."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`candidates` of each request, 0 for all supernodes; how many `runs` in a round are added up."""

    supernodes: int
    candidates: int
    runs: int = 1

    def run(self, rows: int, folder: Path) -> ProcessCost:
        """Replay so many rows."""
        settings = folder / f"{self.candidates}.yaml"
        settings.write_text(f"supernode_candidates: {self.candidates}\n")
        arguments = [str(CONVERSATION), "--limit", str(rows), "--superpose", str(self.supernodes), "--json"]
        arguments += ["--plan", f"{self.supernodes}*({PLAN})", "--config", str(settings)]
        return run_process([PURE.supernode, "replay", *arguments])


COMPARED: Final = {
    12_031: (Fleet(1, 0), Fleet(10, 0), Fleet(10, 1)),
    1_204: (Fleet(1, 0, runs=10), Fleet(10, 1), Fleet(100, 1)),
}
"""By rows of the trace."""


def main() -> None:
    """Print a line for each fleet."""
    print("   rows  supernodes  candidates  requests   start-up   cpu a request            memory   calibration")
    with TemporaryDirectory() as name:
        for rows, fleets in COMPARED.items():
            compare(rows, fleets, Path(name))


def compare(rows: int, fleets: tuple[Fleet, ...], folder: Path) -> None:
    """Of fleets over the same rows; the first is the measure of the others."""
    before_s = calibration_s()
    rounds = [[measure(fleet, rows, folder) for fleet in fleets] for _ in range(ROUNDS)]
    calibration = f"{before_s:.3f} / {calibration_s():.3f} s"
    for fleet, found in zip(fleets, zip(*rounds)):
        start_s, request_us, memory_mb = (median(values) for values in zip(*found))
        over = median(one[1] / first[0][1] for one, first in zip(found, rounds))
        print(
            f"{rows:7,}  {fleet.supernodes:10}  {fleet.candidates or 'all':>10}  {rows * fleet.supernodes:8,}"
            f"   {start_s:6.2f} s   {request_us:7.0f} us   x {over:4.2f}   {memory_mb:5.0f} MB   {calibration}",
            flush=True,
        )


def measure(fleet: Fleet, rows: int, folder: Path) -> tuple[float, float, float]:
    """Seconds of processor for a single row, microseconds for each request of the others, and MB."""
    starts = [fleet.run(1, folder).cpu_s for _ in range(fleet.runs)]
    whole = [fleet.run(rows, folder) for _ in range(fleet.runs)]
    start_s = sum(starts) / fleet.runs
    request_s = (sum(one.cpu_s for one in whole) / fleet.runs - start_s) / (fleet.supernodes * (rows - 1))
    return start_s, 1e6 * request_s, max(one.peak_mb for one in whole)


if __name__ == "__main__":
    main()
