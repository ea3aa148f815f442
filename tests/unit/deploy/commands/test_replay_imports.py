"""A virtual replay imports what it uses and nothing that others use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[4]

DRIVER: Final = """
import json, sys
from deploy.cli import main
assert main(["replay", *sys.argv[1:]]) == 0
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

LIBRARIES: Final = frozenset(
    {"aiohttp", "asyncio", "email", "msgpack", "numpy.ma", "numpy.random", "plotly", "prometheus_client", "psutil"}
    | {"pydantic", "pydantic_core", "ray", "rich", "uvloop", "yaml"}
)

ROOMS: Final = frozenset(
    {
        "deploy.cluster",
        "deploy.compare",
        "deploy.dashboards",
        "deploy.hardware.model_page",
        "deploy.live",
        "deploy.pages",
        "deploy.report",
        "deploy.run.openmetrics",
        "deploy.statistics.seeds",
        "scheduler.metrics.bounds",
        "scheduler.metrics.export",
        "scheduler.metrics.outcome.table",
        "scheduler.policies.own",
        "scheduler.policies.routing.aibrix",
        "scheduler.policies.routing.sglang",
        "scheduler.runtime.journal",
        "scheduler.runtime.live",
        "scheduler.sources.faults",
        "scheduler.sources.profiler",
        "scheduler.sources.synthetic",
        "scheduler.sources.traces.shaping.copies",
        "sim_hw.clusters.gb200_nvl72",
        "sim_hw.clusters.hopper",
        "sim_hw.validation",
        "workers.ray_shell",
    }
)


def imported(*arguments: str) -> set[str]:
    """Names of all modules that a replay of one request of the demo imported, and of the packages they are in."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(ROOT / "examples" / "demo.jsonl"), "--limit", "1", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_a_replay_imports_no_library_and_no_room_that_it_has_no_use_for() -> None:
    assert not imported("--json") & (LIBRARIES | ROOMS)


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["--fail-if", "wall_s>1e9"], "scheduler.metrics.bounds"),
        (["--superpose", "2"], "scheduler.sources.traces.shaping.copies"),
        (["--policy", "cache_aware"], "scheduler.policies.routing.sglang"),
        (["--policy", "random"], "numpy.random"),
        ([], "scheduler.metrics.outcome.table"),
    ],
)
def test_what_is_asked_for_is_imported(arguments: list[str], module: str) -> None:
    assert module in LIBRARIES | ROOMS
    assert module in imported(*arguments)


def test_every_room_that_is_held_off_is_there() -> None:
    for name in ROOMS:
        path = ROOT / name.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), name
