"""What the live runtime needs of whatever carries its envelopes to the processes of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class WorkerTransport(Protocol):
    """Carries envelopes to hosts of workers. What hosts send by themselves reaches `LiveRuntime.deliver`."""

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Names of the hosts, and the addresses of the components on each, in a fixed order."""
        ...

    async def send(self, host: str, envelope: bytes) -> bytes:
        """Deliver one envelope; returns the host's next one, within a deadline.

        `WorkerLostError` if the host's process died, `ClusterError` for whatever else kept it.
        """
        ...

    async def revive(self, host: str, sender: str, began_ns: int) -> int:
        """Return when a fresh process of that host runs: its components account from `began_ns`, its envelopes bear
        `sender`. Answers how many processes were started since the one before ran: some may have died at once.

        `WorkerLostError` if it died while it began, `ClusterError` if it does not come back within a deadline."""
        ...

    def waits_for(self, host: str) -> str:
        """What a lost host waits for that may never come, such as room on another node, for a person; empty if it is
        only being started again."""
        ...
