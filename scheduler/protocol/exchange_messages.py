"""What instances and the fabric say of the exchange between dies; `messages` has these with all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class StandingLoad:
    """From now until `until_ns` the exchange between the dies of `instance` takes so much of the UB line of each die.

    In the mean over that time and in each direction. `share_ppm`: the share of the line at which it runs as far as the
    instance knows, millionths.
    """

    instance: Final[str]
    bytes_per_s: Final[int]
    until_ns: Final[int]
    share_ppm: Final[int]


@dataclass(slots=True)
class LinkShare:
    """While its exchange moves bytes, an instance has this share of the UB lines of its dies, millionths."""

    share_ppm: Final[int]
