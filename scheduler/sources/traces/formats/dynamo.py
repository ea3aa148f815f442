"""Dynamo's replay rows: Mooncake's, whose fields may have other names; sessions of whole prompts, and of what each turn
adds (`mooncake-delta`, whose rows look no different: `--format dynamo --turns delta`); and graphs of calls.

Times of agentic rows are milliseconds with decimals. Source: ai-dynamo/dynamo, docs/benchmarks/dynosim-runs.md, and
lib/data-gen/src/mooncake.rs.
"""

from __future__ import annotations

from typing import Any, Final

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.time_units import MILLISECONDS, WHOLE_MILLISECONDS
from scheduler.sources.traces.unread import HARMLESS

_NAMES: Final[dict[str, Any]] = {
    "time": "timestamp",
    "prompt_tokens": "input_length",
    "output_tokens": "output_length",
    "block_ids": "hash_ids",
    "also": {"created_time": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"},
    "harmless": (*HARMLESS, "request_kind", "tool_events"),
}
_OTHER_NAMES: Final = ("created_time", "input_tokens", "output_tokens")

FORMATS.register(
    "dynamo", JsonFormat(**_NAMES, unit=WHOLE_MILLISECONDS, marks=(*_OTHER_NAMES, "delay_ms", "session_id"))
)
FORMATS.register(
    "agentic_mooncake",
    JsonFormat(
        **_NAMES,
        unit=MILLISECONDS,
        is_agentic=True,
        needs_any=("wait_for", "branches"),
        marks=(*_OTHER_NAMES, "delay_ms", "wait_for", "tool_wait_ms", "branches", "prefix_reset"),
    ),
)
