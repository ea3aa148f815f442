"""A run folder as `replay --out` writes it, of the start of the shipped trace."""

from __future__ import annotations

from pathlib import Path

from deploy.cli import main

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
NUM_REQUESTS = 200


def make_run(folder: Path, *arguments: str) -> Path:
    """Replay into a folder; answers it."""
    command = ["replay", DEMO, "--limit", str(NUM_REQUESTS), "--slo", "ttft=2s,tpot=50ms", "--out", str(folder)]
    assert main([*command, *arguments]) == 0
    return folder
