"""What is said of workers that are lost and come back; `messages` says who says what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class WorkersLost:
    """These components are gone, with all that they had, and will say nothing more of what they were told.

    What is said to them before they join again is dropped.
    """

    addresses: Final[list[str]]


@dataclass(slots=True)
class WorkersStarted:
    """New and empty processes are there in the place of these, which were lost; instances among them have no model yet.

    The core has these load it, and says `WorkersJoined` to itself, for all to hear, when a component is ready.
    """

    addresses: Final[list[str]]


@dataclass(slots=True)
class WorkersJoined:
    """These components were lost and are back: new, empty and ready."""

    addresses: Final[list[str]]
