"""Wall times such as 2023-11-16 18:15:46.6805900, to nanoseconds since 1970: exact, and for many at once by columns."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from scheduler.sources.traces.time_units import NS_PER_S, TimeUnit

NS_PER_DAY: Final = 86_400 * NS_PER_S
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199
"""Years in which nanoseconds since 1970 fit in 63 bits, with room."""

_STAMP: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII | re.DOTALL
)
_DATE_LETTERS: Final = 10
_CLOCK_DIGITS: Final = (11, 12, 14, 15, 17, 18)
_CLOCK_WEIGHTS_S: Final = (36_000, 3_600, 600, 60, 10, 1)
_FRACTION_START: Final = 20


def stamp_to_ns(stamp: str) -> int:
    """Exact nanoseconds since 1970 of one time stamp, UTC unless it says an offset. ValueError with the reason."""
    match = _STAMP.fullmatch(stamp)
    if match is None:
        raise ValueError("is not a time")
    day, hour, minute, second, fraction, offset = match.groups()
    clock = (int(hour), int(minute), int(second))
    if clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        raise ValueError("is no time of day")
    seconds = clock[0] * 3600 + clock[1] * 60 + clock[2] - _offset_s(offset)
    return _day_ns(day) + seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


def stamps_to_ns(stamps: list[str]) -> list[int] | None:
    """The same for many stamps of one layout, by columns of characters; None if any is not plainly good.

    Seen as a matrix (stamps, characters), separators and offset must equal the first row's, and the time of day is a
    product of digits and weights. The date is parsed once while it stays the same.
    """
    first = stamps[0]
    match = _STAMP.fullmatch(first)
    text = "".join(stamps)
    if match is None or not text.isascii() or set(map(len, stamps)) != {len(first)}:
        return None
    letters = np.frombuffer(text.encode(), np.uint8).reshape(len(stamps), len(first))
    num_fraction = len(match[5] or "")
    digit_places = [*_CLOCK_DIGITS, *range(_FRACTION_START, _FRACTION_START + num_fraction)]
    constant_places = [10, 13, 16, 19, *range(_FRACTION_START + num_fraction, len(first))]
    constants = letters[:, [place for place in constant_places if place < len(first)]]
    # A letter below "0" wraps to a large number and is caught as well.
    digits = letters[:, digit_places] - ord("0")
    clock_good = digits.max() <= 9 and digits[:, 2].max() <= 5 and digits[:, 4].max() <= 5
    if not clock_good or (digits[:, 0] * 10 + digits[:, 1]).max() > 23 or (constants != constants[0]).any():
        return None
    weights_ns = [weight * NS_PER_S for weight in _CLOCK_WEIGHTS_S] + [10 ** (8 - i) for i in range(num_fraction)]
    try:
        days_ns = _days_ns(letters[:, :_DATE_LETTERS], stamps)
        offset_ns = _offset_s(match[6]) * NS_PER_S
    except ValueError:
        return None
    times_ns: list[int] = (digits.astype(np.int64) @ np.array(weights_ns, np.int64) + days_ns - offset_ns).tolist()
    return times_ns


def _days_ns(letters: npt.NDArray[np.uint8], stamps: list[str]) -> npt.NDArray[np.int64]:
    """Nanoseconds from 1970 to each row's midnight; `letters` is (rows, 10). One date is parsed for each change."""
    changed = (letters[1:] != letters[:-1]).any(axis=1)
    starts = [0, *(np.flatnonzero(changed) + 1).tolist()]
    days_ns = [_day_ns(stamps[start][:_DATE_LETTERS]) for start in starts]
    return np.repeat(np.array(days_ns, np.int64), np.diff([*starts, len(stamps)]))


def _day_ns(text: str) -> int:
    day = date.fromisoformat(text)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return (day.toordinal() - date(FIRST_YEAR, 1, 1).toordinal()) * NS_PER_DAY


def _offset_s(offset: str | None) -> int:
    if offset is None or offset == "Z":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("has an impossible offset from UTC")
    return (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)


WALL_TIME: Final = TimeUnit(
    stamp_to_ns, stamps_to_ns, "give a time such as 2023-11-16 18:15:46.6805900", is_wall_time=True, name="wall"
)
"""UTC unless a stamp has an offset."""
