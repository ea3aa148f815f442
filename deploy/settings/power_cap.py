"""The setting `power_cap`, as a user writes it."""

from __future__ import annotations

import re
from typing import Final

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.rows import shorten

_TEXT: Final = re.compile(r"(?P<number>\d{1,12}(\.\d{1,9})?)\s?(?P<unit>W|kW|MW)", re.ASCII)
_UNITS_W: Final = {"W": 1.0, "kW": 1e3, "MW": 1e6}


def cap_watts(text: str) -> float | None:
    """Watts of a cap such as 350kW; None for an empty text. Raises `ConfigError`."""
    if not text:
        return None
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"cannot read {shorten(text)}; write watts such as 350kW or 350000W")
    return float(match["number"]) * _UNITS_W[match["unit"]]
