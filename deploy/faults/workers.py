"""Workers of a run on the virtual clock that may be lost, and what takes their place; and such as come and go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.addresses import cache_server_address
from scheduler.protocol.component import NOTHING, Component, Outputs
from scheduler.protocol.messages import RunEnded
from scheduler.sources.arrivals import BLOCK_TOKENS
from workers.stopping import Nobody


class LosableWorkers:
    """All workers of a run, of which others take the place of those that are lost, and some come and go.

    `make` makes one anew that accounts from a time; the `absent` are not there at first. `exchange` has whoever runs
    `components` put a worker in the place of the one at its address.
    """

    def __init__(
        self,
        workers: Sequence[Component],
        make: Callable[[str, int], Component],
        exchange: Callable[[Component], None],
        absent: Collection[str] = (),
    ) -> None:
        self.components: list[Component] = [
            Nobody(one.address, one.priority) if one.address in absent else one for one in workers
        ]
        self._exchange = exchange
        self._make = make
        self._there = {worker.address: worker for worker in self.components}

    def lose(self, address: str, now_ns: int) -> Outputs:
        """Its NPUs draw idle power from now on; cache servers are parts of their pool, which the core tells."""
        lost = self._there.get(address)
        if lost is None or isinstance(lost, Nobody):
            return NOTHING
        return self._replace(now_ns, lost, self._make(address, now_ns))

    def start(self, address: str, now_ns: int) -> None:
        """A worker where none is; it accounts from now on."""
        self._put(self._make(address, now_ns))

    def stop(self, address: str, now_ns: int) -> Outputs:
        """It is gone; returns its last account."""
        gone = self._there[address]
        return self._replace(now_ns, gone, Nobody(address, gone.priority))

    def _replace(self, now_ns: int, lost: Component, worker: Component) -> Outputs:
        account = lost.handle(now_ns, RunEnded(interrupted=True))
        self._put(worker)
        return account

    def _put(self, worker: Component) -> None:
        self._there[worker.address] = worker
        self._exchange(worker)


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
