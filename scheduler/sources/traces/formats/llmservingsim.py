"""LLMServingSim's workloads: nanoseconds, token counts, and the tokens themselves, of which blocks are made; and the
older tables, which have no tokens.

Rows of sessions (`sub_requests`) wait for each other and are refused. Source: casys-kaist/LLMServingSim, the reference
of the workload format (`input_toks`, `output_toks`, `arrival_time_ns`), and dataset/*.tsv of its first version.
"""

from __future__ import annotations

from typing import Any, Final

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.row_format import IdMeaning
from scheduler.sources.traces.time_units import NANOSECONDS
from scheduler.sources.traces.unread import HARMLESS

_NAMES: Final[dict[str, Any]] = {
    "time": "arrival_time_ns",
    "unit": NANOSECONDS,
    "prompt_tokens": "input_toks",
    "output_tokens": "output_toks",
}

FORMATS.register(
    "llmservingsim",
    JsonFormat(
        **_NAMES,
        block_ids="input_tok_ids",
        has_token_ids=True,
        tokens_per_id=16,
        meaning=IdMeaning.TEXT,
        marks=("input_tok_ids", "output_tok_ids", "sub_requests"),
        harmless=(*HARMLESS, "output_tok_ids"),
    ),
)
FORMATS.register("llmservingsim_table", CsvFormat(**_NAMES, delimiter="\t"))
