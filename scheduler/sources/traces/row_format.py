"""What a format of rows declares, the same for JSON and CSV, and how options of a reader change it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.time_units import DECIMAL_UNITS, TimeUnit
from scheduler.sources.traces.wall_time import WALL_TIME


class IdMeaning(StrEnum):
    """What equal ids of two prompts say: that all before is equal as well (CHAIN), or this block's text (TEXT)."""

    CHAIN = "chain"
    TEXT = "text"


TIME_UNITS: Final[Mapping[str, TimeUnit]] = {**DECIMAL_UNITS, "wall": WALL_TIME}
"""By the name that `--time-unit` takes."""

_ROLES: Final = {
    "arrived": "time",
    "prompt": "prompt_tokens",
    "output": "output_tokens",
    "ids": "block_ids",
    "class": "class_name",
    "tenant": "tenant",
}
"""What a column is for, as `--columns` says it, and the field of a format that names it."""


class RowFormat(Struct, frozen=True, kw_only=True):
    """Names of fields. Every row has `time` and `prompt_tokens`, and `output_tokens` unless `output_length` stands in;
    the others may be absent from rows, and empty if no row has any.

    `also`: other names of a field, by which it goes in a file that lacks the usual one. `marks`: fields by which rows
    of this format are told from those of others. `tokens_per_id`: prompt tokens of a block; `meaning` of its id, None
    if it must be found out. `harmless`: fields that change nothing and are passed over; `refused`: fields that mean
    what cannot be replayed, each with the reason. `logs_failures`: a row of 0 output tokens is a request that failed,
    which is counted and left out. `session`: the field that names the session of a row. `has_links`: what rows wait for
    is read; `may_lack_time`: rows need no time. `adds_to_session`: a row of a session stands for what it adds to the
    requests and answers before it.
    """

    time: str
    unit: TimeUnit
    prompt_tokens: str
    output_tokens: str
    block_ids: str = ""
    class_name: str = ""
    tenant: str = ""
    output_length: int | None = None
    also: Mapping[str, str] = field(default_factory=dict[str, str])
    marks: Collection[str] = ()
    tokens_per_id: int = BLOCK_TOKENS
    meaning: IdMeaning | None = None
    harmless: Collection[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    logs_failures: bool = False
    session: str = ""
    has_links: bool = False
    may_lack_time: bool = False
    adds_to_session: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that every row has; by them a file is known."""
        needed = (self.time, self.prompt_tokens)
        return needed if self.output_length is not None else (*needed, self.output_tokens)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Those that a table must have in its header: a run that uses no times can do without theirs."""
        return self.columns[1:] if self.may_lack_time else self.columns

    @property
    def known(self) -> frozenset[str]:
        """Fields that are read, and those that are passed over."""
        read = (self.time, self.prompt_tokens, self.output_tokens, self.block_ids, self.class_name, self.tenant)
        return frozenset(read) | frozenset(self.harmless)

    def told(self, options: TraceOptions) -> Self:
        """With what the options say in place of its own: unit, names, tokens of an id, default of the output."""
        form = self
        for role, name in options.column_names.items():
            form = replace(form, **{_ROLES[role]: name})
        if options.time_unit is not None:
            form = replace(form, unit=TIME_UNITS[options.time_unit])
        if options.tokens_per_id is not None:
            form = replace(form, tokens_per_id=options.tokens_per_id)
        if options.output_length is not None:
            form = replace(form, output_length=options.output_length)
        if options.links:
            form = form.linked()
        return replace(form, may_lack_time=options.links or options.timeless)

    def linked(self) -> Self:
        """The same, read with what rows wait for."""
        return replace(self, has_links=True)

    def named_as_in(self, present: Collection[str]) -> Self:
        """With other names of fields where a file has those and not the usual ones."""
        form = self
        roles = {getattr(self, name): name for name in _ROLES.values()}
        for name, usual in self.also.items():
            if name in present and usual not in present and usual in roles:
                form = replace(form, **{roles[usual]: name})
        return form
