"""Rows of requests as lines of a format, made from what the format declares; and what a format cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Final

from scheduler.protocol.errors import InputError
from scheduler.protocol.messages import NO_ANSWER
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.identity import MAX_BLOCK_ID
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.sessions.link_texts import LinkTexts, said_of
from scheduler.sources.traces.time_units import MILLISECONDS, NS_PER_S, TimeUnit

TENANT_IDS: Final = 2**28
"""Block ids of one tenant in a written file; tenant k begins at k times this, so that all readers keep them apart."""

MAX_TENANTS: Final = (MAX_BLOCK_ID + 1) // TENANT_IDS

FIRST_DAY: Final = date(2024, 1, 1)
"""Wall times of a written trace begin at midnight of this day."""

WALL_TICK_NS: Final = 100
SECONDS_PER_DAY: Final = 86_400


class Encoder:
    """Blocks of a trace as lines of one format; times are rounded down, so that their order stays.

    Ids are split into those of the format where that loses nothing; else they stay what they are, and `tokens_per_id`
    says so. InputError if the format cannot hold the ids of a trace.
    """

    def __init__(self, form: CsvFormat | JsonFormat, block_tokens: int, path: str) -> None:
        self._form: Final = form
        self._path: Final = path
        self._time: Final = _time_writer(form.unit)
        self._tick_ns: Final = _tick_ns(form.unit)
        self._holds_ids: Final = isinstance(form, JsonFormat) and bool(form.block_ids) and not form.has_token_ids
        self._id_tokens: Final = block_tokens if block_tokens % form.tokens_per_id else form.tokens_per_id
        self._parts: Final = block_tokens // self._id_tokens
        self._has_ids = False
        self._has_tenants = False
        self._has_large_ids = False
        self._lost: dict[str, None] = {}
        self._links = LinkTexts(form, _time_writer(MILLISECONDS)) if isinstance(form, JsonFormat) else None

    @property
    def lost(self) -> list[str]:
        """What of the rows so far does not stand in the file."""
        return list(self._lost)

    @property
    def tokens_per_id(self) -> int | None:
        """Prompt tokens that each id in the file stands for; None if there are no ids so far."""
        return self._id_tokens if self._has_ids else None

    @property
    def header(self) -> str:
        """The line before the rows, or nothing."""
        form = self._form
        return form.delimiter.join(form.columns) + "\n" if isinstance(form, CsvFormat) else ""

    def lines(self, block: ArrivalBlock) -> Iterator[str]:
        """One for each request."""
        self._note_lost(block)
        if isinstance(self._form, JsonFormat):
            yield from self._json_lines(self._form, block)
            return
        cell = self._form.delimiter
        for time_ns, prompt, output in zip(block.arrived_ns, block.prompt_tokens, block.output_tokens, strict=True):
            yield f"{self._time(time_ns)}{cell}{prompt}{cell}{output}"

    def _json_lines(self, form: JsonFormat, block: ArrivalBlock) -> Iterator[str]:
        start = f'{{"{form.time}": '
        named = [f', "{form.class_name}": {json.dumps(name)}' if name else "" for name in block.class_names]
        tenants = [f', "{form.tenant}": {tenant}' if tenant else "" for tenant in block.tenants]
        links = [""] * len(block)
        if self._links is not None and block.links is not None:
            links = self._links.of(block.links)
        tokens = (block.prompt_tokens, block.output_tokens)
        ids = self._ids(block)
        for time_ns, prompt, output, *texts in zip(block.arrived_ns, *tokens, links, ids, named, tenants, strict=True):
            lengths = f', "{form.prompt_tokens}": {prompt}, "{form.output_tokens}": {output}'
            yield f"{start}{self._time(time_ns)}{lengths}{''.join(texts)}}}"

    def _ids(self, block: ArrivalBlock) -> Iterator[str]:
        """The text of each row's ids, empty if it has none."""
        if not self._holds_ids or not any(block.prefixes):
            yield from [""] * len(block)
            return
        self._has_ids = True
        for prefix, tenant, prompt in zip(block.prefixes, block.tenants, block.prompt_tokens, strict=True):
            if not prefix:
                yield ""
                continue
            ids = self._of_tenant(self._split(prefix, prompt), tenant)
            # The text of a list of integers is JSON.
            yield f', "{self._form.block_ids}": {ids}'

    def _split(self, prefix: list[int], prompt_tokens: int) -> list[int]:
        """A part of a split block is known by the whole's id and its place."""
        parts = self._parts
        if parts == 1:
            return prefix
        ids = [block_id * parts + part for block_id in prefix for part in range(parts)]
        # The last id may stand for fewer tokens: it has no parts beyond the prompt's end.
        return ids[: -(-prompt_tokens // self._id_tokens)]

    def _of_tenant(self, ids: list[int], tenant: int) -> list[int]:
        self._has_tenants |= tenant > 0
        self._has_large_ids |= max(ids) >= TENANT_IDS
        if tenant >= MAX_TENANTS or (self._has_tenants and self._has_large_ids):
            problem = f"block ids of tenant {tenant} do not fit one file"
            fix = f"write at most {MAX_TENANTS} copies or tenants of a trace whose ids are below {TENANT_IDS}"
            raise InputError(f"{self._path}: {problem}; {fix}")
        base = tenant * TENANT_IDS
        return [base + block_id for block_id in ids] if base else ids

    def _note_lost(self, block: ArrivalBlock) -> None:
        form, lost = self._form, self._lost
        if any(time_ns % self._tick_ns for time_ns in block.arrived_ns):
            lost[f"times below {_duration(self._tick_ns)}"] = None
        if not self._holds_ids and any(block.prefixes):
            lost["block ids"] = None
        if max(block.answers, default=NO_ANSWER) != NO_ANSWER:
            lost["which prompts repeat answers"] = None
        if block.links is not None:
            for told in said_of(block.links) if self._links is None else self._links.lost(block.links):
                lost[told] = None
        if isinstance(form, CsvFormat):
            if any(block.classes):
                lost["classes"] = None
            if any(block.tenants):
                lost["tenants"] = None


def _tick_ns(unit: TimeUnit) -> int:
    """What times of a unit can tell apart as they are written."""
    if unit.is_wall_time:
        return WALL_TICK_NS
    return unit.ns_per_unit if unit.is_whole else 1


def _duration(tick_ns: int) -> str:
    return f"{tick_ns // 10**6} ms" if tick_ns >= 10**6 else f"{tick_ns} ns"


def _time_writer(unit: TimeUnit) -> Callable[[int], str]:
    if unit.is_wall_time:
        return _WallTimes()
    size = unit.ns_per_unit
    num_decimals = len(str(size)) - 1
    if unit.is_whole or not num_decimals:
        return lambda time_ns: str(time_ns // size)

    def decimal(time_ns: int) -> str:
        whole, rest = divmod(time_ns, size)
        return f"{whole}.{f'{rest:0{num_decimals}}'.rstrip('0') or '0'}"

    return decimal


class _WallTimes:
    """Wall times from midnight of `FIRST_DAY`, to 100 ns."""

    def __init__(self) -> None:
        self._day = -1
        self._day_text = ""

    def __call__(self, time_ns: int) -> str:
        seconds, tick = divmod(time_ns // WALL_TICK_NS, NS_PER_S // WALL_TICK_NS)
        day, second = divmod(seconds, SECONDS_PER_DAY)
        if day != self._day:
            self._day = day
            self._day_text = date.fromordinal(FIRST_DAY.toordinal() + day).isoformat()
        return f"{self._day_text} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{tick:07}"
