"""Azure LLM inference traces of 2023, 2024 and 2025: CSV with wall times of up to nine fractional digits.

`NumImages` of 2025 is passed over: images count as far as `ContextTokens` counts them.
Source: github.com/Azure/AzurePublicDataset.
"""

from __future__ import annotations

from typing import Final

from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.wall_time import WALL_TIME

AZURE: Final = CsvFormat(
    time="TIMESTAMP",
    unit=WALL_TIME,
    prompt_tokens="ContextTokens",
    output_tokens="GeneratedTokens",
    harmless=("NumImages",),
)

FORMATS.register("azure", AZURE)
