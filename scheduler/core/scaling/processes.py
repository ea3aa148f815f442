"""Who has processes of instances started and ended: the provisioner, as far as there is what they need beside NPUs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from scheduler.protocol.addresses import PROVISIONER_ADDRESS
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import StartInstances, StopInstances


class Processes(Protocol):
    """Commands of processes, each of which goes out when it can be carried out."""

    def fits(self, addresses: Collection[str]) -> bool:
        """Whether all of these could be there together."""
        ...

    def start(self, addresses: Sequence[str]) -> Outputs:
        """These are to start: at once, or when there is what they need."""
        ...

    def end(self, addresses: Sequence[str]) -> Outputs:
        """These are to end, or not to start if they have not."""
        ...


class FreeProcesses:
    """They need nothing but NPUs."""

    def fits(self, addresses: Collection[str]) -> bool:
        """Always."""
        return True

    def start(self, addresses: Sequence[str]) -> Outputs:
        """At once."""
        return started(addresses)

    def end(self, addresses: Sequence[str]) -> Outputs:
        """At once."""
        return ended(addresses)


def started(addresses: Sequence[str]) -> Outputs:
    """The command to the provisioner, if any is named."""
    return [(PROVISIONER_ADDRESS, StartInstances(list(addresses)))] if addresses else NOTHING


def ended(addresses: Sequence[str]) -> Outputs:
    """The command to the provisioner, if any is named."""
    return [(PROVISIONER_ADDRESS, StopInstances(list(addresses)))] if addresses else NOTHING
