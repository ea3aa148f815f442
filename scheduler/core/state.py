"""What all parts of the core share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import Stage
from scheduler.core.open_requests import OpenRequests
from scheduler.core.pools import Pools
from scheduler.core.request_table import RequestTable
from scheduler.core.routing.decision import DecisionLog
from scheduler.core.shared_loads import loads_of
from scheduler.policies.classes import ClassBook
from scheduler.protocol.finish import FinishReason


@dataclass(slots=True)
class SchedulerState:
    """The table of all requests, what is kept of the open ones, the instances of both stages and the cache pools.

    `classes` is None where requests have no classes. `decision_logs` are appended to as decisions are made.
    """

    config: SchedulerConfig
    table: RequestTable
    open: OpenRequests
    prefill: Stage
    decode: Stage
    pools: Pools
    classes: ClassBook | None
    decision_logs: list[DecisionLog] = field(default_factory=list[DecisionLog])

    @property
    def aggregated(self) -> frozenset[str]:
        """Addresses of the instances that are of both stages."""
        return frozenset(self.prefill.index.keys() & self.decode.index.keys())

    @property
    def uses_pool(self) -> bool:
        """Whether prefix KV is kept in pools that instances share."""
        return self.config.cache_mode is CacheMode.POOL

    def end(self, ids: Sequence[int], reason: FinishReason, now_ns: int) -> None:
        """The one end of these requests; nothing of them is kept but their row of the table."""
        self.table.end(ids, reason, now_ns)
        self.open.drop(ids)


def new_scheduler_state(config: SchedulerConfig) -> SchedulerState:
    """Empty, with all instances up."""
    has_cache = config.cache_mode is not CacheMode.NONE
    table = RequestTable()
    open_requests = OpenRequests(keep_prompts=has_cache, keep_answers=has_cache and config.keeps_answers)
    pools = Pools(config.pools, table, open_requests)
    classes = ClassBook(config.classes) if config.classes else None
    of_prefill, of_decode = loads_of(*([one.address for one in infos] for infos in (config.prefill, config.decode)))
    prefill, decode = Stage(config.prefill, of_prefill), Stage(config.decode, of_decode)
    return SchedulerState(config, table, open_requests, prefill, decode, pools, classes)
