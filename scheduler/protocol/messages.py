"""Every message, in the order in which one request meets them.

One message carries many requests as parallel columns: entry i of each list belongs to request `ids[i]`. The columns are
plain lists of Python integers. A message is never changed after it was said; `Final` fields let pyright hold that at no
cost at run time. Times are integer nanoseconds of emulated time, amounts of KV are tokens, data is bytes.

Each docstring begins with who says it to whom. `runtime`: what drives the components; `source`: a trace, a client or a
profile; `operator`: a person or a fault schedule; `provisioner`: who starts and ends
processes of instances; `cache`: a cache pool; `prefill` and `decode`: instances. Here stand
the messages of a request's way and of a run; `cache_messages`, `fabric_messages` and `operations` hold
the others. A new message is a
class and a line at the end of `Message`: the codec reads its annotations.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from scheduler.protocol.cache_messages import (
    CachePolicyReported,
    CacheReported,
    CacheServersChanged,
    DrainCacheServers,
    ExtendCached,
    ExtendLookups,
    FetchSessions,
    LookupPrefixes,
    PoolServersChanged,
    PrefixesFound,
    PrefixesGrown,
    PrefixesLost,
    ReleasePrefixes,
    SessionRequests,
    SessionsFetched,
    SessionsGone,
    SessionsIdle,
    StoreAnswers,
    StorePrefixes,
)
from scheduler.protocol.fabric_messages import (
    CancelTransfer,
    FinishTransfer,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferOverdue,
)
from scheduler.protocol.operations import (
    AvoidDies,
    CancelRequests,
    ChangeModel,
    DrainInstances,
    ExpertLoadReported,
    FailParts,
    FleetScaled,
    InstanceDrained,
    InstanceProfiled,
    LinkShare,
    ParkedSet,
    PartsChanged,
    PowerBudgetSet,
    RepairParts,
    RequestsCancelled,
    ScaleInstances,
    SetParked,
    SetPowerBudget,
    StartInstances,
    StopInstances,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

NO_ANSWER: Final = -1
"""In place of a block id in `RequestsArrived.answers`."""

NO_SESSION: Final = -1
"""In place of a number in `RequestsArrived.sessions`."""

AS_HEARD: Final = -1
"""In place of a time in `RequestsArrived.arrived_ns`."""


class Usage(Struct, frozen=True, gc=False):
    """What a worker's NPUs did between two of its reports; the worker's own physics, read by metrics only.

    `start_ns..end_ns` joins seamlessly with the report before. `busy_ns` is the part in which a step ran.
    """

    start_ns: int
    end_ns: int
    busy_ns: int
    joules: float


class RequestsArrived(Struct, frozen=True, gc=False):
    """source -> core: requests that reached the gateway at one instant; the core numbers them in this order.

    One entry of each column for each request. `payloads[i]` is opaque to the control plane, which forwards it unread.
    `prefixes[i]` are ids of the prompt's consecutive blocks of `block_tokens` tokens: equal ids in one tenant mean
    equal block and equal prefix before it; an empty list means that nothing is known. The last block may be partial.
    `classes` are the names of the classes that requests ask for, empty for none, and an empty list if none asks for
    any. `answers`: where a later prompt may hold this one with its answer, the id of the block in which the answer
    begins once both are written on in blocks; the blocks after it are numbered on. `NO_ANSWER` for an answer of which
    nothing is known, and an empty list if nothing is known of any. `sessions`: the conversation or task that a client
    says its request belongs to, by a number; `NO_SESSION` for none, and an empty list if no client says anything.

    A source that gives its address as `reply_to` is told by `RequestsEnded` when each of them has ended; `keys` are its
    own names for them. Live it hears late of an end: `arrived_ns` is when it would have asked then, and what latencies
    count from; `AS_HEARD` for the time at which the core hears of the requests.
    """

    prompt_tokens: list[int]
    payloads: list[bytes]
    prefixes: list[list[int]]
    tenants: list[int]
    block_tokens: int
    classes: list[str] = []
    answers: list[int] = []
    sessions: list[int] = []
    reply_to: str = ""
    keys: list[int] = []
    arrived_ns: int = AS_HEARD


class RequestsEnded(Struct, frozen=True, gc=False):
    """core -> source: these requests have ended, by the keys that the source gave them, in the order of their ends.

    `reasons` are values of `FinishReason`, `ended_ns` when the last token was out or the request was given up.
    """

    keys: list[int]
    reasons: list[int]
    ended_ns: list[int]


class RequestsWithdrawn(Struct, frozen=True, gc=False):
    """source -> core: nobody waits any more for these requests of the source `reply_to`, by its keys; those that have
    not ended yet end as cancelled, each where nothing is at work for it."""

    reply_to: str
    keys: list[int]


class SessionsClosed(Struct, frozen=True, gc=False):
    """source -> core: a client will send nothing more of these sessions."""

    sessions: list[int]


class ArrivalsEnded(Struct, frozen=True, gc=False):
    """source -> core: no more requests will arrive."""


class StartPrefill(Struct, frozen=True, gc=False):
    """core -> prefill: compute these prompts, of which the first `cached_tokens` are at hand.

    One entry of each column for each request. `resumed_tokens` is 0, or the output tokens that a request had produced
    before it lost its KV: then prompt and those tokens are recomputed, and the pass yields the next token. `prefixes`
    and `tenants` are empty unless the instance keeps a cache of its own.
    """

    ids: list[int]
    prompt_tokens: list[int]
    cached_tokens: list[int]
    resumed_tokens: list[int]
    payloads: list[bytes]
    prefixes: list[list[int]]
    tenants: list[int]


class PrefillStepped(Struct, frozen=True, gc=False):
    """prefill -> core: one boundary between passes of an instance.

    `boundary_ns`: the pass before ended and the next, if any, began. `started_ids`: their first chunk is in the pass
    that begins now; `started_cached_tokens` of each are cached, and the list is empty if that is what they were sent
    with. `last_chunk_ids`: their last chunk is in it, so that their KV will be complete when it ends: time to reserve
    room at a decode instance. `prefilled_ids`: their KV is complete and their first token is out. `finished_ids`: those
    of `prefilled_ids` whose output ends with that token. `computed_tokens`: prompt tokens computed in the pass that
    ended. `next_ids`: from an instance that reads a cache pool, those who wait and whose first chunk fits in the pass
    after the one that begins; each is named once.
    """

    instance: str
    boundary_ns: int
    started_ids: list[int]
    started_cached_tokens: list[int]
    last_chunk_ids: list[int]
    prefilled_ids: list[int]
    finished_ids: list[int]
    computed_tokens: int
    usage: Usage
    next_ids: list[int] = []


class ReserveKv(Struct, frozen=True, gc=False):
    """core -> decode: keep room for `kv_tokens` of KV of each request; first come, first served.

    `KvReserved` confirms it, at once or when there is room.
    """

    ids: list[int]
    kv_tokens: list[int]


class KvReserved(Struct, frozen=True, gc=False):
    """decode -> core: room is kept for these requests at `instance` from now on, each on the die of that number."""

    instance: str
    ids: list[int]
    dies: list[int]


class ReleaseKv(Struct, frozen=True, gc=False):
    """core -> prefill, decode: the KV of these requests is no longer needed here."""

    ids: list[int]


class StartDecode(Struct, frozen=True, gc=False):
    """core -> decode: KV of these requests is in place: decode from the next step boundary on.

    One entry of each column for each request. `produced_tokens` counts the output tokens a client has seen already, the
    first one included.
    """

    ids: list[int]
    produced_tokens: list[int]
    payloads: list[bytes]


class DecodeStepped(Struct, frozen=True, gc=False):
    """decode -> core: a run of `num_steps` steps of an instance between two boundaries, in which nobody joined or left.

    `boundary_ns` ends the run; the run began at `boundary_ns` - `steps_ns`. `first_step_ns` and `last_step_ns` are the
    lengths of its first and last step; between them step length is close to linear. `num_running` sequences each
    produced `tokens_per_sequence` tokens, those that finished at the boundary at most that; `kv_tokens` of KV are held
    after it. `started_ids` join at the boundary; `finished_ids` and `preempted_ids` leave at it, with the output tokens
    each has in all; `length_limited_ids` are those of `finished_ids` that were cut because no more KV fits. Who leaves
    by `CancelRequests` is a finished one.

    Where it is sampled how many drafts each accepts, `tokens_per_sequence` is one for each step, which is the least,
    `more_tokens` is what all together produced beside, and `running_tokens` tells what each has that runs on after the
    boundary (`scheduler.protocol.running_tokens`). Else there is nothing in these two.
    """

    instance: str
    boundary_ns: int
    steps_ns: int
    num_steps: int
    first_step_ns: int
    last_step_ns: int
    num_running: int
    tokens_per_sequence: int
    kv_tokens: int
    started_ids: list[int]
    finished_ids: list[int]
    finished_tokens: list[int]
    length_limited_ids: list[int]
    preempted_ids: list[int]
    preempted_tokens: list[int]
    usage: Usage
    more_tokens: int = 0
    running_tokens: bytes = b""

    @property
    def num_tokens(self) -> int:
        """Of all sequences together; some of those that finished may have had no use for a few of them."""
        return self.num_running * self.tokens_per_sequence + self.more_tokens

    @property
    def mean_tokens(self) -> float:
        """Of a sequence; 0 if none ran."""
        return self.num_tokens / self.num_running if self.num_running else 0.0


class RunEnded(Struct, frozen=True, gc=False):
    """runtime -> all: the runtime stops here; instances account for what is still open with `UsageReported`.

    `interrupted`: the run was cut short; the core then ends every open request as interrupted.
    """

    interrupted: bool


class UsageReported(Struct, frozen=True, gc=False):
    """prefill, decode -> core: an instance's account when it has nothing else to say: asked for by `ReportUsage`, when
    its power budget changes, or at the end of the run."""

    instance: str
    usage: Usage


class ReportUsage(Struct, frozen=True, gc=False):
    """runtime -> prefill, decode, cache: account up to now. An idle instance says `UsageReported`, a busy one its next
    report."""


class CancelReservations(Struct, frozen=True, gc=False):
    """core -> decode: give back the room or the place in the queue of these requests; `ReservationsCancelled` confirms
    it.

    Unlike after `ReleaseKv`, the same request may ask here again: `KvReserved` before the confirmation is for what was
    cancelled, after it for what was asked since.
    """

    ids: list[int]


class ReservationsCancelled(Struct, frozen=True, gc=False):
    """decode -> core: nothing is kept for these requests at `instance` any more."""

    instance: str
    ids: list[int]


Message = (
    RequestsArrived
    | ArrivalsEnded
    | LookupPrefixes
    | PrefixesFound
    | StorePrefixes
    | ReleasePrefixes
    | StartPrefill
    | PrefillStepped
    | ReserveKv
    | KvReserved
    | StartTransfer
    | TransferDone
    | ReleaseKv
    | StartDecode
    | DecodeStepped
    | RunEnded
    | UsageReported
    | ReportUsage
    | WorkersLost
    | WorkersJoined
    | CancelReservations
    | ReservationsCancelled
    | TransferFailed
    | FailParts
    | RepairParts
    | PartsChanged
    | AvoidDies
    | FinishTransfer
    | CancelTransfer
    | ExpertLoadReported
    | LinkShare
    | CancelRequests
    | RequestsCancelled
    | SetPowerBudget
    | PowerBudgetSet
    | PrefixesLost
    | CacheServersChanged
    | DrainCacheServers
    | CacheReported
    | SetParked
    | ParkedSet
    | InstanceProfiled
    | PoolServersChanged
    | WorkersStarted
    | TransferOverdue
    | ChangeModel
    | InstanceDrained
    | ExtendLookups
    | PrefixesGrown
    | ExtendCached
    | StoreAnswers
    | RequestsEnded
    | SessionsClosed
    | SessionRequests
    | SessionsIdle
    | SessionsGone
    | FetchSessions
    | SessionsFetched
    | CachePolicyReported
    | RequestsWithdrawn
    | StartInstances
    | StopInstances
    | FleetScaled
    | ScaleInstances
    | DrainInstances
)
"""All messages. The place of each is its tag on the wire: new ones are added at the end."""
