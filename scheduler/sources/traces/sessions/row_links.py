"""What rows of JSON say of each other: which session each is of, which rows it waits for, how long after their ends.

Three ways of saying it are known. Rows of one session follow each other: a turn waits for the end of the one before,
then for `delay` (`delay_ms`), or as long as lies between the times of both if none is given. Rows of an agentic trace
name what they wait for (`wait_for`, by `request_id`), come `delay` plus `tool_wait_ms` after the last of these ends,
and at their own time if they wait for nothing, whatever their session. Rows of Bailian name a parent each. `branches`
repeats what `wait_for` of others says; `prefix_reset` begins a context anew. Sources: ai-dynamo/dynamo,
docs/benchmarks/dynosim-runs.md and lib/data-gen/src/mooncake.rs (`AgenticMooncakeRow`); ai-dynamo/aiperf,
docs/benchmark-modes/trace-replay.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from scheduler.protocol.catalog import shorten
from scheduler.sources.arrivals import DELAY_NOT_GIVEN, RowKey
from scheduler.sources.traces.rows import BadRow
from scheduler.sources.traces.sessions.given import GivenLinks
from scheduler.sources.traces.time_units import MILLISECONDS

DELAY_FIELDS: Final = ("delay", "delay_ms", "tool_wait_ms")
WAIT_FIELDS: Final = (*DELAY_FIELDS, "wait_for")
"""Those by which clients wait: a file that has any is a closed loop unless the user says otherwise."""

LINK_FIELDS: Final = (*WAIT_FIELDS, "prefix_reset", "branches")

NO_PARENT: Final = (None, -1)

_KEY_FIX: Final = "give a text or an integer, or leave the field out"


def says_something(value: object) -> bool:
    """Whether a field of a row has a value that is more than a mark of its absence."""
    return value is not None and value is not False and value != []


def links_of_turn(row: Mapping[str, Any], session: str) -> GivenLinks:
    """Of a row of a session, named by the field `session`, which was looked at before."""
    key = _key("request_id", row.get("request_id"))
    return GivenLinks(row.get(session), key, None, _delay_ns(row), _is_reset(row))


def links_of_child(row: Mapping[str, Any], turn: str, parent: str) -> GivenLinks:
    """Of a row that is named in the field `turn` and names its parent in another."""
    before, key = row.get(parent), _key(turn, row.get(turn))
    waits_for: list[RowKey] = [] if before in NO_PARENT else [_key(parent, before)]
    return GivenLinks(None, key, waits_for, _delay_ns(row), _is_reset(row), has_parent=True)


def links_of_call(row: Mapping[str, Any], session: str) -> GivenLinks:
    """Of a row of an agentic trace."""
    given = links_of_turn(row, session)
    waits_for = _keys("wait_for", row.get("wait_for"))
    _keys("branches", row.get("branches"))
    return given._replace(waits_for=waits_for, delay_ns=max(0, given.delay_ns))


def _key(name: str, value: object) -> RowKey:
    if value is None or type(value) is str or type(value) is int:
        return value
    raise BadRow(name, f"{shorten(value)} names no request", _KEY_FIX)


def _keys(name: str, value: object) -> list[RowKey]:
    """Names of requests: a list of them, or one."""
    if value is None:
        return []
    if not isinstance(value, list):
        return [_key(name, value)]
    keys = cast(list[object], value)
    if None in keys:
        raise BadRow(name, "holds a null, which names no request", "give a list of request ids")
    return [_key(f"{name}[{place}]", key) for place, key in enumerate(keys)]


def _delay_ns(row: Mapping[str, Any]) -> int:
    """The sum of all that a row gives."""
    total_ns = DELAY_NOT_GIVEN
    for name in DELAY_FIELDS:
        value = row.get(name)
        if value is not None:
            total_ns = max(0, total_ns) + _milliseconds(name, value)
    return total_ns


def _milliseconds(name: str, value: object) -> int:
    """Nanoseconds of an integer, or of a number with decimals as it stands in the file."""
    text = str(value)
    if type(value) is bool or not isinstance(value, int | str) or type(value) is str:
        raise BadRow(name, f"{shorten(value)} is no number", "give milliseconds such as 250 or 250.5")
    if text.startswith("-") and text.strip("-0.eE"):
        raise BadRow(name, f"{text} is below zero", "give milliseconds of at least 0, or leave the field out")
    try:
        delay_ns = MILLISECONDS.read(text.removeprefix("-"))
    except ValueError as error:
        raise BadRow(name, f"{shorten(value)} {error}", "give milliseconds such as 250 or 250.5") from None
    return delay_ns


def _is_reset(row: Mapping[str, Any]) -> bool:
    value = row.get("prefix_reset")
    if value is None or type(value) is bool:
        return value or False
    raise BadRow("prefix_reset", f"{shorten(value)} is neither true nor false", "give true, false or nothing")
