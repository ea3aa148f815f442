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


@dataclass(slots=True)
class ChangeModel:
    """These instances are to serve another version of the weights, one after the other, in this order.

    The first in turn takes nothing new; when it is done with what it has, `InstanceDrained` is said of it.
    """

    addresses: Final[list[str]]
    version: Final[str]


@dataclass(slots=True)
class InstanceDrained:
    """Nothing depends on this instance any more: it may be lost and started anew, and loads its new version then."""

    address: Final[str]
