"""Service level objectives: limits on latencies that a request meets all or misses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity

if TYPE_CHECKING:
    from scheduler.metrics.columns import Bools
    from scheduler.metrics.records import Records

KEYS: Final = ("ttft", "tpot", "e2e")
ALLOWED: Final = "give limits such as ttft=2s,tpot=50ms,e2e=30s (each at most once; units us, ms, s, min)"


class Slo(Struct, frozen=True):
    """Limits in seconds, None where there is none.

    `classes` are names and limits of request classes, from index 1 on; the limits beside them are then those of
    requests that belong to none.
    """

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    classes: tuple[tuple[str, Slo], ...] = ()


def parse_slo(text: str) -> Slo:
    """Read limits as a user writes them; anything else is a `ConfigError`."""
    limits_s: dict[str, float] = {}
    for term in text.split(","):
        key, _, value = (part.strip() for part in term.partition("="))
        if key not in KEYS:
            raise ConfigError(f"slo {text!r}: unknown limit {key!r}; {ALLOWED}")
        if key in limits_s:
            raise ConfigError(f"slo {text!r}: {key} is given twice; {ALLOWED}")
        limits_s[key] = _seconds(text, key, value)
    return Slo(limits_s.get("ttft"), limits_s.get("tpot"), limits_s.get("e2e"))


def _seconds(text: str, key: str, value: str) -> float:
    try:
        seconds = read_quantity(value, "s", needs_unit=True)
    except QuantityError:
        raise ConfigError(f"slo {text!r}: {key} cannot be {value!r}; {ALLOWED}") from None
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(f"slo {text!r}: {key} is {value}, it must be above 0; {ALLOWED}")
    return seconds


def meets(slo: Slo, records: Records) -> Bools:
    """Which requests finished within all their limits, shape (num_requests,). A one-token output has no TPOT and meets
    any limit on it."""
    is_met = _meets(slo, records)
    for index, (_, limits) in enumerate(slo.classes, 1):
        is_met = np.where(records.request_class == index, _meets(limits, records), is_met)
    return is_met


def _meets(slo: Slo, records: Records) -> Bools:
    is_met = records.is_finished.copy()
    if slo.ttft_s is not None:
        is_met &= records.ttft_s <= slo.ttft_s
    if slo.tpot_s is not None:
        is_met &= (records.tpot_s <= slo.tpot_s) | (records.output_tokens < 2)
    if slo.e2e_s is not None:
        is_met &= records.e2e_s <= slo.e2e_s
    return is_met
