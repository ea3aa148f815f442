"""The setting `power_cap`, as a user writes it."""

from __future__ import annotations

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity
from scheduler.sources.traces.rows import shorten

_FIX = "write watts such as 350kW or 350000W"


def cap_watts(text: str) -> float | None:
    """Watts of a cap such as 350kW; None for an empty text. Raises `ConfigError`."""
    if not text:
        return None
    try:
        watts = read_quantity(text, "W", needs_unit=True)
    except QuantityError as error:
        raise ConfigError(f"{str(error).partition('; write watts')[0]}; {_FIX}") from None
    if watts <= 0:
        raise ConfigError(f"cannot read {shorten(text)} as a bound; {_FIX}")
    return watts
