"""What rows wait for, as fields of rows of JSON: the other way of `row_links`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import Links, RowKey
from scheduler.sources.traces.json_rows import JsonFormat


def said_of(links: Links) -> list[str]:
    """What these links say at all, in words."""
    has_sessions = any(session != NO_SESSION for session in links.sessions)
    return (["sessions"] if has_sessions else []) + (["what requests wait for"] if any(links.waits_for) else [])


class LinkTexts:
    """Fields that say what rows wait for, as a format has them; and what of it the format cannot hold.

    An agentic format names all that a row waits for, so that turns of sessions and graphs of calls read back as they
    were. Others hold turns of whole prompts that wait for the turn before of their session. `milliseconds`: the text of
    a time.
    """

    def __init__(self, form: JsonFormat, milliseconds: Callable[[int], str]) -> None:
        self._form: Final = form
        self._milliseconds: Final = milliseconds
        self._num_rows = 0
        self._last_of_session: Final[dict[int, str]] = {}

    def lost(self, links: Links) -> list[str]:
        """What the format does not hold of these rows."""
        if self._form.is_agentic:
            return []
        is_named = any(names is not None for names in links.waits_for)
        return said_of(links) if is_named or not self._holds_sessions else []

    def of(self, links: Links) -> list[str]:
        """The fields of each of the next rows, each with a comma before it."""
        if self._form.is_agentic:
            return list(map(self._call, range(len(links.keys)), [links] * len(links.keys)))
        if self.lost(links):
            return [""] * len(links.keys)
        return [
            "" if session == NO_SESSION else f', "session_id": "{session}"{self._turn(links, row, session)}'
            for row, session in enumerate(links.sessions)
        ]

    @property
    def _holds_sessions(self) -> bool:
        form = self._form
        return form.turn == form.turn_before == "session_id" and not form.adds_to_session

    def _turn(self, links: Links, row: int, session: int) -> str:
        is_first = session not in self._last_of_session
        self._last_of_session[session] = ""
        delay = "" if is_first else f', "delay": {self._milliseconds(links.delays_ns[row])}'
        return delay + (', "prefix_reset": true' if links.resets[row] else "")

    def _call(self, row: int, links: Links) -> str:
        session, names, key = links.sessions[row], links.waits_for[row], links.keys[row]
        name = f"row {self._num_rows}" if key is None else _text(key)
        self._num_rows += 1
        waits_for = list(map(_text, names or ()))
        if names is None and session in self._last_of_session:
            waits_for = [self._last_of_session[session]]
        text = f', "request_id": {json.dumps(name)}'
        if session != NO_SESSION:
            self._last_of_session[session] = name
            text += f', "session_id": "{session}"'
        if waits_for:
            delay = self._milliseconds(links.delays_ns[row])
            text += f', "wait_for": {json.dumps(waits_for)}, "tool_wait_ms": {delay}'
        return text + (', "prefix_reset": true' if links.resets[row] else "")


def _text(key: RowKey) -> str:
    """Names are texts in the agentic dialect."""
    return str(key)
