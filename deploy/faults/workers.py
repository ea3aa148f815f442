"""Workers of a run on the virtual clock that may be lost, and what takes their place; and such as come and go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.addresses import cache_server_address
from scheduler.protocol.component import NOTHING, Around, Component, Outputs
from scheduler.protocol.messages import RunEnded
from scheduler.sources.arrivals import BLOCK_TOKENS
from workers.stopping import Nobody


class Losable(Around):
    """A worker that `replace` exchanges for a new and empty one of its kind."""

    def replace(self, now_ns: int, worker: Component) -> Outputs:
        """Returns the last account of the one that is lost, as of now."""
        account = self.inner.handle(now_ns, RunEnded(interrupted=True))
        self.inner = worker
        return account


class LosableWorkers:
    """All workers of a run, those of `losable` addresses wrapped, of which the `absent` are not there at first; `make`
    makes one anew that accounts from a time."""

    def __init__(
        self,
        workers: Sequence[Component],
        losable: Collection[str],
        make: Callable[[str, int], Component],
        absent: Collection[str] = (),
    ) -> None:
        self._wrapped = {worker.address: Losable(worker) for worker in workers if worker.address in losable}
        self.components = [self._wrapped.get(worker.address, worker) for worker in workers]
        self._make = make
        for address in absent:
            wrapped = self._wrapped[address]
            wrapped.inner = Nobody(address, wrapped.priority)

    def lose(self, address: str, now_ns: int) -> Outputs:
        """Its NPUs draw idle power from now on; cache servers are parts of their pool, which the core tells."""
        wrapped = self._wrapped.get(address)
        if wrapped is None or isinstance(wrapped.inner, Nobody):
            return NOTHING
        return wrapped.replace(now_ns, self._make(address, now_ns))

    def start(self, address: str, now_ns: int) -> None:
        """A worker where none is; it accounts from now on."""
        self._wrapped[address].inner = self._make(address, now_ns)

    def stop(self, address: str, now_ns: int) -> Outputs:
        """It is gone; returns its last account."""
        wrapped = self._wrapped[address]
        return wrapped.replace(now_ns, Nobody(address, wrapped.priority))


def losable_workers(settings: Settings, *, live: bool) -> list[str]:
    """Who may be lost as planned: cache servers, and on the virtual clock instances; those of a live run are processes,
    which end in earnest."""
    blueprint = Blueprint(settings, BLOCK_TOKENS)
    servers = [
        cache_server_address(pool, number)
        for pool, supernode in zip(blueprint.pools, blueprint.plan.supernodes, strict=False)
        for number in range(supernode.num_cache_servers)
    ]
    return [*([] if live else [spec.address for spec in blueprint.instances]), *servers]
