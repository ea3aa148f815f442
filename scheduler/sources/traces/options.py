"""What a caller gives to open a trace, and what comes back beside the rows."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any, Final

from msgspec import Struct, field, to_builtins
from msgspec.structs import fields

from scheduler.protocol.errors import ConfigError, TraceError
from scheduler.sources.arrivals import Trace
from scheduler.sources.clients.groups import ClientGroup

MAX_COPIES: Final = 10_000
"""Bound on `superpose`: the merge keeps a few words for each copy."""

MAX_RATE_SCALE: Final = 1e6
"""Bound on `rate_scale` and its inverse, so that integer nanoseconds neither collapse nor overflow."""

TIME_UNIT_NAMES: Final = ("s", "ms", "us", "ns", "wall")
ID_MEANINGS: Final = ("chain", "text")
TURNS: Final = ("whole", "delta")
"""What a row of a session stands for: its whole request, or what it adds to the requests and answers before it."""
ROLES: Final = ("arrived", "prompt", "output", "ids", "class", "tenant")
"""What a column is for."""

MAX_TOKENS_PER_ID: Final = 131_072
MAX_OUTPUT_LENGTH: Final = 10**7
MAX_GROUPS: Final = 100_000

_ALWAYS_TOLD: Final = ("limit", "superpose", "rate_scale", "seed", "skip_bad", "format")

_DURATION: Final = re.compile(r"(\d{1,9})(?:\.(\d+))?(ms|s|m|h|d)", re.ASCII)
_DURATION_UNITS_NS: Final = {
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3_600 * 10**9,
    "d": 86_400 * 10**9,
}

NUM_LISTED: Final = 20
"""Skipped rows that are listed one by one; the rest are only counted."""


class Spreading(Struct, frozen=True):
    """How rows of one stamp are spread: evenly or by chance, over `grid_ns` (None: the unit of the trace's times)."""

    is_even: bool
    grid_ns: int | None = None


class AssumedSharing(Struct, frozen=True):
    """What is assumed of prompts that name no blocks: the leading `share` of each is common to one of `num_groups`."""

    share: float
    num_groups: int = 1


class TraceOptions(Struct, frozen=True):
    """How to read a trace, as plain values: what a command line says. They are applied in this order.

    `format`: name of a format, None to find out. Of the rows: `time_unit`, one of `TIME_UNIT_NAMES`; `tokens_per_id`;
    `block_ids`, one of `ID_MEANINGS`; `columns`, such as `arrived=start,prompt=tokens_in`; `output_length` of rows
    without one; `turns`, one of `TURNS`, of rows of sessions where these are closed loops; `strict`: refuse fields that
    are not read; `skip_bad`: leave bad rows out and count them.
    `limit`: rows read of the trace, skipped ones included; None for all. `sort`: rows may be out of order.
    `from_time`, `until_time`: the part of the trace to keep, as durations from its first request. `spread`: `even` or
    `random`, and `:GRID`, for rows of one stamp. `assume_shared`: `SHARE`, and `:groups=N`, for rows without ids.
    `superpose`: copies laid over each other, copy k offset by a seeded draw in [0, 60 s) and with tenants of its own.
    `rate_scale` multiplies the rate, by compressing times. `part`: `I/N`, what one supernode of N is sent by the hash
    of `supernode_candidates`, at the times of the whole trace.
    """

    limit: int | None = None
    superpose: int = 1
    rate_scale: float = 1.0
    seed: int = 0
    skip_bad: bool = False
    format: str | None = None
    time_unit: str | None = None
    tokens_per_id: int | None = None
    block_ids: str | None = None
    columns: str | None = None
    output_length: int | None = None
    sort: bool = False
    spread: str | None = None
    from_time: str | None = None
    until_time: str | None = None
    assume_shared: str | None = None
    strict: bool = False
    part: str | None = None
    part_key_blocks: int = 2
    """Blocks of a prompt by which it belongs to a part, as the run's `supernode_key_blocks`."""
    block_tokens: int | None = None
    """Tokens of a block of requests that are generated, such as those of a run's cache; None for 512."""
    finds_answers: bool = False
    """Find which prompts of a session repeat answers, for a run that keeps their KV; ids are then numbered anew."""
    turns: str | None = None
    links: bool = False
    """Read what rows wait for, for a run whose clients wait: blocks then have `links`."""
    timeless: bool = False
    """Rows may have no time, for a run that does not use times."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; give the number of rows to read, at least 1")
        if not 1 <= self.superpose <= MAX_COPIES:
            raise ConfigError(f"superpose is {self.superpose}; give a number of copies from 1 to {MAX_COPIES}")
        if not (math.isfinite(self.rate_scale) and 1 / MAX_RATE_SCALE <= self.rate_scale <= MAX_RATE_SCALE):
            raise ConfigError(
                f"rate-scale is {self.rate_scale}; give a factor from {1 / MAX_RATE_SCALE:g} to {MAX_RATE_SCALE:g}"
            )
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; give an integer of at least 0")
        _refuse_unknown("time-unit", self.time_unit, TIME_UNIT_NAMES)
        _refuse_unknown("block-ids", self.block_ids, ID_MEANINGS)
        _refuse_unknown("turns", self.turns, TURNS)
        _refuse_outside("tokens-per-id", self.tokens_per_id, MAX_TOKENS_PER_ID)
        _refuse_outside("output-length", self.output_length, MAX_OUTPUT_LENGTH)
        # What is text is read here once, so that a slip is told before a file is opened.
        if self.window_ns[0] >= (self.window_ns[1] or math.inf):
            raise ConfigError(f"from is {self.from_time} and until {self.until_time}; give a window that has a length")
        assert self.column_names is not None
        assert self.spreading or self.spread is None
        assert self.sharing or self.assume_shared is None
        assert self.part_of or self.part is None

    def to_plain(self) -> dict[str, Any]:
        """Plain values by name: what says which rows, and of all else what was said."""
        said = {option.name for option in fields(self) if getattr(self, option.name) != option.default}
        return {name: value for name, value in to_builtins(self).items() if name in said or name in _ALWAYS_TOLD}

    @property
    def column_names(self) -> dict[str, str]:
        """Names of columns by their role, one of `ROLES`."""
        names: dict[str, str] = {}
        for term in self.columns.split(",") if self.columns is not None else ():
            role, _, name = (part.strip() for part in term.partition("="))
            if role not in ROLES or not name or role in names:
                problem = "is given twice" if role in names else "names no column"
                raise ConfigError(f"columns: {term.strip()!r} {problem}; give ROLE=NAME,... with {', '.join(ROLES)}")
            names[role] = name
        return names

    @property
    def window_ns(self) -> tuple[int, int | None]:
        """The part of the trace to keep, from its first request: from, and until (None: to its end)."""
        until_ns = None if self.until_time is None else _duration_ns("until", self.until_time)
        return 0 if self.from_time is None else _duration_ns("from", self.from_time), until_ns

    @property
    def spreading(self) -> Spreading | None:
        """How rows of one stamp are spread, if they are."""
        if self.spread is None:
            return None
        how, colon, grid = self.spread.partition(":")
        if how not in ("even", "random"):
            raise ConfigError(f"spread is {self.spread!r}; give even or random, and :GRID such as even:3s")
        return Spreading(how == "even", _duration_ns("spread", grid) if colon else None)

    @property
    def part_of(self) -> tuple[int, int] | None:
        """Which part of how many is read, if not all."""
        return None if self.part is None else _parsed_part(self.part)

    @property
    def sharing(self) -> AssumedSharing | None:
        """What is assumed of prompts that name no blocks, if anything is."""
        if self.assume_shared is None:
            return None
        text, colon, groups = self.assume_shared.partition(":")
        try:
            share = float(text)
            num_groups = int(groups.removeprefix("groups=")) if colon else 1
        except ValueError:
            share, num_groups = math.nan, 0
        if not (0 < share < 1 and 1 <= num_groups <= MAX_GROUPS):
            fix = f"give SHARE or SHARE:groups=N, a share between 0 and 1 and 1 to {MAX_GROUPS} groups"
            raise ConfigError(f"assume-shared is {self.assume_shared!r}; {fix}")
        return AssumedSharing(share, num_groups)


def _parsed_part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
    if match is None or not int(match[1]) < int(match[2]):
        raise ConfigError(f"part is {text!r}; give I/N, such as 0/10 for the first of ten parts and 9/10 for the last")
    return int(match[1]), int(match[2])


def _refuse_unknown(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise ConfigError(f"{name} is {value!r}; give one of {', '.join(known)}")


def _refuse_outside(name: str, value: int | None, high: int) -> None:
    if value is not None and not 1 <= value <= high:
        raise ConfigError(f"{name} is {value}; give a number of tokens from 1 to {high}")


def _duration_ns(name: str, text: str) -> int:
    """Nanoseconds of a duration such as 36000s, 90m, 2.5h or 500ms."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"{name} is {text!r}; give a duration such as 500ms, 90s, 15m or 10h (--format names a format)"
        )
    whole, fraction = match[1], (match[2] or "")[:9]
    return int(whole + fraction) * _DURATION_UNITS_NS[match[3]] // 10 ** len(fraction)


