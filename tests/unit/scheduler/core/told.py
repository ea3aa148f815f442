"""A core over two prefill and two decode instances, and short ways to tell it things. Addresses: p0 p1 d0 d1."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.guests.weight_loads import ModelWeights
from scheduler.core.lifecycle import State
from scheduler.core.scaling.rules import ScalingRules
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    FinishTransfer,
    KvReserved,
    Message,
    PrefillStepped,
    PrefixesFound,
    RequestsArrived,
    StartPrefill,
    StartTransfer,
    TransferDone,
    Usage,
    WorkersJoined,
    WorkersLost,
    WorkersStarted,
)

USAGE = Usage(0, 0, 0, 0.0)
PROMPT_TOKENS = 100


class Told:
    """Tells its core one thing after another; each call answers what the core says, by address."""

    def __init__(
        self,
        cache_mode: CacheMode = CacheMode.NONE,
        *,
        max_retries: int = 3,
        policy: str = "round_robin",
        weights: ModelWeights | None = None,
        scaling: ScalingRules | None = None,
    ):
        prefill = [InstanceInfo(f"p{i}", 1, 1000) for i in range(2)]
        decode = [InstanceInfo(f"d{i}", 1, 1000) for i in range(2)]
        config = SchedulerConfig(prefill, decode, cache_mode, max_retries=max_retries, weights=weights, scaling=scaling)
        self.core = Scheduler(config, make_routing_policy(policy), make_routing_policy(policy))
        self.now_ns = 0

    def tell(self, message: Message) -> dict[str, list[Message]]:
        """One message, a nanosecond after the last."""
        self.now_ns += 1
        said: dict[str, list[Message]] = {}
        for address, answer in self.core.handle(self.now_ns, message):
            said.setdefault(address, []).append(answer)
        return said

    def wake(self, at_ns: int) -> dict[str, list[Message]]:
        """Its deadline has come."""
        self.now_ns = at_ns
        said: dict[str, list[Message]] = {}
        for address, answer in self.core.wake(at_ns):
            said.setdefault(address, []).append(answer)
        return said

    def arrive(self, num_requests: int = 1, prefix: Sequence[int] = ()) -> dict[str, list[Message]]:
        """Some requests at once."""
        prefixes = [list(prefix) for _ in range(num_requests)]
        return self.tell(
            RequestsArrived([PROMPT_TOKENS] * num_requests, [b"p"] * num_requests, prefixes, [0] * num_requests, 10)
        )

    def found(self, ids: list[int], cached_tokens: int) -> dict[str, list[Message]]:
        """The cache answers."""
        return self.tell(PrefixesFound("cache", ids, [cached_tokens] * len(ids), [0] * len(ids)))

    def passed(
        self, at: str, *, started: Sequence[int] = (), closing: Sequence[int] = (), done: Sequence[int] = ()
    ) -> dict[str, list[Message]]:
        """A boundary between passes."""
        return self.tell(
            PrefillStepped(at, self.now_ns + 1, list(started), [], list(closing), list(done), [], 0, USAGE)
        )

    def computed(self, at: str, ids: Sequence[int]) -> dict[str, list[Message]]:
        """One pass computes these prompts; answers what is said when it has ended."""
        self.passed(at, started=ids, closing=ids)
        return self.passed(at, done=ids)

    def reserved(self, at: str, ids: Sequence[int], die: int = 0) -> dict[str, list[Message]]:
        """Room is kept, on one die for all."""
        return self.tell(KvReserved(at, list(ids), [die] * len(ids)))

    def moved(self, flow: Message, kind: TransferKind = TransferKind.KV_TRANSFER) -> dict[str, list[Message]]:
        """A flow has ended."""
        assert isinstance(flow, StartTransfer | FinishTransfer)
        return self.tell(TransferDone(flow.transfer_id, kind, Plane.RDMA, self.now_ns + 1, 1, 1, 0))

    def stepped(
        self, at: str, *, tokens: int = 0, kv_tokens: int = 0, started: Sequence[int] = ()
    ) -> dict[str, list[Message]]:
        """Each running sequence has produced some tokens; then others join."""
        boundary_ns = self.now_ns + 1
        run = (tokens, tokens, 1, 1, 1, tokens, kv_tokens)
        return self.tell(DecodeStepped(at, boundary_ns, *run, list(started), [], [], [], [], [], USAGE))

    def lose(self, *addresses: str) -> dict[str, list[Message]]:
        """These are gone."""
        return self.tell(WorkersLost(list(addresses)))

    def start(self, *addresses: str) -> dict[str, list[Message]]:
        """New processes are there in their place."""
        return self.tell(WorkersStarted(list(addresses)))

    def join(self, *addresses: str) -> dict[str, list[Message]]:
        """These are back."""
        return self.tell(WorkersJoined(list(addresses)))

    def state(self, request_id: int = 0) -> State:
        """Where a request is."""
        return State(self.core.table.state[request_id])

    def reason(self, request_id: int = 0) -> FinishReason:
        """How a request ended."""
        return FinishReason(self.core.table.reason[request_id])

    def loads(self) -> tuple[MutableSequence[int], ...]:
        """Outstanding requests and tokens, of prefill and of decode."""
        prefill, decode = self.core.state.prefill, self.core.state.decode
        return (
            prefill.outstanding_requests,
            prefill.outstanding_tokens,
            decode.outstanding_requests,
            decode.outstanding_tokens,
        )


def ids_of(message: Message) -> list[int]:
    """Whom a command is about."""
    ids = getattr(message, "ids", None)
    assert isinstance(ids, list)
    return ids


def starts(said: dict[str, list[Message]]) -> dict[str, list[int]]:
    """Who is sent to which prefill instance."""
    return {
        address: [i for message in messages if isinstance(message, StartPrefill) for i in message.ids]
        for address, messages in said.items()
        if any(isinstance(message, StartPrefill) for message in messages)
    }
