"""What a request costs in fleets of one, ten and a hundred supernodes: `python -m tests.bench.fleets`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.bench.__main__ import CONVERSATION
from tests.bench.builds import PURE
from tests.bench.calibration import calibration_s
from tests.bench.process import run_process

PLAN: Final = "14x16p+1x160d+48c"
FLEETS: Final = ((1, 0, 12_031), (10, 0, 12_031), (10, 1, 12_031), (100, 1, 1_204))
"""Supernodes, candidates of each request, and rows of the trace, of which each supernode has a copy."""


def main() -> None:
    """Print a line for each fleet."""
    print("supernodes  candidates  requests   cpu a request   memory   calibration before / after")
    with TemporaryDirectory() as folder:
        for supernodes, candidates, rows in FLEETS:
            settings = Path(folder, f"{candidates}.yaml")
            settings.write_text(f"supernode_candidates: {candidates}\n")
            arguments = [str(CONVERSATION), "--limit", str(rows), "--superpose", str(supernodes), "--json"]
            arguments += ["--plan", f"{supernodes}*({PLAN})", "--config", str(settings)]
            before_s = calibration_s()
            cost = run_process([PURE.supernode, "replay", *arguments])
            requests = rows * supernodes
            print(
                f"{supernodes:10}  {candidates or 'all':>10}  {requests:8,}   {1e6 * cost.cpu_s / requests:10.0f} us"
                f"   {cost.peak_mb:4.0f} MB   {before_s:.3f} / {calibration_s():.3f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
