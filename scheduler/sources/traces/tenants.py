"""Whose requests rows are: tenants as the numbers that a trace gives them, or names numbered as they come."""

from __future__ import annotations

from typing import Any, Final

from scheduler.protocol.catalog import shorten

MAX_TENANT: Final = 2**31 - 1
MAX_NAME_CHARACTERS: Final = 200


class TenantNumbers:
    """Numbers from 0, which is also that of rows without a tenant; names are numbered from 1 as they come.

    A trace has numbers or names. Cells of a table are text in any case: `reads_text` takes them for numbers as long as
    all before were such.
    """

    def __init__(self, *, reads_text: bool) -> None:
        self._reads_text = reads_text
        self._names: dict[str, int] = {}
        self._has_numbers = False

    def number_all(self, values: list[Any]) -> list[int] | None:
        """The tenants of many rows, None for none; None if any of them needs a look by itself."""
        kinds = set(map(type, values))
        if kinds == {type(None)}:
            return []
        if self._reads_text and not self._has_numbers and not all(not text or text.isdecimal() for text in values):
            self._reads_text = False
        if kinds == {int} and not self._names:
            if min(values) < 0 or max(values) > MAX_TENANT:
                return None
            self._has_numbers = True
            return values
        try:
            return list(map(self.number, values))
        except ValueError:
            return None

    def number(self, value: Any) -> int:
        """Of one row; a `ValueError` with the reason if the value can name no tenant."""
        if value is None or value == "":
            return 0
        if self._reads_text and not self._names and value.isascii() and value.isdecimal():
            value = int(value[:20])
        if type(value) is int:
            if not 0 <= value <= MAX_TENANT:
                raise ValueError(f"{value} is no number of a tenant")
            if self._names:
                raise ValueError(f"{value} is a number where tenants before had names")
            self._has_numbers = self._has_numbers or value > 0
            return value
        if type(value) is not str or len(value) > MAX_NAME_CHARACTERS or not value.isprintable():
            raise ValueError(f"{shorten(value)} cannot name a tenant")
        if self._has_numbers:
            raise ValueError(f"{shorten(value)} is a name where tenants before had numbers")
        return self._names.setdefault(value, len(self._names) + 1)


FIX: Final = f"give all tenants as integers from 0 to {MAX_TENANT}, or all as names"
