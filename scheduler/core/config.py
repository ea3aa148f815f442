"""What the control plane is told before it starts."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from scheduler.core.fleet import InstanceInfo
from scheduler.policies.classes import RequestClass
from scheduler.policies.disaggregation import ALWAYS, DisaggregationRule, make_rule
from scheduler.protocol.addresses import CACHE_ADDRESS
from scheduler.protocol.fabric_messages import Plane

# Only a run under a power cap, or one that parks or loads models, needs what does it.
if TYPE_CHECKING:
    from scheduler.core.guests.parking import ParkingRules
    from scheduler.core.guests.power_budgets import PowerCap
    from scheduler.core.guests.weight_loads import ModelWeights
    from scheduler.core.scaling.rules import ScalingRules

MAX_PREEMPTIONS: Final = 1000
MAX_RETRIES: Final = 3


class CacheMode(Enum):
    """Where prefix KV is kept: in one pool for all, in one cache per prefill instance, or nowhere."""

    POOL = "pool"
    LOCAL = "local"
    NONE = "none"


class SchedulerConfig(Struct, frozen=True):
    """What the control plane is told before it starts.

    `pools` are the cache pools, which instances name by index. `max_open_requests` bounds every queue behind the core
    (INV-12): an arrival beyond it is rejected as `overload`. `max_preemptions` bounds how often a request is computed
    again for lack of room before it fails as `retries_exhausted`, `max_retries` how often it is requeued because a
    worker was lost, or its KV was cut off. `num_cache_servers` is by pool. `has_cache_ssd`: they have SSD behind their
    DRAM, reached over VPC, and write everything through to it. `keeps_answers`: KV that decode has made is kept like
    that of prompts. `view_age_ns`: how old what routing policies see of instances may be; 0 for as it is;
    `counts_sends`: with it they see what they have sent since. `supernode_candidates`: how many supernodes of a fleet a
    request may go to, 0 for all, by the block of its prompt at depth `supernode_key_blocks`. `power` is there under a
    power cap, `parking` where idle instances are parked. `classes` are those that requests may belong to. `weights`:
    what an instance whose process was lost loads before it is ready again; None for nothing. `disaggregation`: the rule
    by which prompts go to prefill or to aggregated instances, where there are both, and what makes it, which may be a
    class of a user's own. `scaling` is there where instances come and go.
    `has_cache_policy`: caches have a policy that is not least recently used; `tells_sessions`: they are told of
    sessions, as that policy reads them.
    """

    prefill: list[InstanceInfo]
    decode: list[InstanceInfo]
    cache_mode: CacheMode = CacheMode.NONE
    cache_plane: Plane = Plane.UB
    pools: tuple[str, ...] = (CACHE_ADDRESS,)
    num_cache_servers: tuple[int, ...] = (1,)
    has_cache_ssd: bool = False
    keeps_answers: bool = False
    has_cache_policy: bool = False
    tells_sessions: bool = False
    max_open_requests: int = 1_000_000
    max_preemptions: int = MAX_PREEMPTIONS
    max_retries: int = MAX_RETRIES
    view_age_ns: int = 0
    counts_sends: bool = False
    supernode_candidates: int = 0
    supernode_key_blocks: int = 2
    power: PowerCap | None = None
    parking: ParkingRules | None = None
    classes: tuple[RequestClass, ...] = ()
    weights: ModelWeights | None = None
    scaling: ScalingRules | None = None
    disaggregation: str = ALWAYS
    make_rule: Callable[[str], DisaggregationRule] = make_rule
