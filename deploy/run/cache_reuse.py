"""What reuse of prefixes is worth: TTFT and prefill throughput by the share of a prompt that is cached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct

from deploy.run.replay import ReplayJob, replay_virtual
from deploy.settings.models import PlaneText
from deploy.settings.settings import Settings
from scheduler.metrics.records import Records
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.options import TraceOptions

PLANES: Final[tuple[PlaneText, ...]] = ("ub", "vpc")

NUM_PREFIXES: Final = 64
NUM_AT_ONCE: Final = 2048
NUM_ALONE: Final = 20
APART_MS: Final = 1_000
BURST_MS: Final = 60_000
"""When the prompts begin to come: long after the prefixes were stored."""


class ReuseRow(Struct, frozen=True):
    """With that share of each prompt stored before: median TTFT of prompts that come alone, seconds, and tokens a
    second and NPU, cached ones included, of many that come at once; by plane of the cache."""

    reuse: float
    ttft_s: dict[str, float]
    tokens_per_s: dict[str, float]


def reuse_rows(settings: Settings, prompt_tokens: int) -> Iterator[ReuseRow]:
    """From nothing to all but the last block of a prompt, block by block."""
    num_npus = sum(npus for one in settings.hardware.plan.supernodes for npus in one.prefill_npus)
    num_blocks = prompt_tokens // BLOCK_TOKENS
    with TemporaryDirectory() as folder:
        path = Path(folder) / "reuse.jsonl"
        for reused in range(num_blocks):
            ttft_s: dict[str, float] = {}
            tokens_per_s: dict[str, float] = {}
            for plane in PLANES:
                on_plane = settings.changed(cache_plane=plane)
                alone = _replayed(path, on_plane, (prompt_tokens, reused), NUM_ALONE, APART_MS)
                ttft_s[plane] = median((alone.first_token_ns - alone.arrived_ns)[NUM_PREFIXES:].tolist()) / 1e9
                at_once = _replayed(path, on_plane, (prompt_tokens, reused), NUM_AT_ONCE, 0)
                took_s = int(at_once.first_token_ns.max()) / 1e9 - BURST_MS / 1e3
                tokens_per_s[plane] = NUM_AT_ONCE * prompt_tokens / took_s / num_npus
            yield ReuseRow(reused / num_blocks, ttft_s, tokens_per_s)


def _replayed(path: Path, settings: Settings, prompt: tuple[int, int], num_prompts: int, apart_ms: int) -> Records:
    """Some prompts, `prompt` being (tokens, blocks stored before), so far apart."""
    prompt_tokens, reused = prompt
    num_blocks = prompt_tokens // BLOCK_TOKENS
    prefixes = [[num_blocks * i + j for j in range(num_blocks)] for i in range(NUM_PREFIXES)]
    rows: list[dict[str, object]] = [{"timestamp": 0, "hash_ids": prefix} for prefix in prefixes]
    for number in range(num_prompts):
        own = [num_blocks * (NUM_PREFIXES + number) + j for j in range(reused, num_blocks)]
        blocks = prefixes[number % NUM_PREFIXES][:reused] + own
        rows.append({"timestamp": BURST_MS + number * apart_ms, "hash_ids": blocks})
    lengths = {"input_length": prompt_tokens, "output_length": 1}
    path.write_text("".join(json.dumps(row | lengths) + "\n" for row in rows))
    return replay_virtual(ReplayJob(str(path), TraceOptions(), settings)).records
