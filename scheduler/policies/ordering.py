"""Who goes next of those that wait: one class per order over the same three calls.

All but `FairQueue` keep one heap of keys that do not change while a request waits, so a call costs the logarithm of
the queue. Ties go to who came first.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final, Protocol

from scheduler.policies.registry import KnownPolicy, register
from scheduler.policies.waiting import NO_LIMIT_NS, WaitingRequest
from scheduler.protocol.catalog import Catalog

ORDERS: Final = Catalog[KnownPolicy](besides="or FILE.py:Class")
GOES_FIRST: Final = "who goes first to prefill"


class Order(Protocol):
    """A queue with an order of its own. Whoever takes more than there is gets an `IndexError`."""

    def __len__(self) -> int:
        """Requests that wait."""
        ...

    def add(self, request: WaitingRequest) -> None:
        """It waits from now on."""
        ...

    def peek(self) -> WaitingRequest:
        """Who goes next."""
        ...

    def take(self) -> WaitingRequest:
        """Who goes next, who then waits no more."""
        ...

    def remove(self, request_id: int) -> None:
        """It waits no more, should it have waited."""
        ...


class KeyedOrder:
    """Least key first. A request that was removed stays in the heap until it comes to the top."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, WaitingRequest]] = []
        self._waiting: dict[int, int] = {}
        self._num_added = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def key(self, request: WaitingRequest) -> float:
        """The place of a request, fixed when it comes."""
        raise NotImplementedError

    def add(self, request: WaitingRequest) -> None:
        """It waits from now on."""
        self._num_added += 1
        self._waiting[request.request_id] = self._num_added
        heappush(self._heap, (self.key(request), self._num_added, request))

    def peek(self) -> WaitingRequest:
        """Who goes next."""
        heap = self._heap
        while self._waiting.get(heap[0][2].request_id) != heap[0][1]:
            heappop(heap)
        return heap[0][2]

    def take(self) -> WaitingRequest:
        """Who goes next, who then waits no more."""
        request = self.peek()
        heappop(self._heap)
        del self._waiting[request.request_id]
        return request

    def remove(self, request_id: int) -> None:
        """It waits no more, should it have waited."""
        self._waiting.pop(request_id, None)


@register(ORDERS, "fcfs", formula="min time of coming", source="folklore", chooses=GOES_FIRST)
class FirstComeFirstServed(KeyedOrder):
    """In order of coming."""

    def key(self, request: WaitingRequest) -> float:
        """All alike."""
        return 0.0


@register(ORDERS, "edf", formula="min arrival + TTFT limit", source="Liu and Layland, 1973", chooses=GOES_FIRST)
class EarliestDeadlineFirst(KeyedOrder):
    """Least arrival + TTFT limit; those without a limit come last.

    Optimal for one server if any order meets all deadlines (Liu and Layland, 1973); under overload it spends itself on
    those that are late already, which is admission's to prevent.
    """

    def key(self, request: WaitingRequest) -> float:
        """The deadline."""
        if request.ttft_limit_ns == NO_LIMIT_NS:
            return float("inf")
        return request.arrived_ns + request.ttft_limit_ns


@register(
    ORDERS,
    "shortest",
    formula="min uncached tokens + ageing_tokens_per_s * arrival",
    source="shortest job first, with ageing",
    chooses=GOES_FIRST,
)
class ShortestFirst(KeyedOrder):
    """Fewest tokens first, with ageing: a nanosecond of waiting counts as `ageing_tokens_per_s` / 10^9 tokens less.

    As all age alike, `tokens + rate * arrival` orders them at any time. A request is overtaken only by those that come
    within tokens / rate of it, so none starves. Rate 0 is shortest first without bounds.
    """

    def __init__(self, ageing_tokens_per_s: float = 1000.0) -> None:
        super().__init__()
        self._tokens_per_ns: Final = ageing_tokens_per_s / 1e9

    def key(self, request: WaitingRequest) -> float:
        """Tokens, and what being late costs."""
        return request.num_tokens + self._tokens_per_ns * request.arrived_ns


@register(ORDERS, "priority", formula="max priority of the class", source="llm-d priority bands", chooses=GOES_FIRST)
class PriorityClasses(KeyedOrder):
    """Higher priority strictly first; in order of coming within one."""

    def key(self, request: WaitingRequest) -> float:
        """The priority, turned round."""
        return -request.priority


@register(
    ORDERS,
    "fair",
    formula="the tenant with min input_weight * prompt tokens + output_weight * output tokens served",
    source="virtual token counter, Sheng et al., OSDI 2024",
    chooses=GOES_FIRST,
)
class FairQueue:
    """Virtual token counter: the tenant that was served the fewest tokens goes next; a tenant's own in order of coming.

    A tenant that comes back after having had nothing to do is lifted to the least counter of those that wait, so that
    idling saves up nothing (Sheng et al., Fairness in Serving Large Language Models, OSDI 2024). Served tokens are the
    prompt's when it is taken, and what `charge` adds, such as `output_weight` 2 for an output token there.
    """

    def __init__(self, input_weight: float = 1.0, output_weight: float = 2.0) -> None:
        self.counters: Final[dict[int, float]] = {}
        """Tokens served by tenant, weighted."""
        self._input_weight: Final = input_weight
        self._output_weight: Final = output_weight
        self._queues: Final[dict[int, deque[WaitingRequest]]] = {}
        self._tenant_of: Final[dict[int, int]] = {}
        self._num_taken = 0
        self._taken: Final[dict[int, int]] = {}
        self._last_left = 0.0

    def __len__(self) -> int:
        return len(self._tenant_of)

    def add(self, request: WaitingRequest) -> None:
        """It waits from now on."""
        tenant = request.tenant
        if tenant not in self._queues:
            busy = [self.counters[other] for other in self._queues]
            lift = min(busy, default=self._last_left)
            self.counters[tenant] = max(self.counters.get(tenant, 0.0), lift)
            self._queues[tenant] = deque()
        self._queues[tenant].append(request)
        self._tenant_of[request.request_id] = tenant

    def peek(self) -> WaitingRequest:
        """The first of the tenant that was served least; on a tie, as when one was lifted, of the one that was not
        served for longest, then of the lowest."""
        if not self._queues:
            raise IndexError("nobody waits")
        counters, taken = self.counters, self._taken
        return self._queues[min(self._queues, key=lambda tenant: (counters[tenant], taken.get(tenant, 0), tenant))][0]

    def take(self) -> WaitingRequest:
        """Who goes next, who then waits no more and is charged for its prompt."""
        request = self.peek()
        self.counters[request.tenant] += self._input_weight * request.num_tokens
        self._num_taken += 1
        self._taken[request.tenant] = self._num_taken
        self.remove(request.request_id)
        return request

    def charge(self, tenant: int, output_tokens: int) -> None:
        """So many tokens were produced for a tenant."""
        self.counters[tenant] = self.counters.get(tenant, 0.0) + self._output_weight * output_tokens

    def remove(self, request_id: int) -> None:
        """It waits no more, should it have waited."""
        tenant = self._tenant_of.pop(request_id, None)
        if tenant is None:
            return
        queue = self._queues[tenant]
        if queue[0].request_id == request_id:
            queue.popleft()
        else:
            queue.remove(next(request for request in queue if request.request_id == request_id))
        if not queue:
            del self._queues[tenant]
            self._last_left = self.counters[tenant]
