"""The setting `parking`, as a user writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count, read_quantity
from scheduler.sources.traces.rows import shorten

# Few runs park.
if TYPE_CHECKING:
    from scheduler.core.guests.parking import ParkingRules

MAX_SPARE: Final = 100_000
DEFAULT_SPARE: Final = 1

MAX_IDLE_S: Final = 1e9


def parking_rules(text: str) -> ParkingRules | None:
    """Rules of `idle=30s` or `idle=30s,spare=2`; None for an empty text. Raises `ConfigError`."""
    if not text:
        return None
    pairs = (part.strip().partition("=") for part in text.split(","))
    given = {key: value for key, _, value in pairs}
    try:
        if not {"idle"} <= given.keys() <= {"idle", "spare"}:
            raise QuantityError(f"cannot read {shorten(text)}")
        idle_s = read_quantity(given["idle"], "s", needs_unit=True)
        spare = read_count(given.get("spare", str(DEFAULT_SPARE)))
    except QuantityError as error:
        raise ConfigError(f"{error}; write idle=30s or idle=30s,spare=2") from None
    if not 0 < idle_s <= MAX_IDLE_S or not 1 <= spare <= MAX_SPARE:
        raise ConfigError(f"{shorten(text)} is out of range; give an idle time above 0 s and at least one spare")
    from scheduler.core.guests.parking import ParkingRules

    return ParkingRules(round(idle_s * 1e9), spare)