class SkippedRows(Struct):
    """What was left out, counted while the trace is read: complete once its last block came.

    `num_outside`: good rows before the window that was asked for. `unread`: rows by the name of a field that nobody
    reads.
    """

    num_bad: int = 0
    num_failed: int = 0
    num_outside: int = 0
    unread: Counter[str] = field(default_factory=Counter[str])
    listed: list[TraceError] = field(default_factory=list[TraceError])

    def add_bad(self, error: TraceError) -> None:
        """Count one bad row and list it if it is among the first."""
        self.num_bad += 1
        if len(self.listed) < NUM_LISTED:
            self.listed.append(error)

    def lines(self) -> list[str]:
        """What to tell a person, one line each; empty if nothing was left out."""
        told: list[str] = []
        if self.num_outside:
            told.append(f"left out {self.num_outside} rows before the window")
        if self.num_failed:
            told.append(f"left out {self.num_failed} rows without response tokens (requests that failed in the log)")
        if self.num_bad:
            told.append(f"left out {self.num_bad} bad rows" + (", the first:" if self.num_bad > NUM_LISTED else ":"))
            told.extend(f"  {error}" for error in self.listed)
        if self.unread:
            shown = [f"{name} (of {num_rows} rows)" for name, num_rows in self.unread.most_common(NUM_LISTED)]
            more = f" and {len(self.unread) - NUM_LISTED} more" if len(self.unread) > NUM_LISTED else ""
            told.append(f"fields that are not read: {', '.join(shown)}{more}; --strict refuses them")
        return told


