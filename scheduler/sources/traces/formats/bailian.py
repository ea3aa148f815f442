"""Bailian (Qwen) traces: seconds from the start, and ids of 16 prompt tokens; each row is its whole request.

`chat_id`, `parent_chat_id` and `turn` say which request followed which, `type` what was asked (text, search, image,
file): neither changes when a request came or how long it is. The README calls ids salted hashes of blocks, which may
leave out what stands before them, so they are looked at. Source: alibaba-edu/qwen-bailian-usagetraces-anon, README.md.
"""

from __future__ import annotations

from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.time_units import SECONDS
from scheduler.sources.traces.unread import HARMLESS

FORMATS.register(
    "bailian",
    JsonFormat(
        time="timestamp",
        unit=SECONDS,
        prompt_tokens="input_length",
        output_tokens="output_length",
        block_ids="hash_ids",
        turn="chat_id",
        turn_before="parent_chat_id",
        tokens_per_id=16,
        marks=("chat_id", "parent_chat_id", "turn"),
        harmless=(*HARMLESS, "chat_id", "parent_chat_id", "turn", "type"),
    ),
)
