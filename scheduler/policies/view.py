"""What a policy may see: one stage's instances and the request at hand, as a real router would know them.

A policy declares what it reads. What nobody reads is not kept, and to read what is not declared is an error (see
`undeclared`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

# Who lists policies should not wait for numpy.
if TYPE_CHECKING:
    from numpy.random import Generator


class StageKind(Enum):
    """Which choice a policy is asked for."""

    PREFILL = "prefill"
    DECODE = "decode"


class Reads(IntFlag):
    """What a policy must be shown; what nobody reads is not kept.

    `LOAD` alone: the core's own counts of outstanding work. `REQUEST`: the request. `REPORTS`: columns that instances
    reported. `OWN_CACHES`: which instance's own cache holds the prompt's beginning. `PREDICTIONS`: times learned from
    reports. The last two come with the request.
    """

    LOAD = 0
    REQUEST = 1
    REPORTS = 2
    OWN_CACHES = 4
    PREDICTIONS = 8


READS_ALL: Final = Reads.REQUEST | Reads.REPORTS | Reads.OWN_CACHES | Reads.PREDICTIONS


class StageView(Protocol):
    """Columns by instance index: only instances that are up, at the moment of the decision or `view_age` before."""

    @property
    def outstanding_requests(self) -> Sequence[int]:
        """Requests sent and not yet done, as the core counts them."""
        ...

    @property
    def outstanding_tokens(self) -> Sequence[int]:
        """Uncached prompt tokens of those requests for a prefill stage, tokens of KV for a decode stage."""
        ...

    @property
    def running_requests(self) -> Sequence[int]:
        """Requests in the pass or step under way, as last reported."""
        ...

    @property
    def kv_tokens(self) -> Sequence[int]:
        """KV of running requests, as last reported."""
        ...

    @property
    def kv_capacity_tokens(self) -> Sequence[int]:
        """KV that all dies of the instance hold together, as registered."""
        ...

    @property
    def tokens_per_s(self) -> Sequence[float]:
        """Tokens computed (prefill) or produced (decode) per second of the last report that told of work; 0 before."""
        ...

    @property
    def reported_ns(self) -> Sequence[int]:
        """When the instance last reported, -1 if never."""
        ...

    @property
    def cached_blocks(self) -> Sequence[int]:
        """Blocks that the instance's own cache is thought to hold."""
        ...

    @property
    def supernodes(self) -> Sequence[int]:
        """Which supernode of the fleet each instance is part of."""
        ...


@dataclass(frozen=True, slots=True)
class Columns:
    """A `StageView` that is kept as it is."""

    outstanding_requests: Sequence[int]
    outstanding_tokens: Sequence[int]
    running_requests: Sequence[int]
    kv_tokens: Sequence[int]
    kv_capacity_tokens: Sequence[int]
    tokens_per_s: Sequence[float]
    reported_ns: Sequence[int]
    cached_blocks: Sequence[int]
    supernodes: Sequence[int]


@dataclass(slots=True)
class RequestView:
    """The request to route; columns are by instance index like those of the stage.

    `num_tokens`: what it brings to the stage, uncached prompt tokens or tokens of KV. `total_tokens`: prompt and what
    it had produced before it was set back. `cached_tokens`: found in the pool, at hand wherever it goes. `blocks` of
    `tenant`: ids of the prompt's blocks of `block_tokens` tokens, empty if unknown. `held_tokens`: leading prompt
    tokens that each instance's own cache is thought to hold. `backlog_ns`: predicted time until the instance has done
    all that it was sent. `work_ns`: predicted time that this request adds at a prefill instance; the predicted time
    per output token at a decode instance once the request has joined. `num_samples`: reports behind the predictions.
    """

    now_ns: Final[int]
    num_tokens: Final[int]
    total_tokens: Final[int]
    cached_tokens: Final[int]
    blocks: Final[Sequence[int]]
    tenant: Final[int]
    block_tokens: Final[int]
    held_tokens: Final[Sequence[int]]
    backlog_ns: Final[Sequence[float]]
    work_ns: Final[Sequence[float]]
    num_samples: Final[int] = 0


class PolicyContext(Struct, frozen=True):
    """Where a policy object works: one for each stage and run. `random` gives the only stream of chance that it may
    use, always the same; few policies draw, so it is made when it is first asked for."""

    stage: StageKind = StageKind.PREFILL
    random: Callable[[], Generator] | None = None

    def generator(self) -> Generator:
        """The stream; a `ValueError` where nobody gave one."""
        if self.random is None:
            raise ValueError("this policy draws random numbers: give its context a stream")
        return self.random()


class RoutingPolicy(Protocol):
    """Picks the instance that serves a request in one stage; one object per stage and run.

    A policy may have `scores`, as in `ScoringPolicy`, by which its choices are explained, and `choose_pair`, as in
    `PairPolicy`; then that of the prefill stage chooses both instances when a request is routed, and `choose` is asked
    only where no pair can be had, or a promised instance is gone.
    """

    @property
    def reason(self) -> str:
        """Why this policy picks as it does, in a few words; travels with each decision."""
        ...

    @property
    def reads(self) -> Reads:
        """What `choose` looks at."""
        ...

    def choose(self, stage: StageView, request: RequestView) -> int:
        """Index of the instance that takes the request; the stage has at least one. Views are good for this call."""
        ...


class PairPolicy(RoutingPolicy, Protocol):
    """Picks the two instances of a request together."""

    def choose_pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        """Indices of the prefill and the decode instance; columns of `request` are those of the prefill stage, and what
        was promised to decode instances counts as outstanding there."""
        ...


class ScoringPolicy(RoutingPolicy, Protocol):
    """Can tell what it made of each instance; asked after it has chosen, and only for who keeps decisions."""

    def scores(self, stage: StageView, request: RequestView) -> Sequence[float]:
        """By instance index, in the policy's own units; whether the least or the most is best is the policy's own."""
        ...