class Reading(Struct):
    """How a trace is understood, for a person: complete once its first block came.

    `format`: and whether it was named or found. `assumed`: (what, how), such as ("time unit", "ms"). `grid_ns`: within
    how much time requests of one stamp came. `zero_ns`: nanoseconds since 1970 of the first request, if the trace says.
    """

    format: str
    is_named: bool = True
    assumed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    grid_ns: int = 1
    zero_ns: int | None = None

    def rows(self) -> list[tuple[str, str]]:
        """(what, how) for a table."""
        return [("format", f"{self.format} ({'named' if self.is_named else 'found'})"), *self.assumed]

    def to_json(self) -> dict[str, str | bool]:
        """The same as plain values."""
        assumed = {what.replace(" ", "_"): how for what, how in self.assumed}
        return {"format": self.format, "found": not self.is_named, **assumed}


class OpenedTrace(Trace, frozen=True):
    """A trace with the account of its skipped rows, which grows as `blocks` is read, what was assumed of it,
    who waits for answers, where it says so, and the `path` of its file, where it is one."""

    skipped: SkippedRows
    reading: Reading
    clients: tuple[ClientGroup, ...] = ()
    path: str = ""

    @property
    def place(self) -> str:
        """Its file with the folder, as all errors on rows have it."""
        return self.path or self.name
