"""The same trace in the offline replay of NVIDIA's Dynamo (Rust), where its wheel is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

DYNAMO: Final = os.environ.get("DYNAMO", "")
"""A virtual environment that holds it."""

WORKERS: Final = 8
"""Of each stage. It has neither a fabric nor energy; times of steps are those of its default timing model."""

HOW: Final = "pip install ai-dynamo in an environment of its own, then DYNAMO=VENV make bench"

_PROGRAM: Final = f"""
import sys
from dynamo.replay import run_trace_replay
prefill, decode = ({{"engine": {{"worker_type": role, "block_size": 512}}}} for role in ("prefill", "decode"))
run_trace_replay(
    [sys.argv[1]], prefill_engine_args=prefill, decode_engine_args=decode,
    num_prefill_workers={WORKERS}, num_decode_workers={WORKERS}, trace_block_size=512,
)
"""


def command_of_dynamo(trace: Path) -> list[str]:
    """It replays a Mooncake trace."""
    return [str(Path(DYNAMO) / "bin" / "python"), "-c", _PROGRAM, str(trace)]
