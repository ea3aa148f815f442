"""Mooncake JSONL and the part of its AIPerf superset that is a fixed schedule of token counts.

`class` is this project's own: the name of a request class. Sources: kvcache-ai/Mooncake, FAST25-release/README.md;
ai-dynamo/aiperf, docs/benchmark-modes/trace-replay.md.
"""

from __future__ import annotations

from typing import Final

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat

NS_PER_MS: Final = 1_000_000

_CLOSED_LOOP: Final = "a delay after the previous turn (closed loop) is not supported: the trace replays fixed times"

FORMATS.register(
    "mooncake",
    JsonFormat(
        time="timestamp",
        unit="ms",
        ns_per_unit=NS_PER_MS,
        prompt_tokens="input_length",
        output_tokens="output_length",
        block_ids="hash_ids",
        class_name="class",
        unsupported={
            "text_input": "prompts as text are not supported: the trace replays token counts",
            "messages": "prompts as messages are not supported: the trace replays token counts",
            "delay": _CLOSED_LOOP,
            "delay_ms": _CLOSED_LOOP,
        },
    ),
)
