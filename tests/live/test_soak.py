"""Memory of a standing cluster is bounded by what is open, not by what was."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.standing import ROOT, SMALL, Standing, command_line

pytestmark = [pytest.mark.live, pytest.mark.soak, pytest.mark.timeout(3600)]

DEMO = str(ROOT / "examples" / "demo.jsonl")
NUM_REPLAYS = 20
"""Of 1,500 requests each; the first makes what is made once."""

BOUNDS_MB = {"gcs_server": 15.0, "ControlPlane": 15.0, "HostActor": 15.0, "raylet": 10.0}
"""By which each process may have grown from the end of the first replay to that of the last."""


def memory_mb(standing: Standing) -> dict[str, float]:
    """The largest process of each kind, without what it shares."""
    found: dict[str, float] = {}
    for pid in standing.cluster().members:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        anonymous = next((line.split()[1] for line in status if line.startswith("RssAnon")), "0")
        for kind in BOUNDS_MB:
            if kind in command_line(pid).partition(" ")[0]:
                found[kind] = max(found.get(kind, 0.0), int(anonymous) / 1024)
    return found


def test_what_was_leaves_nothing(tmp_path: Path) -> None:
    standing = Standing(tmp_path / "run")
    standing.run("up", "--detach", *SMALL)
    try:
        standing.run("replay", DEMO, "--live", "--speed", "20")
        first = memory_mb(standing)
        for _ in range(NUM_REPLAYS - 1):
            standing.run("replay", DEMO, "--live", "--speed", "20")
        grown = {kind: last - first[kind] for kind, last in memory_mb(standing).items()}
    finally:
        standing.run("down")
    assert set(grown) == set(BOUNDS_MB)
    assert all(grown[kind] < BOUNDS_MB[kind] for kind in grown), grown
