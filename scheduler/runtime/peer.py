"""What the live runtime knows of one host of workers, and of the process that is this host at present."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.envelope import Inbound, Outbox

CONTROL_NAME: Final = "control"
"""The sender's name on envelopes of the control plane."""


def sender_name(host: str, session: str, incarnation: int) -> str:
    """The name on a host's envelopes: another one for each run and for each process, so that nothing old is taken."""
    return f"{host}@{session}.{incarnation}"


def host_of(sender: str) -> str:
    """The host that a sender's name is of."""
    return sender.rpartition("@")[0]


class Link:
    """All that is on its way to and from one process. `deadline_ns` 0: not heard of yet."""

    def __init__(self, sender: str) -> None:
        self.sender: Final = sender
        self.outbox: Final = Outbox(CONTROL_NAME)
        self.inbound: Final = Inbound()
        self.num_in_flight = 0
        self.num_taken = 0
        self.deadline_ns = 0
        self.last_ns = 0


class Peer:
    """A host, whichever process it is. `metered` are those of its addresses whose usage is asked for."""

    def __init__(self, name: str, addresses: Sequence[str], metered: Sequence[str], session: str) -> None:
        self.name: Final = name
        self.addresses: Final = addresses
        self.metered: Final = [address for address in addresses if address in metered]
        self.is_lost = False
        self._session = session
        self._incarnation = 0
        self.link = Link(sender_name(name, session, 0))

    def lose(self) -> None:
        """Its process died; `link` is from now on that of the next."""
        self.is_lost = True
        self._incarnation += 1
        self.link = Link(sender_name(self.name, self._session, self._incarnation))

    def is_quiet(self) -> bool:
        """It has taken all that was sent, nothing is on its way, and it will do nothing by itself."""
        link = self.link
        return (
            not self.is_lost
            and link.deadline_ns == NEVER_NS
            and not link.num_in_flight
            and not link.outbox
            and link.num_taken == link.outbox.num_sent
        )
