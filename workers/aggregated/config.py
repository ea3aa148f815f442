"""The configuration of an aggregated instance: that of its decode side, and what a step may hold."""

from __future__ import annotations

from msgspec import Struct

from workers.decode.config import DecodeConfig


class AggregatedConfig(Struct, frozen=True):
    """`token_budget` bounds the token rows of one step of the whole instance; each running sequence takes
    `rows_per_sequence` of it, and chunks of prompts what is left. `names_next` as of prefill."""

    decode: DecodeConfig
    token_budget: int
    rows_per_sequence: int = 1
    names_next: bool = False
