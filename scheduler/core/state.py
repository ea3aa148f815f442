"""What all parts of the core know together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import Stage
from scheduler.core.open_requests import OpenRequests
from scheduler.core.pools import Pools
from scheduler.core.request_table import Ledger
from scheduler.policies.classes import ClassBook
from scheduler.protocol.finish import FinishReason


@dataclass(slots=True)
class Books:
    """The account of every request, what is kept of the open ones, the instances of both stages and the cache pools."""

    config: Final[SchedulerConfig]
    ledger: Final[Ledger]
    open: Final[OpenRequests]
    prefill: Final[Stage]
    decode: Final[Stage]
    pools: Final[Pools]
    classes: Final[ClassBook | None]
    """None where requests have no classes."""

    @property
    def uses_pool(self) -> bool:
        """Whether prefix KV is kept in pools that instances share."""
        return self.config.cache_mode is CacheMode.POOL

    def end(self, ids: Sequence[int], reason: FinishReason, now_ns: int) -> None:
        """The one end of these requests; nothing of them is kept but their ledger row."""
        self.ledger.end(ids, reason, now_ns)
        self.open.drop(ids)


def open_books(config: SchedulerConfig) -> Books:
    """Empty, with all instances up."""
    ledger, open_requests = Ledger(), OpenRequests(keep_prompts=config.cache_mode is not CacheMode.NONE)
    pools = Pools(config.pools, ledger, open_requests)
    classes = ClassBook(config.classes) if config.classes else None
    return Books(config, ledger, open_requests, Stage(config.prefill), Stage(config.decode), pools, classes)
