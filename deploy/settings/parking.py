"""The setting `parking`, as a user writes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.rows import shorten

# Few runs park.
if TYPE_CHECKING:
    from scheduler.core.guests.parking import ParkingRules

MAX_SPARE: Final = 100_000
DEFAULT_SPARE: Final = 1

_TERMS: Final = re.compile(r"idle=(?P<idle>\d{1,6}(\.\d{1,9})?)\s?s(,\s?spare=(?P<spare>\d{1,6}))?", re.ASCII)


def parking_rules(text: str) -> ParkingRules | None:
    """Rules of `idle=30s` or `idle=30s,spare=2`; None for an empty text. Raises `ConfigError`."""
    if not text:
        return None
    match = _TERMS.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"cannot read {shorten(text)}; write idle=30s or idle=30s,spare=2")
    idle_s, spare = float(match["idle"]), int(match["spare"] or DEFAULT_SPARE)
    if idle_s <= 0 or not 1 <= spare <= MAX_SPARE:
        raise ConfigError(f"{shorten(text)} is out of range; give an idle time above 0 s and at least one spare")
    from scheduler.core.guests.parking import ParkingRules

    return ParkingRules(round(idle_s * 1e9), spare)
