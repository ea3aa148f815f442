"""Settings and options of a trace as keywords of a call."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, get_type_hints

from msgspec.structs import fields

from deploy.settings.load import CODE, load_settings
from deploy.settings.settings import SETTINGS, Settings
from scheduler.protocol.errors import ConfigError
from scheduler.sources.synthetic.section import kind
from scheduler.sources.traces.options import TraceOptions

Keyword = str | int | float | bool | None

_OF_RUNS: Final = ("seed", "block_tokens", "finds_answers", "links", "timeless")
"""Options of a trace that a run sets itself."""

ROWS: Final = tuple(one.name for one in fields(TraceOptions) if one.name not in _OF_RUNS)
"""Options of a trace that are told."""

KNOWN: Final = (*(name for name in SETTINGS if name != CODE), *ROWS)
"""What may be told: settings, and options of the trace."""


def job_of(keywords: Mapping[str, Keyword]) -> tuple[Settings, TraceOptions]:
    """Both, parsed. `ConfigError` for an unknown name or a wrong value."""
    flat, rows = split_keywords(keywords)
    return load_settings(None, flat), rows


def split_keywords(keywords: Mapping[str, Keyword]) -> tuple[dict[str, Keyword], TraceOptions]:
    """Settings by flat name, and the options of the trace; errors as with `job_of`."""
    for name in keywords:
        if name not in KNOWN:
            raise ConfigError(f"{name} is not known here; {near_names(name)}")
    return {name: value for name, value in keywords.items() if name not in ROWS}, rows_of(keywords)


def rows_of(told: Mapping[str, Any]) -> TraceOptions:
    """Those options that are among what was told. `ConfigError` that begins with the name of one of a wrong type."""
    from pydantic import TypeAdapter, ValidationError

    kinds = get_type_hints(TraceOptions)
    rows = {name: told[name] for name in ROWS if name in told}
    for name, value in rows.items():
        try:
            TypeAdapter(kinds[name]).validate_python(value, strict=True)
        except ValidationError as error:
            wanted = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise ConfigError(f"{name} is {kind(value)}; give {wanted}") from None
    return TraceOptions(**rows)


def near_names(name: str, more: tuple[str, ...] = ()) -> str:
    """What may have been meant by a name that is not known."""
    near = get_close_matches(name, (*KNOWN, *more), n=2)
    return f"did you mean {' or '.join(near)}?" if near else "give a setting or an option of the trace"
